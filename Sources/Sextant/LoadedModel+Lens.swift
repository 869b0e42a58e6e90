import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration

extension LoadedModel {
  /// The prediction of each block after each token of a text, as `sextant lens show` shows it.
  ///
  /// - Parameters:
  ///   - lens: the lens beside the logit lens; nil for the logit lens alone.
  ///   - guesses: the number of most probable tokens of each cell.
  /// - Returns: an interactive page, and the same grids for programs.
  /// - Throws: `model.tokenizer`; `data.record` for a text without tokens; `artifact.*` for the lens of
  ///   another model; `system.memory`.
  public func lensGrid(
    of text: String, through lens: Lens? = nil, guesses: Int = 10
  ) throws(Refusal) -> (html: String, json: JSONObject) {
    guard (1...1000).contains(guesses) else {
      throw Refusal(
        .usageOption, at: .parameter("topK"), found: "\(guesses)", expected: "1 to 1000")
    }
    let (tokenizer, ids) = (try textTokenizer(), try ids(of: text))
    guard !ids.isEmpty else {
      throw Refusal(.dataRecord, found: "a text without tokens", expected: "at least one token")
    }
    let lenses = [.logit] + (lens.map { [NamedLens(name: $0.training.method, lens: $0)] } ?? [])
    let page = LensPage(
      try LensPage.views(
        lenses, model, tokenizer, on: ids, AppliedArtifacts([]), guesses: guesses,
        allowsModelMismatch: false), tokenizer)
    return (page.html(subtitle: LensPage.subtitle(description, ids)), page.json)
  }
}
