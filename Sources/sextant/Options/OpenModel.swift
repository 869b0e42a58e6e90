import SextantArtifacts
import SextantBytes
import SextantConversion
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// A model with everything that commands need of it.
struct OpenModel {
  /// The file.
  let store: ModelStore
  /// The model that runs from it.
  let model: any LanguageModel
  /// The tokenizer that travels with it, if any does.
  let tokenizer: (any Tokenizer)?

  /// Opens a native model file.
  ///
  /// - Parameter beginsTexts: whether the tokens that the tokenizer asks for are put before texts.
  init(_ path: String, beginsTexts: Bool = true) throws(FormatError) {
    store = try ModelStore(opening: path)
    model = try Architectures.open(store)
    let own = try ModelTokenizer.load(from: store)
    tokenizer = beginsTexts ? own : own.map { BoundedTokenizer($0, begin: []) }
    if let context = model.description.context {
      context.whenExceeded { [length = context.length] in
        // The text may still be on the current line of the terminal.
        let line = StandardStreams.outputIsTerminal ? "\n" : ""
        StandardStreams.printError(
          "\(line)warning: the text has more than \(counted(length, "token")), the model's context length; "
            + "predictions beyond it are unreliable")
      }
    }
  }

  /// How artifacts refer to the model.
  var reference: ModelReference { model.description.reference(tokenizer: tokenizer?.digest) }

  /// Notes that texts begin with other tokens here than the texts that an artifact was learned from.
  ///
  /// Vectors of other programs have no record of how their texts began.
  func noteBeginning(of artifact: Artifact, _ path: String) throws(FormatError) {
    guard case .object(let data)? = artifact.manifest.details["data"], data["format"] == nil else {
      return
    }
    let learned = try BeginningRecord.read(data, file: path)
    guard let own = tokenizer?.beginOfTextIDs, own != learned else { return }
    func words(_ ids: [Int]) -> String {
      ids.isEmpty ? "no token" : ids.map { "\($0)" }.joined(separator: ", ")
    }
    StandardStreams.printError(
      "note: \(printable(path)) was learned from texts with \(words(learned)) before them; "
        + "here it is \(words(own))")
  }

  /// The tokenizer, for commands that take text.
  ///
  /// - Throws: `model.tokenizer` where the model was converted without one.
  func textTokenizer() throws(FormatError) -> any Tokenizer {
    guard let tokenizer else {
      throw FormatError(
        .modelTokenizer, file: store.path, found: "a model without a tokenizer",
        expected: "one, to read text with",
        remedy: "Convert again with --tokenizer FILE, or --tokenizer bytes for a model of bytes.")
    }
    return tokenizer
  }
}
