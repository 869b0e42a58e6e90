import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantStore

/// What a search found, with the figures of the half of the data that it did not choose on.
package struct SteeringSearchResult {
  /// A cell of the last round, and its figures on the half that is reported.
  package struct Reported {
    /// The cell.
    package let cell: TriedCell
    /// The figures on the half that is reported.
    package let reported: CellFigures
  }

  /// A random direction of equal norm that was given the same search.
  package struct Control {
    /// Its best cell; nil if it has no effect within the budget.
    package let cell: TriedCell?
    /// The figures of the cell on the half that is reported.
    package let reported: CellFigures?

    /// The effect: that of the unsteered model if there is no cell.
    package var effect: Double { reported?.effect ?? 0 }
  }

  /// A prompt, continued at each of `textDoses`.
  package struct Text {
    /// The prompt.
    package let prompt: String
    /// The texts that follow it.
    package let continued: [String]
  }

  /// The doses of the texts, as multiples of the dose found; 0 is the model without steering.
  package static let textDoses: [Float] = [0, 0.5, 1, 2]

  /// Whether the divergence on the reported half is within the budget.
  package enum Verdict: String {
    /// The interval is below the budget.
    case within
    /// The interval contains the budget.
    case unclear
    /// The interval is above the budget.
    case above
  }

  /// The model that was steered.
  package internal(set) var model: ModelReference
  /// The vector that was searched with.
  package let searched: SteeringVector
  /// The budget.
  package let budget: HarmBudget
  /// The seed of the search.
  package let seed: UInt64
  /// Every measured cell except those that only bracketed the strengths, in their order.
  package let tried: [TriedCell]
  /// The cell that was chosen.
  package let best: Reported
  /// The chosen cell at the opposite strength, on the half that is reported.
  package let against: CellFigures
  /// The cells within the budget that no other one surpasses in both effect and divergence.
  package let front: [Reported]
  /// Random directions that were given the same search.
  package internal(set) var controls: [Control] = []
  /// Prompts, continued at three doses.
  package internal(set) var texts: [Text] = []
  /// Places that were considered.
  package internal(set) var placeCount = 0
  /// Seconds of everything.
  package internal(set) var seconds = 0.0

  var test: Digest
  var text: Digest
  var others: Digest?
  private let digest: Digest
  private let counts: (items: [Int], passages: [Int], others: [Int])
  private let itemBootstrap: Bootstrap
  private let passageBootstrap: Bootstrap
  private let otherBootstrap: Bootstrap

  init(
    searched: SteeringVector, digest: Digest, budget: HarmBudget, seed: UInt64, tried: [TriedCell],
    best: Reported, against: CellFigures, front: [Reported], data: SearchData
  ) {
    (self.searched, self.digest, self.budget) = (searched, digest, budget)
    (self.seed, self.tried, self.best) = (seed, tried, best)
    (self.against, self.front) = (against, front)
    (model, test, text) = (searched.model, digest, digest)
    let halves = [data.choosing, data.reporting]
    counts = (
      halves.map(\.items.count), halves.map(\.passages.count), halves.map(\.others.count)
    )
    itemBootstrap = Bootstrap(count: counts.items[1], seed: seed)
    passageBootstrap = Bootstrap(count: counts.passages[1], seed: seed)
    otherBootstrap = Bootstrap(count: counts.others[1], seed: seed)
  }

  /// The place that was chosen.
  package var place: SteeringPlace { best.cell.place }

  /// The effect of figures of the reported half.
  package func effect(_ figures: CellFigures) -> Figure { Figure(figures.effects, itemBootstrap) }

  /// Their nonsense.
  package func nonsense(_ figures: CellFigures) -> Figure {
    Figure(figures.nonsense, itemBootstrap)
  }

  /// Their divergence.
  package func divergence(_ figures: CellFigures) -> Figure {
    Figure(figures.divergences, passageBootstrap)
  }

  /// Their loss on other questions; nil if there are none.
  package func loss(_ figures: CellFigures) -> Figure? {
    counts.others[1] > 0 ? Figure(figures.losses, otherBootstrap) : nil
  }

  /// The effects of the random directions: the mean, and the range that contains 95% of them; nil for
  /// none.
  package var controlEffect: Figure? {
    controls.isEmpty ? nil : Figure(spreadOf: controls.map(\.effect))
  }

  /// The probability of such an effect if the vector were one more random direction; nil for none.
  package var controlProbability: Double? {
    let own = best.reported.effect
    return controls.isEmpty
      ? nil : Double(1 + controls.count { $0.effect >= own }) / Double(1 + controls.count)
  }

  /// Whether the reported half confirms that the dose is within the budget.
  package var verdict: Verdict {
    let interval = divergence(best.reported).interval
    if interval.high <= budget.divergence { return .within }
    return interval.low > budget.divergence ? .above : .unclear
  }

  /// The vector with the dose that was found: strength 1 applies it, at the chosen blocks, sites and
  /// tokens.
  package func vector() -> SteeringVector {
    let (place, cell) = (place, best.cell)
    let dose = SteeringVector.Dose(
      layers: place.blocks, sites: place.sites.description, strength: cell.strength,
      search: record)
    let steering = place.cell(cell.strength)
    return searched.applied(as: searched.operation, at: place.positions).dosed(dose) { reference in
      reference.site.map(steering.includes) ?? false
    }
  }

  /// How the dose was found, for the manifest.
  private var record: JSONObject {
    var record = JSONObject([
      ("vector_sha256", .string(digest.description)), ("test_sha256", .string(test.description)),
      ("text_sha256", .string(text.description)), ("seed", .string("\(seed)")),
      ("places", JSONValue(placeCount)), ("cells", JSONValue(tried.count)),
      ("prompts", pair(counts.items)), ("passages", pair(counts.passages)),
      ("budget", .object(budgetJSON)), ("effect", json(effect(best.reported))),
      ("kl", json(divergence(best.reported))), ("nonsense", json(nonsense(best.reported))),
      ("within_budget", .string(verdict.rawValue)),
    ])
    if let others {
      record["keep_sha256"] = .string(others.description)
      record["keep_prompts"] = pair(counts.others)
      record["loss"] = loss(best.reported).map(json)
    }
    if let controlEffect {
      record["random_directions"] = JSONValue(controls.count)
      record["random_effect"] = json(controlEffect)
    }
    return record
  }

  private func pair(_ counts: [Int]) -> JSONValue { .array(counts.map { JSONValue($0) }) }

  private var budgetJSON: JSONObject {
    JSONObject([
      ("kl", .number(budget.divergence)), ("nonsense", .number(budget.nonsense)),
      ("loss", others == nil ? .null : .number(budget.loss)),
    ])
  }

  private func json(_ figure: Figure) -> JSONValue {
    .object(
      JSONObject([("value", JSONValue(finite: figure.value)), ("interval", figure.interval.json)]))
  }
}

