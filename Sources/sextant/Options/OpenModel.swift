import Sextant
import SextantBytes
import SextantTerminal

/// A model as commands open it: with notes and warnings on standard error.
extension LoadedModel {
  /// Opens a native model file.
  ///
  /// - Parameter beginsTexts: whether the tokens that the tokenizer asks for are put before texts.
  static func open(_ path: String, beginsTexts: Bool = true) throws(Refusal) -> LoadedModel {
    let model = try LoadedModel(path, beginsTexts: beginsTexts)
    try Job.compare([("model", model.reference.json.canonicalText)])
    if !beginsTexts, model.tokenizer != nil, !model.beginsTextsWithTokens {
      StandardStreams.printNote(
        "--no-bos changes nothing: the model's tokenizer puts no token before a text")
    }
    if let context = model.description.context {
      context.whenExceeded { [length = context.length] in
        // The text may still be on the current line of the terminal.
        let line = StandardStreams.outputIsTerminal ? "\n" : ""
        StandardStreams.printError(
          "\(line)warning: the text has more than \(counted(length, "token")), the model's context length; "
            + "predictions beyond it are unreliable")
      }
    }
    return model
  }
}
