import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantReport
import SextantStore

extension Report {
  /// Verifies every digest of a native model or an artifact.
  ///
  /// - Parameters:
  ///   - retraining: trains an artifact again and compares the bytes; nil for not.
  ///   - progress: receives bytes, or texts of the training, done and in all.
  /// - Throws: `file.unknown` for a file without digests, `artifact.kind` for a model to train again, what
  ///   reading finds, `artifact.retrain` for other bytes.
  package init(
    verifying path: String, trainingAgain retraining: Retraining?,
    progress: (_ done: Int, _ total: Int) -> Void
  ) throws(Refusal) {
    let kind = try ContentKind(of: path)
    guard kind == .artifact || retraining == nil else {
      throw Refusal(
        .artifactKind, file: path, found: "no artifact", expected: "an artifact to train again",
        remedy: "Name an artifact. A model can be verified, and not trained again.")
    }
    switch kind {
    case .model:
      let clock = Stopwatch()
      let store = try ModelStore(opening: path)
      try store.verify(progress: progress)
      self.init(verified: store, file: path, seconds: clock.seconds)
    case .artifact:
      let artifact = try Artifact(reading: path)
      try retraining?.verify(artifact, file: path, progress: progress)
      self.init(verified: artifact, file: path, isRetrained: retraining != nil)
    case .other:
      throw Refusal(
        .fileUnknown, file: path, found: "a file without digests",
        expected: "a native model or an artifact",
        remedy: "Convert a checkpoint first: only native models and artifacts contain digests.")
    }
  }

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
