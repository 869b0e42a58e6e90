import SextantArtifacts
import SextantBytes

/// A probe's score and a bound, written `FILE[#NAME]>BOUND` or `FILE[#NAME]<BOUND`.
package struct ProbeCondition: Sendable {
  /// The file of probes.
  package let path: String
  /// The probe; nil for the only one of the file that reads one activation.
  package let name: String?
  /// The condition.
  package let condition: ProbeTap.Condition

  /// Reads the written form; nil when the text is not one.
  package init?(argument: String) {
    do throws(Refusal) { try self.init(written: argument) } catch { return nil }
  }

  /// Reads the written form.
  ///
  /// - Throws: `usage.option` for a text that is not one.
  package init(written argument: String) throws(Refusal) {
    guard let sign = argument.lastIndex(where: { $0 == ">" || $0 == "<" }) else {
      throw Refusal(
        .usageOption, found: "no > and no <", expected: "a file of probes, the sign, and a number")
    }
    let number = argument[argument.index(after: sign)...]
    guard let bound = try Double.written(number), bound.isFinite else {
      throw Refusal(
        .usageOption, found: "\"\(number.prefix(100))\" after \(argument[sign])",
        expected: "a finite number")
    }
    guard let file = ProbeFile(argument: String(argument[..<sign])) else {
      throw Refusal(
        .usageOption, found: "no file, or no name after #",
        expected: "FILE or FILE#NAME before \(argument[sign])")
    }
    (path, name) = (file.path, file.name)
    condition = ProbeTap.Condition(isAbove: argument[sign] == ">", bound: bound)
  }

  /// The condition with its probes.
  ///
  /// - Parameter parameter: the parameter that names the probe.
  /// - Throws: `usage.option` if the file has several probes and none is named; the errors of reading.
  package func load(as parameter: String, allowingOther: Bool) throws(Refusal) -> ScoreCondition {
    try condition(of: Probe(reading: path), as: parameter, allowingOther: allowingOther)
  }

  /// The condition on probes that were read.
  ///
  /// - Throws: `usage.option` if there are several probes and none is named.
  package func condition(
    of probe: Probe, as parameter: String, allowingOther: Bool
  ) throws(Refusal) -> ScoreCondition {
    let names = probe.entries.filter { $0.input == .single }.map(\.name)
    guard name != nil || names.count < 2 else {
      let more = names.count > 12 ? " and \(names.count - 12) more" : ""
      throw Refusal(
        .usageOption, file: path, at: .parameter(parameter),
        found: "\(names.count) probes, and no name that chooses one of them",
        expected: "one of \(names.prefix(12).joined(separator: ", "))\(more)",
        remedy: "Put # and the probe's name after the file, such as \(path)#\(names[0])>0")
    }
    return ScoreCondition(probe, name: name, condition, allowsModelMismatch: allowingOther)
  }
}

/// A file of probes, and one of them, written `FILE` or `FILE#NAME`.
package struct ProbeFile: Sendable {
  /// The file.
  package let path: String
  /// The probe; nil for no choice.
  package let name: String?

  package init?(argument: String) {
    let mark = argument.lastIndex(of: "#")
    path = String(mark.map { argument[..<$0] } ?? argument[...])
    name = mark.map { String(argument[argument.index(after: $0)...]) }
    if path.isEmpty || name == "" { return nil }
  }
}
