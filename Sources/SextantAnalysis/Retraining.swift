import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers

/// Trains a steering vector again from what its manifest records, to prove where it comes from.
public struct Retraining {
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let source: ContrastSource

  /// Trains on this model and the pairs of these files.
  public init(_ model: any LanguageModel, _ tokenizer: any Tokenizer, source: ContrastSource) {
    self.model = model
    self.tokenizer = tokenizer
    self.source = source
  }

  /// Trains on this model and the pairs of this file.
  public init(_ model: any LanguageModel, _ tokenizer: any Tokenizer, pairs: String) {
    self.init(model, tokenizer, source: .pairs(pairs))
  }

  /// Refuses unless training again gives the bytes of the file.
  ///
  /// - Parameters:
  ///   - artifact: a steering vector.
  ///   - file: the file that it was read from.
  /// - Throws: `artifact.kind` for another kind; `artifact.model-digest`,
  ///   `artifact.tokenizer-digest`; `artifact.retrain` for other pairs, other weights, a method or
  ///   site that is not there, or another result; `data.*`, `model.*`, `file.*`.
  public func verify(
    _ artifact: Artifact, file: String,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) {
    let again = try artifactTrainedAgain(artifact, file, progress)
    let (found, expected) = (try again.bytes(), try InputFile(file).readAll(limit: 1 << 40))
    guard found == expected else {
      throw FormatError(
        .artifactRetrain, file: file, found: Self.difference(again, artifact),
        expected: "the bytes of the file")
    }
  }

  private func artifactTrainedAgain(
    _ artifact: Artifact, _ file: String, _ progress: (Int, Int) -> Void
  ) throws(FormatError) -> Artifact {
    let vector = try SteeringVector(artifact)
    let reference = model.description.reference(tokenizer: tokenizer.digest)
    try vector.model.check(against: reference, allowingOther: false, file: file)
    guard vector.model == reference else {
      throw FormatError(
        .artifactRetrain, file: file, at: .pointer("/model"),
        found: "weights \(reference.weights)", expected: "weights \(vector.model.weights)",
        remedy: "Convert the model with the same --dtype.")
    }
    // Texts begin as they did then, whatever the tokenizer asks for now.
    let tokenizer = BoundedTokenizer(
      tokenizer, begin: try BeginningRecord.read(vector.training.data, file: file))
    let trainer = try SteeringTrainer(
      model, tokenizer, estimator: Self.estimator(of: vector.training, file),
      sites: model.description.sites(named: vector.vectors.map(\.site.name)),
      positions: vector.training.positions)
    let trained = try trainer.train(recordedPairs(vector.training.data, file), progress: progress)
    // How it is applied by default was chosen by a user, and is not computed.
    var again = trained.vector.applied(as: vector.operation, at: vector.positions).artifact
    // Another version that computes the same is no difference.
    again = Artifact(
      manifest: again.manifest.made(by: artifact.manifest.tool.version), tensors: again.tensors)
    return again
  }

  /// The estimator that a manifest records.
  private static func estimator(
    of training: SteeringVector.Training, _ file: String
  ) throws(FormatError) -> SteeringEstimator {
    let parameters = JSONNode(
      .object(training.parameters), code: .artifactSchema, file: file,
      pointer: "/method/parameters")
    let shrinkage = try parameters.optionalMember("shrinkage")?.number() ?? 0
    let scale = try parameters.optionalMember("scale")?.string() ?? SteeringScale.none.rawValue
    guard let method = SteeringMethod(rawValue: training.method),
      let scale = SteeringScale(rawValue: scale)
    else {
      throw FormatError(
        .artifactRetrain, file: file, at: .pointer("/method/name"), found: training.method,
        expected: "one of \(SteeringMethod.allCases.map(\.rawValue))")
    }
    return try SteeringEstimator(method, shrinkage: shrinkage, scale: scale)
  }

  /// The pairs, once their digests are known to be the ones recorded.
  private func recordedPairs(
    _ data: JSONObject, _ file: String
  ) throws(FormatError) -> ContrastPairs {
    let record = JSONNode(.object(data), code: .artifactSchema, file: file, pointer: "/data")
    let files = try source.files()
    for (key, text) in zip(["sha256", "sha256_negative"], files) {
      guard let recorded = try record.optionalMember(key)?.string() else {
        throw FormatError(
          .artifactRetrain, file: file, at: .pointer("/data"), found: "no \(key)",
          expected: "the digest of \(text.path)",
          remedy: "Name the files that the vector was learned from, as when it was trained.")
      }
      guard text.digest.description == recorded else {
        throw FormatError(
          .artifactRetrain, file: text.path, found: "pairs with SHA-256 \(text.digest)",
          expected: "SHA-256 \(recorded), as \(file) records")
      }
    }
    let template: PromptTemplate? =
      if let text = try record.optionalMember("template")?.string() {
        try PromptTemplate(text: text, file: file)
      } else {
        nil
      }
    return try ContrastPairs(
      source, files, template: template,
      replacesEscapes: record.optionalMember("escapes")?.boolean() ?? false)
  }

  /// Where two artifacts differ, in words.
  private static func difference(_ again: Artifact, _ recorded: Artifact) -> String {
    for (name, value) in recorded.tensors {
      guard let other = again.tensor(name), other.shape == value.shape else { return "no \(name)" }
      if other == value { continue }
      let largest = zip(other.values, value.values).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      return "\(name), which differs by up to \(largest)"
    }
    return again.manifest == recorded.manifest ? "other bytes" : "another manifest"
  }
}
