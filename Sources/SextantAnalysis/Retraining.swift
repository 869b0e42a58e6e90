import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// The values that an artifact records so that it can be trained again: `retraining` in
/// `formats/artifact.md`.
enum RetrainingRecord {
  /// The rules by which texts are put into batches and sums are ordered. With others the same data give
  /// other bits.
  private static let version = 1

  /// The record of a training that runs now.
  ///
  /// - Parameter options: the values that the kind needs in addition to its manifest.
  static func new(_ options: [(String, JSONValue)] = []) -> JSONObject {
    var record = JSONObject([("version", .integer(Int64(version)))] + options)
    if Precision.current == .fast { record["precision"] = "fast" }
    return record
  }

  /// The record of an artifact, which this version can follow.
  ///
  /// - Throws: `artifact.retrain` for none, or one of other rules or another precision.
  static func checked(_ record: JSONObject?, _ file: String) throws(Refusal) -> JSONNode {
    guard let record else {
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/retraining"),
        found: "no training record",
        expected: "the training record of a current version",
        remedy: "Train it again with this version; artifacts of older versions cannot be compared.")
    }
    let node = JSONNode(
      .object(record), code: .artifactSchema, file: file, pointer: "/retraining")
    let found = try node.member("version").integer()
    guard found == version else {
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/retraining/version"), found: "\(found)",
        expected: "\(version)", remedy: "Use the version of Sextant that trained it.")
    }
    let precision = try node.optionalMember("precision")?.string() ?? Precision.exact.rawValue
    guard precision == Precision.current.rawValue else {
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/retraining/precision"), found: precision,
        expected: Precision.current.rawValue, remedy: "Add `precision` \(precision).")
    }
    return node
  }
}

/// The data that an artifact is trained on again.
package enum RetrainingSource: Sendable {
  /// Contrast pairs, for steering vectors.
  case pairs(ContrastPairs.Source)
  /// A file of labelled records, for probes and erasers.
  case records(String)
  /// Files of text in the order of the training, for lenses; the member of JSON objects that has
  /// the text; and the lens that a tuned lens started from, if that was a file.
  case texts([String], field: String?, start: String?)

  /// The options that name the data.
  fileprivate var option: String {
    switch self {
    case .pairs: "pairs"
    case .records: "data"
    case .texts: "text"
    }
  }
}

