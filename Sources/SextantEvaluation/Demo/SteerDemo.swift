import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantTokenizers

/// The demo's steering experiment: the paper's sweep on the demo model, on words and openings that
/// the vector was not learned from.
package enum SteerDemo {
  private static let multipliers: [Float] = [-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3]

  /// Learns a vector of the residual stream and, if the model has one, of the state, and measures it
  /// everywhere.
  ///
  /// - Parameters:
  ///   - source: the folder of the demo model's data.
  ///   - controlCount: random directions.
  ///   - progress: receives prompts or controls done and in all.
  /// - Throws: what training and measuring throw.
  package static func run(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, on pairs: ContrastPairs,
    source: String, controlCount: Int = 32, progress: (_ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> SteeringEvaluation {
    let vector = try SteeringTrainer(
      model, tokenizer, sites: model.description.trainableSites(named: ["all"]).sites
    ).train(pairs).vector
    let test = try ChoiceTest(reading: "\(source)/sentiment_test.jsonl", template: nil)
    var experiment = SteeringExperiment(vector, model, tokenizer)
    (experiment.multipliers, experiment.controlCount) = (multipliers, controlCount)
    return try experiment.run(on: test, progress: progress)
  }

  /// The results, in lines for people.
  package static func lines(_ found: SteeringEvaluation) -> [String] {
    var lines = [
      "praise / (praise + blame) after \(found.test.items.count) openings, unsteered "
        + Format.fixed(found.summary.baseline.matching.value, 3) + "; blocks chosen on",
      "one half of the openings, figures from the other half, 95% intervals (of random directions:",
      "the range that contains 95% of them)", "",
      "sites      block   strength -3            strength +3            "
        + "+3 against -3          \(counted(found.controls.count, "random direction"))",
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
