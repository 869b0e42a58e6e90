import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// Reads activations through a lens while text is generated, and reports the prediction of each
/// layer after each token.
package final class LensReporter: TokenReporter {
  private let lens: NamedLens
  private let readout: Readout
  private let tokenizer: any Tokenizer
  private let sites: [Site]
  private let last: Site
  private let guesses: Int
  /// The sites that are recorded, the last one at the end.
  private let shown: [Site]
  private let recorder: Recorder
  private var reports: [Int: [LensCell]] = [:]

  /// Reports of a lens for a model.
  ///
  /// - Parameter guesses: the number of tokens to report for each layer's prediction.
  /// - Throws: `artifact.*` for the lens of another model.
  package init(
    _ lens: NamedLens, _ model: any LanguageModel, tokenizer: any Tokenizer, guesses: Int = 3,
    allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    try lens.check(model, tokenizer: tokenizer.digest, allowingOther: allowsModelMismatch)
    self.lens = lens
    self.tokenizer = tokenizer
    self.guesses = guesses
    readout = model.readout
    last = model.description.lastSite
    sites = model.description.lensSites.map(\.site).filter { lens.reads($0) }
    shown = sites.filter { $0 != model.description.lastSite } + [last]
    recorder = Recorder(shown)
  }

  /// Whether the lens reads the site.
  package func wants(_ site: Site) -> Bool { recorder.wants(site) }

  /// Keeps the activations of the site until the observer is called for the step.
  package func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    recorder.visit(site, &value, context)
  }

  /// Reads the tokens of a step through the lens.
  package func didRead(_ step: GenerationStep) throws(Refusal) -> GenerationVerdict {
    let values = recorder.take(shown)  // [T, D] each
    reports = [:]
    let places = sites.map { $0 == last ? values.count - 1 : sites.firstIndex(of: $0) ?? 0 }
    for start in stride(from: 0, to: step.tokens.count, by: Readout.tileRows) {
      let range = start..<min(start + Readout.tileRows, step.tokens.count)
      let end = values[values.count - 1].slice(rows: range)
      let target = ReadoutTarget(readout, residual: end)
      let next = range.map { $0 + 1 < step.tokens.count ? step.tokens[$0 + 1] : step.next }
      for (site, place) in zip(sites, places) {
        guard let rows = lens.translated(values[place].slice(rows: range), at: site) else {
          continue
        }
        let cells = LensCell.cells(
          of: rows, readout, target: target, next: next, count: guesses)
        for (offset, cell) in cells.enumerated() {
          reports[step.positions.lowerBound + range.lowerBound + offset, default: []].append(cell)
        }
      }
    }
    return .goOn
  }

  /// The prediction of each layer after the token, from the embedding on.
  package func report(at position: Int) -> JSONObject? {
    guard let cells = reports[position] else { return nil }
    return JSONObject([
      ("lens", .string(lens.name)),
      (
        "layers",
        .array(
          zip(sites, cells).map { site, cell in
            var object = cell.json(tokenizer)
            object["site"] = .string(site.name)
            return .object(object)
          })
      ),
    ])
  }
}

extension LensCell {
  /// The cell for programs: guesses with their text, measures in nats.
  package func json(_ tokenizer: any Tokenizer) -> JSONObject {
    var object = JSONObject([
      (
        "top",
        .array(
          guesses.map { guess in
            [
              "token": .integer(Int64(guess.token)),
              "text": .string(tokenizer.decode([guess.token])),
              "p": .number(guess.probability),
            ]
          })
      ),
      ("entropy", .number(entropy)), ("kl", .number(divergence)),
    ])
    if let crossEntropy { object["ce"] = .number(crossEntropy) }
    return object
  }
}
