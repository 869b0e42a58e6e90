import SextantArtifacts
import SextantBytes
import SextantConversion
import SextantGeneration
import SextantModels
import SextantStore
import SextantTexts
import SextantTokenizers

/// A model that is ready to run: its file, the model that runs from it, and its tokenizer.
///
///     let model = try LoadedModel("model.sxt")
///     let seen = try model.record(["blocks.3.output"], reading: "The film was")
///     let text = try model.generate("The film was", count: 32).text()
///
/// Weights are mapped, not read, so that opening takes milliseconds. A loaded model does not change: tasks
/// may share one.
public struct LoadedModel: Sendable {
  /// The file.
  public let store: ModelStore
  /// The model that runs from it.
  public let model: any LanguageModel
  /// The tokenizer in the file; nil if the model was converted without one.
  public let tokenizer: (any Tokenizer)?
  /// The chat templates in the file; nil if the model was published without one.
  package let publishedChat: PublishedChat?
  /// Whether the model's own tokenizer puts tokens before texts.
  package let beginsTextsWithTokens: Bool

  /// Opens a native model file, which `convert` or `sextant convert` made.
  ///
  /// - Parameter beginsTexts: whether the tokens that the tokenizer asks for are put before texts.
  /// - Throws: `file.*`, `store.*`, `model.*`, `tokenizer.*`.
  public init(_ path: String, beginsTexts: Bool = true) throws(Refusal) {
    store = try Self.store(at: path)
    model = try Architectures.open(store)
    let own = try ModelTokenizer.load(from: store)
    publishedChat = own == nil ? nil : try PublishedChat.load(from: store)
    tokenizer = beginsTexts ? own : own.map { BoundedTokenizer($0, begin: []) }
    beginsTextsWithTokens = own.map { !$0.beginOfTextIDs.isEmpty } ?? false
  }

  /// Opens the file of a model. An artifact is refused with the parameter that takes it.
  private static func store(at path: String) throws(Refusal) -> ModelStore {
    do throws(Refusal) {
      return try ModelStore(opening: path)
    } catch {
      guard error.code == .storeMagic, let artifact = try? Artifact(reading: path) else {
        throw error
      }
      var refusal = error
      let kind = artifact.manifest.kind
      let isApplied = [SteeringVector.name, ConceptEraser.name, Probe.name, Lens.name].contains(
        kind)
      refusal.found = "an artifact of kind \(kind)"
      refusal.remedy =
        "Name the model that the artifact was made for"
        + (isApplied ? ", and apply the artifact with `apply`." : ".")
      throw refusal
    }
  }

  /// The same model with another tokenizer, or through another `LanguageModel`.
  init(_ other: LoadedModel, tokenizer: (any Tokenizer)? = nil, model: (any LanguageModel)? = nil) {
    (store, publishedChat) = (other.store, other.publishedChat)
    beginsTextsWithTokens = other.beginsTextsWithTokens
    self.tokenizer = tokenizer ?? other.tokenizer
    self.model = model ?? other.model
  }

  /// Converts a checkpoint to a native model file.
  ///
  ///     try LoadedModel.convert("mamba-130m-hf", to: "model.sxt")
  ///
  /// - Parameter checkpoint: a folder in Hugging Face layout, or a `.safetensors`, `.pth`, `.h5`, `.npz` or
  ///   `.gguf` file. HDF5 files are read by the program `sextant-hdf5`.
  /// - Throws: the refusals of the checkpoint; `file.exists` for a destination that exists, unless
  ///   `options.replacing`. Nothing is then written.
  @discardableResult
  public static func convert(
    _ checkpoint: String, to path: String, options: ConversionOptions = ConversionOptions()
  ) throws(Refusal) -> ConversionReport {
    try Conversion(checkpoint, options: options).write(to: path)
  }

  /// The description of the model: its architecture, sizes and sites.
  public var description: ModelDescription { model.description }

  /// How artifacts refer to the model.
  public var reference: ModelReference { description.reference(tokenizer: tokenizer?.digest) }

  /// The tokenizer, for everything that takes text.
  ///
  /// - Throws: `model.tokenizer` if the model was converted without one.
  public func textTokenizer() throws(Refusal) -> any Tokenizer {
    guard let tokenizer else {
      throw Refusal(
        .modelTokenizer, file: store.path, found: "a model without a tokenizer",
        expected: "one, to read text with",
        remedy: "Convert again with `tokenizer` FILE, or `tokenizer` bytes for a model of bytes.")
    }
    return tokenizer
  }