/// Trains a steering vector, probe, eraser or lens again from the record in its manifest, to prove
/// its origin.
package struct Retraining {
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let source: RetrainingSource
  private let area: ([Double], [Bool]) -> Double?

  /// Trains on this model and data.
  ///
  /// - Parameter area: the area under the curve of scores and labels, as erasers record it.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, source: RetrainingSource,
    area: @escaping ([Double], [Bool]) -> Double? = { _, _ in nil }
  ) {
    (self.model, self.tokenizer) = (model, tokenizer)
    (self.source, self.area) = (source, area)
  }

  /// Refuses unless training again gives the bytes of the file.
  ///
  /// - Parameters:
  ///   - artifact: a steering vector, probe, eraser or lens.
  ///   - file: the file that it was read from.
  /// - Throws: `artifact.kind` for another kind; `usage.option` for data of another kind;
  ///   `artifact.model-digest`, `artifact.tokenizer-digest`; `artifact.retrain` for an artifact without a
  ///   record of its training, other data, other weights, a method or site that is not there, or another
  ///   result; `data.*`, `model.*`, `file.*`.
  package func verify(
    _ artifact: Artifact, file: String,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    let made = try artifactTrainedAgain(artifact, file, progress)
    // Another version that computes the same is not a difference.
    let again = Artifact(
      manifest: made.manifest.made(by: artifact.manifest.tool.version), tensors: made.tensors)
    let (found, expected) = (try again.bytes(), try InputFile(file).readAll(limit: 1 << 40))
    guard found == expected else {
      throw Refusal(
        .artifactRetrain, file: file, found: Self.difference(again, artifact),
        expected: "the bytes of the file")
    }
  }

  private func artifactTrainedAgain(
    _ artifact: Artifact, _ file: String, _ progress: (Int, Int) -> Void
  ) throws(Refusal) -> Artifact {
    switch (artifact.manifest.kind, source) {
    case (SteeringVector.name, .pairs(let source)):
      return try vectorAgain(SteeringVector(artifact), source, file, progress)
    case (Probe.name, .records(let path)):
      return try probeAgain(Probe(artifact), path, file, progress)
    case (ConceptEraser.name, .records(let path)):
      return try eraserAgain(ConceptEraser(artifact), path, file, progress)
    case (Lens.name, .texts(let paths, let field, let start)):
      return try LensRetraining(
        model, tokenizer, paths: paths, field: field, start: start, file: file
      ).again(Lens(artifact), progress)
    case (SteeringVector.name, _), (Probe.name, _), (ConceptEraser.name, _), (Lens.name, _):
      let expected =
        switch artifact.manifest.kind {
        case SteeringVector.name: "`pairs`, `positive` with `negative`, or `personas`"
        case Lens.name: "`text`"
        default: "`data`"
        }
      throw Refusal(
        .usageOption, file: file, at: .parameter(source.option), found: artifact.manifest.kind,
        expected: expected)
    default:
      throw Refusal(
        .artifactKind, file: file, found: artifact.manifest.kind,
        expected: "a steering vector, probe, eraser or lens")
    }
  }

  /// Refuses a model that is not the one that was trained on, bit for bit.
  static func check(
    _ recorded: ModelReference, _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    _ file: String
  ) throws(Refusal) -> ModelReference {
    let reference = model.description.reference(tokenizer: tokenizer.digest)
    try recorded.check(against: reference, allowingOther: false, file: file)
    guard recorded == reference else {
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/model"),
        found: "weights \(reference.weights)", expected: "weights \(recorded.weights)",
        remedy: "Convert the model with the same `dataType`.")
    }
    return reference
  }

  // MARK: Probes and erasers

  private func probeAgain(
    _ probe: Probe, _ path: String, _ file: String, _ progress: (Int, Int) -> Void
  ) throws(Refusal) -> Artifact {
    let record = try RetrainingRecord.checked(probe.training.retraining, file)
    var methods: [ProbeMethod] = []
    for element in try record.member("methods").elements() {
      guard let method = ProbeMethod(rawValue: try element.string()) else {
        throw Refusal(
          .artifactRetrain, file: file, at: .pointer("/retraining/methods"),
          found: try element.string(), expected: "one of \(ProbeMethod.allCases.map(\.rawValue))")
      }
      methods.append(method)
    }
    var trainer = ProbeTrainer(methods, seed: probe.training.seed)
    trainer.splitsHeads = try record.member("heads").boolean()
    let (records, activations, reference) = try read(
      probe.sites, of: probe.model, probe.training, path, file, progress,
      readsPairs: methods.contains(where: \.needsPairs))
    return try trainer.probe(
      of: records, activations, model: reference, positions: probe.training.positions,
      pooling: probe.training.pooling
    ).probe.artifact
  }

  private func eraserAgain(
    _ eraser: ConceptEraser, _ path: String, _ file: String, _ progress: (Int, Int) -> Void
  ) throws(Refusal) -> Artifact {
    let record = try RetrainingRecord.checked(eraser.training.retraining, file)
      .member("held_out")
    var heldOut = EraserTrainer.HeldOut()
    heldOut.block = try record.member("block").integer(in: 1...Int(Int32.max))
    heldOut.every = try record.member("every").integer(in: 1...Int(Int32.max))
    let (records, activations, reference) = try read(
      eraser.erasers.map(\.site), of: eraser.model, eraser.training, path, file, progress)
    return try EraserTrainer.eraser(
      of: records, activations, model: reference, positions: eraser.training.positions,
      pooling: eraser.training.pooling, applied: eraser.positions, heldOut: heldOut, area: area
    ).eraser.artifact
  }

  /// The activations of the records that a manifest describes.
  private func read(
    _ sites: [SiteReference], of recorded: ModelReference, _ training: Probe.Training,
    _ path: String, _ file: String, _ progress: (Int, Int) -> Void, readsPairs: Bool = false
  ) throws(Refusal) -> (SelectedRecords, Activations, ModelReference) {
    let reference = try Self.check(recorded, model, tokenizer, file)
    // Texts begin in the same way as in the training, even if the tokenizer now requires other
    // tokens.
    let tokenizer = BoundedTokenizer(
      tokenizer, begin: try BeginningRecord.read(training.data, file: file))
    var records = try SelectedRecords(
      reading: path, recordedAs: training.data, label: training.label, artifact: file)
    records.description = tokenizer.recordingBeginning(in: records.description)
    let activations = try ActivationReader(
      model, positions: training.positions, pooling: training.pooling
    ).read(
      ChoicePrompts(records.records, tokenizer, needsChoices: readsPairs),
      sites: model.description.sites(named: sites.map(\.name)), readsPairs: readsPairs,
      progress: progress)
    return (records, activations, reference)
  }

  // MARK: Steering vectors

  private func vectorAgain(
    _ vector: SteeringVector, _ source: ContrastPairs.Source, _ file: String,
    _ progress: (Int, Int) -> Void
  ) throws(Refusal) -> Artifact {
    _ = try RetrainingRecord.checked(vector.training.retraining, file)
    _ = try Self.check(vector.model, model, tokenizer, file)
    // Texts begin in the same way as in the training, even if the tokenizer now requires other
    // tokens.
    let begin = try BeginningRecord.read(vector.training.data, file: file)
    let tokenizer: any Tokenizer =
      tokenizer.readingRecord == nil ? BoundedTokenizer(tokenizer, begin: begin) : tokenizer
    let trainer = try SteeringTrainer(
      model, tokenizer, estimator: Self.estimator(of: vector.training, file),
      sites: model.description.sites(named: vector.vectors.map(\.site.name)),
      positions: vector.training.positions,
      shards: JSONNode(
        .object(vector.training.data), code: .artifactSchema, file: file, pointer: "/data"
      ).optionalMember(ShardRecord.shards)?.integer(in: 1...Int(Int32.max)))
    let pairs = try recordedPairs(vector.training.data, source, file)
    // How it is applied by default was chosen by a user, and is not computed.
    let again = try trainer.train(pairs, progress: progress).vector
      .applied(as: vector.operation, at: vector.positions)
    // So was the dose, by a search.
    return vector.dose.map { again.dosed($0) { _ in true }.artifact } ?? again.artifact
  }

  /// The estimator that a manifest records.
  private static func estimator(
    of training: SteeringVector.Training, _ file: String
  ) throws(Refusal) -> SteeringEstimator {
    let parameters = JSONNode(
      .object(training.parameters), code: .artifactSchema, file: file,
      pointer: "/method/parameters")
    let shrinkage = try parameters.optionalMember("shrinkage")?.number() ?? 0
    let scale =
      try parameters.optionalMember("scale")?.string() ?? SteeringMethod.Scale.none.rawValue
    guard let method = SteeringMethod(rawValue: training.method),
      let scale = SteeringMethod.Scale(rawValue: scale)
    else {
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/method/name"), found: training.method,
        expected: "one of \(SteeringMethod.allCases.map(\.rawValue))")
    }
    return try SteeringEstimator(method, shrinkage: shrinkage, scale: scale)
  }

  /// The pairs, once their digests are known to be the ones recorded.
  private func recordedPairs(
    _ data: JSONObject, _ source: ContrastPairs.Source, _ file: String
  ) throws(Refusal) -> ContrastPairs {
    let record = JSONNode(.object(data), code: .artifactSchema, file: file, pointer: "/data")
    let files = try source.files()
    for (key, text) in zip(["sha256", "sha256_negative"], files) {
      guard let recorded = try record.optionalMember(key)?.string() else {
        throw Refusal(
          .artifactRetrain, file: file, at: .pointer("/data"), found: "no \(key)",
          expected: "the digest of \(text.path)",
          remedy: "Name the training files of the vector.")
      }
      guard text.digest.description == recorded else {
        throw Refusal(
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

  /// The difference of two artifacts, in words.
  private static func difference(_ again: Artifact, _ recorded: Artifact) -> String {
    for (name, value) in recorded.tensors {
      guard let other = again.tensor(name), other.shape == value.shape else { return "no \(name)" }
      if other == value { continue }
      guard other.dataType == .f32, value.dataType == .f32 else { return "\(name), which differs" }
      let largest = zip(other.values, value.values).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      return "\(name), which differs by up to \(largest)"
    }
    return again.manifest == recorded.manifest ? "other bytes" : "another manifest"
  }
}
