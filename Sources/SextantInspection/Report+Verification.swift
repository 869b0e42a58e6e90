import SextantArtifacts
import SextantBytes
import SextantReport
import SextantStore

extension Report {
  /// The verified parts of a native model.
  ///
  /// - Parameter seconds: that reading the file took.
  package init(verified store: ModelStore, file: String, seconds: Double) {
    let rate = Double(store.fileByteCount) / seconds / 1e9
    self.init(
      title: "\(printable(file)): every digest is right",
      facts: [
        ("tensors", Format.count(store.tensors.count)),
        ("attachments", Format.count(store.attachments.count)),
        ("bytes", "\(Format.count(store.fileByteCount)) (\(Format.fixed(rate, 2)) GB/s)"),
        ("identity", store.identity.description),
      ],
      json: JSONObject([
        ("file", .string(file)), ("type", "model"), ("verified", true),
        ("tensors", JSONValue(store.tensors.count)), ("bytes", JSONValue(store.fileByteCount)),
        ("identity", .string(store.identity.description)),
        ("gigabytes_per_second", JSONValue(finite: rate)),
      ]))
  }

  /// The verified parts of an artifact.
  ///
  /// - Parameter isRetrained: whether it was trained again, with the same bytes.
  package init(verified artifact: Artifact, file: String, isRetrained: Bool) {
    let manifest = artifact.manifest
    self.init(
      title: "\(printable(file)): every digest is right"
        + (isRetrained ? ", and training again gives the same bytes" : ""),
      facts: [
        ("kind", manifest.kind), ("tensors", Format.count(artifact.tensors.count)),
        ("model", manifest.model.identity.description),
      ],
      json: JSONObject([
        ("file", .string(file)), ("type", "artifact"), ("verified", true),
        ("retrained", .boolean(isRetrained)), ("kind", .string(manifest.kind)),
        ("tensors", JSONValue(artifact.tensors.count)),
        ("identity", .string(manifest.model.identity.description)),
      ]))
  }
}
