import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantReport
import SextantStore

/// The demo's steering experiment: the paper's sweep on the demo model, on words and openings that
/// the vector was not learned from.
struct SteerDemo {
  /// The demo model.
  let open: OpenModel
  /// The folder of its data.
  let source: String

  private static let multipliers: [Float] = [-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3]
  private static let sites: [SteeredSites] = [.residual, .state, .both]
  private static let controlCount = 32

  /// Learns a vector of the residual stream and of the state, and measures it everywhere.
  ///
  /// - Returns: what was found, and the vector.
  func run(
    _ pairs: ContrastPairs
  ) throws(FormatError) -> (evaluation: SteeringEvaluation, vector: SteeringVector) {
    let clock = Stopwatch()
    let tokenizer = try open.textTokenizer()
    let vector = try SteeringTrainer(
      open.model, tokenizer, sites: open.model.description.sites(named: ["all"])
    ).train(pairs).vector
    let test = try ChoiceTest(reading: "\(source)/sentiment_test.jsonl", template: nil)
    let items = try test.tokenized(by: tokenizer)
    let progress = Progress("sweep", .items("prompts"))
    defer { progress.clear() }
    let swept = Stopwatch()
    let result = try sweep(vector, nil, Self.sites).run(on: items) { progress.update($0, $1) }
    let sweepSeconds = swept.seconds
    let summary = SweepSummary(result)
    let controls = try SweepControls(
      of: vector, summary: summary, count: Self.controlCount, seed: 0, on: items,
      sweep: { vector, layers, sites throws(FormatError) in try sweep(vector, layers, [sites]) },
      progress: { progress.update($0, $1) })
    var evaluation = SteeringEvaluation(
      model: open.reference, vector: vector, test: test, templateText: nil, summary: summary,
      controls: controls, seed: 0, unit: "raw", positions: .last, statePositions: nil)
    evaluation.seconds = (sweepSeconds, clock.seconds)
    return (evaluation, vector)
  }

  private func sweep(
    _ vector: SteeringVector, _ layers: LayerSelection?, _ sites: [SteeredSites]
  ) throws(FormatError) -> SteeringSweep {
    try SteeringSweep(
      open.model, tokenizer: open.tokenizer?.digest, vector: vector,
      options: .init(positions: .last), layers: layers, multipliers: Self.multipliers, sites: sites)
  }

  /// What was found, in lines for people.
  static func lines(_ found: SteeringEvaluation) -> [String] {
    var lines = [
      "praise / (praise + blame) after \(found.test.items.count) openings, unsteered "
        + Format.fixed(found.summary.baseline.matching.value, 3) + "; blocks chosen on",
      "one half of the openings, figures of the other half, 95% intervals (of random directions:",
      "what holds 95% of them)", "",
      "sites      block   strength -3            strength +3            "
        + "+3 against -3          \(found.controls.count) random directions",
    ]
    for curve in found.summary.curves {
      guard let low = curve.points.first, let high = curve.points.last else { continue }
      let control = found.control(of: curve).map { SteeringEvaluation.text($0.contrast, digits: 2) }
      let cells = [low.matching, high.matching, curve.contrast].map {
        SteeringEvaluation.text($0, digits: 2)
      }
      lines.append(
        padded(curve.sites.description, 11) + padded(String(curve.layer), 8)
          + cells.map { padded($0, 23) }.joined() + (control ?? ""))
    }
    return lines
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
