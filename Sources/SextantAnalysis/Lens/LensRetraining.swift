import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// Trains a lens again from the record in its manifest.
struct LensRetraining {
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let paths: [String]
  private let field: String?
  private let start: String?
  private let file: String

  /// Trains on a model and files of text.
  ///
  /// - Parameters:
  ///   - start: the lens that training started from, if that was a file.
  ///   - file: the artifact's, for refusals.
  init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, paths: [String], field: String?,
    start: String?, file: String
  ) {
    (self.model, self.tokenizer, self.paths, self.field) = (model, tokenizer, paths, field)
    (self.start, self.file) = (start, file)
  }

  /// The lens of the same texts and options.
  ///
  /// - Throws: `artifact.retrain`, `artifact.schema`, `data.*`, `model.*`.
  func again(_ lens: Lens, _ progress: (Int, Int) -> Void) throws(Refusal) -> Artifact {
    let record = try RetrainingRecord.checked(lens.training.retraining, file)
    _ = try Retraining.check(lens.model, model, tokenizer, file)
    guard start == nil || lens.training.method == "tuned" else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("start"),
        found: "a start for a \(lens.training.method) lens",
        expected: "none: only a tuned lens is trained from a start")
    }
    let corpus = try corpus(lens.training.data)
    let options = node(lens.training.options, "/method/options")
    switch lens.training.method {
    case "ridge": return try ridge(options, corpus, progress).artifact
    case "tuned":
      let trainer = try TunedLensTrainer(
        model, tokenizer: tokenizer.digest, corpus: corpus,
        options: TunedLensOptions(options, seed: lens.training.seed))
      let begin = try start(options.member("start"), record, corpus, progress)
      return try trainer.train(
        from: begin, progress: { progress($0.tokens.done, $0.tokens.total) }
      ).artifact
    default:
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/method/name"), found: lens.training.method,
        expected: "ridge or tuned")
    }
  }

  private func node(_ object: JSONObject, _ pointer: String) -> JSONNode {
    JSONNode(.object(object), code: .artifactSchema, file: file, pointer: pointer)
  }

  /// The texts, once their digest is known to be the one recorded.
  private func corpus(_ data: JSONObject) throws(Refusal) -> TextCorpus {
    let record = node(data, "/data")
    let length = try record.member("chunk_length").integer(in: 2...Int(Int32.max))
    let count = try record.member("chunks").integer(in: 1...Int(Int32.max))
    let tokenizer = BoundedTokenizer(tokenizer, begin: try BeginningRecord.read(data, file: file))
    let corpus = try TextCorpus(
      reading: paths, tokenizer: tokenizer, chunkLength: length, field: field,
      limit: length * count)
    guard corpus.record == data else {
      throw Refusal(
        .artifactRetrain, file: paths.first,
        found: "texts with SHA-256 \(corpus.digest), \(counted(corpus.chunks.count, "chunk"))",
        expected:
          "SHA-256 \(try record.member("sha256").string()), \(counted(count, "chunk")), as \(file) "
          + "records", remedy: "Name the same files in the same order.")
    }
    return corpus
  }

  private func ridge(
    _ options: JSONNode, _ corpus: TextCorpus, _ progress: (Int, Int) -> Void
  ) throws(Refusal) -> Lens {
    try RidgeLensTrainer(
      model, tokenizer: tokenizer.digest, corpus: corpus, options: RidgeLensOptions(options)
    ).train { progress($1, $2) }
  }

  /// The lens that a tuned lens started from: the one in a file, or a ridge lens of the same texts.
  private func start(
    _ origin: JSONNode, _ record: JSONNode, _ corpus: TextCorpus, _ progress: (Int, Int) -> Void
  ) throws(Refusal) -> Lens? {
    guard case .object(let object) = origin.value else {
      guard start == nil else {
        throw Refusal(
          .usageOption, at: .parameter("start"), found: "a lens",
          expected: "none: \(file) started from \(try origin.string())")
      }
      return nil
    }
    let digest = try origin.member("sha256").string()
    let found: Lens
    if let start {
      found = try Lens(reading: start)
    } else if object["method"] == "ridge", object["data"] == .object(corpus.record) {
      let made = try ridge(record.member("start_options"), corpus, progress).artifact
      // The digest is of the file, which names the version that made it.
      let version = try Artifact(reading: file).manifest.tool.version
      found = try Lens(Artifact(manifest: made.manifest.made(by: version), tensors: made.tensors))
    } else {
      throw Refusal(
        .artifactRetrain, file: file, at: .pointer("/method/options/start"),
        found: "a lens of its own as the start", expected: "that lens",
        remedy: "Name the lens with `start`.")
    }
    guard SHA256.digest(try found.artifact.bytes()).description == digest else {
      throw Refusal(
        .artifactRetrain, file: start ?? file, at: .pointer("/method/options/start"),
        found: "a start with other bytes", expected: "SHA-256 \(digest)",
        remedy: "Name the lens that training started from with `start`.")
    }
    return found
  }
}