// MARK: For programs

extension SteeringSearchResult {
  /// The document for programs.
  package var json: JSONObject {
    JSONObject([
      ("model", model.json), ("vector", .string(searched.file ?? "")),
      ("found", json(best).merged(with: ["against": json(against)])),
      ("search", .object(record)), ("p", controlProbability.map { .number($0) } ?? .null),
      ("front", .array(front.map(json))), ("tried", .array(tried.map { .object(json($0)) })),
      (
        "random",
        .array(
          controls.map { control in
            .object(
              (control.cell.map(json) ?? [:]).with([
                "effect_reported": .number(control.effect),
                "kl_reported": control.reported.map { JSONValue(finite: $0.divergence) } ?? .null,
              ]))
          })
      ),
      (
        "texts",
        .array(
          texts.map { text in
            [
              "prompt": .string(text.prompt),
              "doses": .array(Self.textDoses.map { .number(Double($0)) }),
              "texts": .array(text.continued.map { .string($0) }),
            ]
          })
      ),
      ("seconds", JSONValue(finite: seconds)),
    ])
  }

  private func json(_ cell: TriedCell) -> JSONObject {
    JSONObject([
      ("layers", .string(LayerSelection.text(cell.place.blocks))),
      ("sites", .string(cell.place.sites.description)),
      ("positions", .string(cell.place.positions.description)),
      ("strength", .number(Double(cell.strength))), ("round", JSONValue(cell.round)),
      ("prompts", JSONValue(cell.figures.effects.count)),
      ("effect", .number(cell.figures.effect)),
      ("kl", JSONValue(finite: cell.figures.divergence)),
      ("nonsense", .number(CellFigures.mean(cell.figures.nonsense))),
      (
        "loss",
        cell.figures.losses.isEmpty ? .null : .number(CellFigures.mean(cell.figures.losses))
      ),
      ("harm", JSONValue(finite: cell.harm)),
    ])
  }

  private func json(_ figures: CellFigures) -> JSONValue {
    .object(
      JSONObject([
        ("effect", json(effect(figures))), ("kl", json(divergence(figures))),
        ("nonsense", json(nonsense(figures))), ("loss", loss(figures).map(json) ?? .null),
      ]))
  }

  private func json(_ reported: Reported) -> JSONValue {
    .object(json(reported.cell).with(["reported": json(reported.reported)]))
  }
}

extension JSONValue {
  /// An object with further members.
  fileprivate func merged(with other: JSONObject) -> JSONValue {
    guard case .object(let object) = self else { return self }
    return .object(object.with(other))
  }
}
