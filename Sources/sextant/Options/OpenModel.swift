import Sextant
import SextantArtifacts
import SextantBytes
import SextantReport
import SextantTokenizers

/// A model as commands open it: with notes and warnings on standard error.
@dynamicMemberLookup
struct OpenModel {
  /// The model.
  let loaded: LoadedModel

  /// Opens a native model file.
  ///
  /// - Parameter beginsTexts: whether the tokens that the tokenizer asks for are put before texts.
  init(_ path: String, beginsTexts: Bool = true) throws(FormatError) {
    loaded = try LoadedModel(path, beginsTexts: beginsTexts)
    if let context = loaded.description.context {
      context.whenExceeded { [length = context.length] in
        // The text may still be on the current line of the terminal.
        let line = StandardStreams.outputIsTerminal ? "\n" : ""
        StandardStreams.printError(
          "\(line)warning: the text has more than \(counted(length, "token")), the model's context length; "
            + "predictions beyond it are unreliable")
      }
    }
  }

  /// A member of the model.
  subscript<Member>(dynamicMember member: KeyPath<LoadedModel, Member>) -> Member {
    loaded[keyPath: member]
  }

  /// The tokenizer, for commands that take text.
  ///
  /// - Throws: `model.tokenizer` if the model was converted without one.
  func textTokenizer() throws(FormatError) -> any Tokenizer { try loaded.textTokenizer() }

  /// Notes that texts begin with other tokens here than the texts that an artifact was learned from.
  ///
  /// Vectors of other programs have no record of how their texts began.
  func noteBeginning(of artifact: Artifact, _ path: String) throws(FormatError) {
    guard case .object(let data)? = artifact.manifest.details["data"], data["format"] == nil else {
      return
    }
    let learned = try BeginningRecord.read(data, file: path)
    guard let own = loaded.tokenizer?.beginOfTextIDs, own != learned else { return }
    func words(_ ids: [Int]) -> String {
      ids.isEmpty ? "no token" : ids.map { "\($0)" }.joined(separator: ", ")
    }
    StandardStreams.printError(
      "note: \(printable(path)) was learned from texts with \(words(learned)) before them; "
        + "here it is \(words(own))")
  }
}