  /// The ids of a text: of a whole one, or of one that continues from a state.
  ///
  /// - Throws: `model.tokenizer`; `chat.messages` for a message that the chat template has no place for.
  package func ids(of text: String, continuing state: State? = nil) throws(Refusal) -> [Int] {
    try textTokenizer().encodeText(text, continues: state != nil)
  }

  /// The ids of the prompts of a file, which may be conversations if the model reads texts as such.
  ///
  /// - Throws: as `PromptFile.read` and `ids`.
  package func readPrompts(_ path: String, continues: Bool = false) throws(Refusal) -> [[Int]] {
    if let chat = tokenizer as? ChatTokenizer { return try chat.readPrompts(path) }
    let (tokenizer, file) = (try textTokenizer(), try TextFile(reading: path))
    do throws(Refusal) {
      return try PromptFile(file).entries.map { prompt throws(Refusal) in
        try tokenizer.encodeText(prompt.text, continues: continues)
      }
    } catch {
      var refusal = error
      if error.code == .dataRecord, ChatMessage.areRecords(of: file) {
        refusal.remedy = "Read the records as conversations with `chat`."
      }
      throw refusal
    }
  }

  /// Texts at which an answer ends, if the model reads texts as messages.
  package var answerStops: [String] {
    (tokenizer as? ChatTokenizer)?.settings.template.stops ?? []
  }

  /// The sites of patterns, in the blocks of a range.
  func sites(
    _ patterns: [String], layers: ClosedRange<Int>? = nil
  ) throws(Refusal) -> [SiteDescription] {
    try description.sites(named: patterns, layers: layers.map { LayerSelection($0) })
  }

  /// The sites of patterns at which artifacts can be trained.
  func trainableSites(
    _ patterns: [String], layers: ClosedRange<Int>?
  ) throws(Refusal) -> [SiteDescription] {
    try description.trainableSites(named: patterns, layers: layers.map { LayerSelection($0) }).sites
  }

  /// The tap of interventions that edit a run of a whole prompt; nil if none.
  package func editor(
    _ interventions: Interventions, of prompt: [Int], from state: State, for runner: String
  ) throws(Refusal) -> (any Tap)? {
    try interventions.check(.edits, of: runner)
    return try interventions.bind(
      to: BoundRun(model, tokenizer: tokenizer?.digest, prompts: [prompt], from: state)
    ).tap
  }

  /// Notes on artifacts that were learned from texts with other tokens before them, and on what edits of the
  /// state do not reach.
  package func notes(on applied: AppliedArtifacts) throws(Refusal) -> [String] {
    let beginnings = try applied.artifacts.map { applied throws(Refusal) in
      try beginningNote(on: applied.artifact)
    }
    let weights = applied.artifacts.map { weightsNote(on: $0.artifact) }
    return
      (beginnings + weights + [applied.editsState ? description.untouchedByStateEdits : nil])
      .compactMap { $0 }
  }

  /// A note, where the artifact was made with another form of the same weights.
  package func weightsNote(on artifact: Artifact) -> String? {
    let (made, own) = (artifact.manifest.model, reference)
    guard made.identity == own.identity, made.weights != own.weights else { return nil }
    return
      "\(printable(artifact.file ?? "an artifact")) was made with the same model's weights as "
      + "\(printable(made.weights)); here they are stored as \(printable(own.weights))"
  }

  /// A note, where texts begin with other tokens here than the texts that an artifact was learned from.
  ///
  /// Vectors of other programs have no record of how their texts began.
  package func beginningNote(on artifact: Artifact) throws(Refusal) -> String? {
    guard case .object(let data)? = artifact.manifest.details["data"], data["format"] == nil else {
      return nil
    }
    let learned = try BeginningRecord.read(data, file: artifact.file)
    guard let own = tokenizer?.beginOfTextIDs, own != learned else { return nil }
    let words = { (ids: [Int]) in
      ids.isEmpty ? "no token" : ids.map { "\($0)" }.joined(separator: ", ")
    }
    return
      "\(printable(artifact.file ?? "an artifact")) was trained on texts with \(words(learned)) "
      + "before them; here it is \(words(own))"
  }
}
