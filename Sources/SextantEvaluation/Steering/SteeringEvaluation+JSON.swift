import Glibc
import SextantBytes
import SextantReport

extension SteeringEvaluation {
  /// The document for programs.
  public var json: JSONObject {
    JSONObject([
      ("model", model.json), ("vector", .string(vector.file ?? "")),
      ("method", .string(vector.training.method)),
      ("test_sha256", .string(test.digest.description)),
      ("template", template.map { .string($0) } ?? .null), ("unit", .string(unit.rawValue)),
      ("positions", .string(positions.description)),
      ("state_positions", statePositions.map { .string($0.description) } ?? .null),
      ("seed", .integer(Int64(truncatingIfNeeded: seed))),
      ("prompts", JSONValue(test.items.count)),
      (
        "baseline",
        [
          "matching": .number(summary.baseline.matching.value),
          "matching_ci": ci(summary.baseline.matching),
          "nonsense": .number(summary.baseline.nonsense.value),
          "nonsense_ci": ci(summary.baseline.nonsense),
        ]
      ),
      ("rows", .array(summary.rows.map(json))), ("best", .array(summary.best.map(json))),
      ("curves", .array(summary.curves.map(json))),
      ("side_effects", .array(sideEffects.map(json))),
      (
        "continuations",
        .array(
          continuations.map {
            [
              "prompt": .string($0.prompt), "sites": .string($0.sites.description),
              "multiplier": number($0.multiplier), "text": .string($0.text),
            ]
          })
      ),
      ("sweep_seconds", JSONValue(finite: seconds.sweep)),
      ("seconds", JSONValue(finite: seconds.all)),
    ])
  }

  private func ci(_ figure: Figure) -> JSONValue {
    figure.interval.json
  }

  private func number(_ value: Float) -> JSONValue { .number(Double(value)) }

  private func json(_ row: SweepSummary.Row) -> JSONValue {
    [
      "layer": JSONValue(row.layer), "multiplier": number(row.multiplier),
      "sites": .string(row.sites.description), "matching": .number(row.matching.value),
      "matching_ci": ci(row.matching), "nonsense": .number(row.nonsense.value),
      "nonsense_ci": ci(row.nonsense), "effect": .number(row.effect.value),
      "effect_ci": ci(row.effect), "nonsense_effect": .number(row.nonsenseEffect.value),
      "nonsense_effect_ci": ci(row.nonsenseEffect), "kl": .number(row.divergence),
    ]
  }

  private func json(_ best: SweepSummary.Best) -> JSONValue {
    [
      "sites": .string(best.sites.description), "multiplier": number(best.multiplier),
      "layer": JSONValue(best.layer), "effect": .number(best.effect.value),
      "effect_ci": ci(best.effect), "label_p": .number(best.labelProbability),
      "layer_on_all": JSONValue(best.layerOnAll), "effect_on_all": .number(best.effectOnAll),
    ]
  }

  private func json(_ curve: SweepSummary.Curve) -> JSONValue {
    let points = { (points: [(multiplier: Float, matching: Figure)]) -> JSONValue in
      .array(
        points.map {
          [
            "multiplier": number($0.multiplier), "matching": .number($0.matching.value),
            "matching_ci": ci($0.matching),
          ]
        })
    }
    var object = JSONObject([
      ("sites", .string(curve.sites.description)), ("layer", JSONValue(curve.layer)),
      ("points", points(curve.points)), ("low", number(curve.ends.low)),
      ("high", number(curve.ends.high)), ("contrast", .number(curve.contrast.value)),
      ("contrast_ci", ci(curve.contrast)), ("monotone", .boolean(curve.isMonotone)),
      ("published_range", .number(curve.publishedRange)),
      ("held_out_range", .number(curve.heldOutRange.value)),
      ("held_out_range_ci", ci(curve.heldOutRange)),
    ])
    if let control = control(of: curve) {
      object["control"] = [
        "directions": JSONValue(controls.count), "points": points(control.points),
        "contrast": .number(control.contrast.value), "contrast_range": ci(control.contrast),
        "p": .number(control.probability),
        "contrasts": .array(control.contrasts.map { .number($0) }),
      ]
    }
    return .object(object)
  }

  private func json(_ effect: SideEffect) -> JSONValue {
    [
      "sites": .string(effect.sites.description), "layer": JSONValue(effect.layer),
      "multiplier": number(effect.multiplier),
      "perplexity": effect.loss.map { JSONValue(finite: exp($0)) } ?? .null,
      "accuracy": .array(
        effect.accuracies.map {
          [
            "file": .string($0.file), "items": JSONValue($0.right.count),
            "right": .number($0.right.reduce(0, +) / Double(max($0.right.count, 1))),
          ]
        }),
    ]
  }
}
