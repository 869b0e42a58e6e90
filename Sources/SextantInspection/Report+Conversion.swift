import SextantBytes
import SextantConversion
import SextantReport

extension Report {
  /// The report of a conversion.
  package init(
    _ report: ConversionReport, of source: String, to output: String, seconds: Double
  ) {
    let rate = Double(report.sourceByteCount) / seconds
    self.init(
      title: "\(printable(output)): \(Format.bytes(report.byteCount)), made in "
        + "\(Format.fixed(seconds, 2)) s (\(Format.fixed(rate / 1e9, 2)) GB/s)",
      facts: [
        ("architecture", report.architecture),
        ("source", "\(report.format), named as in \(report.dialect)"),
        ("tensors", Format.count(report.tensorCount)),
        ("parameters", Format.count(report.parameterCount)),
        ("identity", report.identity.description),
      ],
      notes: report.nonfinite.map {
        "\(printable($0.name)) contains \(Format.count($0.count)) elements that are NaN or infinite"
      } + report.notes.map { printable($0) },
      json: JSONObject([
        ("source", .string(source)), ("output", .string(output)),
        ("format", .string(report.format)), ("naming", .string(report.dialect)),
        ("architecture", .string(report.architecture)),
        ("tensors", JSONValue(report.tensorCount)),
        ("parameters", JSONValue(report.parameterCount)),
        ("identity", .string(report.identity.description)),
        ("source_bytes", JSONValue(report.sourceByteCount)), ("bytes", JSONValue(report.byteCount)),
        (
          "nonfinite",
          .object(JSONObject(report.nonfinite.map { ($0.name, JSONValue($0.count)) }))
        ),
        ("notes", .array(report.notes.map { .string($0) })),
        ("seconds", JSONValue(finite: seconds)),
        ("gigabytes_per_second", JSONValue(finite: rate / 1e9)),
      ]))
  }

  /// The report of an export.
  package init(
    _ report: ModelExportReport, of input: String, to output: String, as format: ModelExportFormat
  ) {
    self.init(
      title: "\(printable(output)): \(counted(report.tensorCount, "tensor")), "
        + "\(Format.bytes(report.byteCount)), named as in \(report.naming)",
      notes: report.notes.map { printable($0) },
      json: JSONObject([
        ("input", .string(input)), ("output", .string(output)),
        ("format", .string(format.rawValue)),
        ("naming", .string(report.naming)), ("tensors", JSONValue(report.tensorCount)),
        ("bytes", JSONValue(report.byteCount)),
        ("files", .array(report.files.map { .string($0) })),
        ("notes", .array(report.notes.map { .string($0) })),
        ("warnings", .array(report.warnings.map { .string($0) })),
      ]))
  }
}
