import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// The predictions of a lens at each site after each token of a text, steered or unsteered.
package struct LensGrid: Sendable {
  /// The sites, in the model's order.
  package let sites: [Site]
  /// The tokens that were read.
  package let tokens: [Int]
  /// [site][token].
  package let cells: [[LensCell]]

  /// Reads a text through a lens.
  ///
  /// - Parameters:
  ///   - tokens: at least one.
  ///   - interventions: edits only; the lens reads their results.
  ///   - sites: the sites to read; nil for every site of the lens.
  ///   - guesses: tokens kept of each cell's prediction.
  /// - Throws: `usage.option` for no tokens, and for interventions that report or end a text;
  ///   `artifact.*` for a lens of another model; the errors of `Interventions.bind`; `model.*`,
  ///   such as `model.nonfinite` for values that overflow.
  package init(
    _ lens: NamedLens, _ model: any LanguageModel, tokenizer: any Tokenizer, on tokens: [Int],
    sites wanted: [Site]? = nil, applying interventions: Interventions = [], guesses: Int = 10,
    allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    guard !tokens.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("prompt"), found: "no tokens", expected: "at least one")
    }
    try lens.check(model, tokenizer: tokenizer.digest, allowingOther: allowsModelMismatch)
    let sites = (wanted ?? model.description.lensSites.map(\.site)).filter { lens.reads($0) }
    let last = model.description.lastSite
    var state = model.initialState()
    try interventions.check(.edits, of: "lens show")
    let bound = try interventions.bind(
      to: BoundRun(model, tokenizer: tokenizer.digest, prompts: [tokens], from: state))
    let shown = sites + (sites.contains(last) ? [] : [last])
    let recorder = Recorder(shown)
    let tap = TapChain([bound, recorder])
    var cells = sites.map { _ in [LensCell]() }
    for start in stride(from: 0, to: tokens.count, by: Readout.tileRows) {
      let range = start..<min(start + Readout.tileRows, tokens.count)
      _ = try model.run(TokenBatch(Array(tokens[range])), from: &state, logits: .none, tap: tap)
      let values = recorder.take(shown)  // [M, D] each
      let end = sites.firstIndex(of: last).map { values[$0] } ?? values[values.count - 1]
      // A value that overflows anywhere is still in the stream at its end.
      guard model.readout.norm(end).withFloats({ $0.allSatisfy(\.isFinite) }) else {
        throw Refusal.nonfinite("values")
      }
      let target = ReadoutTarget(model.readout, residual: end)
      let next = range.map { $0 + 1 < tokens.count ? tokens[$0 + 1] : nil }
      for (index, site) in sites.enumerated() {
        guard let rows = lens.translated(values[index], at: site) else { continue }
        cells[index] += LensCell.cells(
          of: rows, model.readout, target: target, next: next, count: guesses)
      }
    }
    self.sites = sites
    self.tokens = tokens
    self.cells = cells
  }
}
