import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTexts
import SextantTokenizers

extension SteeringExperiment {
  /// The unit of a sweep's multipliers: multiples of the vector, or shares of the norm of the edited
  /// value.
  public enum Unit: String, Sendable, CaseIterable {
    case raw, share
  }
}

/// Measures a steering vector at every layer and strength, with random directions of equal norm as
/// controls, and its side effects at the chosen layers.
///
/// Layers are chosen on one half of the prompts and reported on the other.
public struct SteeringExperiment {
  /// The measurements in addition to the test.
  public struct SideTests: Sendable {
    /// A text whose perplexity is measured; nil for none.
    public var text: String?
    /// Tests that are scored by accuracy, by file.
    package var tests: [(file: String, items: [ChoiceTest.Tokens])] = []
    /// Prompts that are continued without and with steering.
    public var prompts: [String] = []
    /// Tokens of a continuation.
    public var tokenCount = 48

    /// Nothing.
    public init() {}

    /// Tests that are read from files.
    ///
    /// - Parameters:
    ///   - tests: the files of tests that are scored by accuracy.
    ///   - prompts: the file of prompts to continue; nil for none.
    ///   - template: the template for questions; nil if none.
    ///   - promptLimit: prompts to continue at most; nil for 8.
    ///   - tokenCount: tokens of a continuation; nil for the usual number.
    /// - Throws: `file.*`, `text.*`, `json.*`, `data.*`.
    package init(
      text: String?, tests paths: [String], prompts file: String?, template: PromptTemplate?,
      _ tokenizer: any Tokenizer, promptLimit: Int?, tokenCount count: Int?
    ) throws(Refusal) {
      self.text = text
      for path in paths {
        let test = try ChoiceTest(reading: path, template: template, isShared: true)
        tests.append((path, try test.tokenized(by: tokenizer)))
      }
      tokenCount = count ?? tokenCount
      guard let file else { return }
      prompts = try PromptFile(TextFile(reading: file)) { template?.fill($0) ?? $0 }
        .entries.prefix(promptLimit ?? 8).map(\.text)
    }
  }

  /// The strengths that are measured unless others are named.
  public static let standardMultipliers: [Float] = [-3, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 3]

  /// The strengths; 0, the baseline, is always measured.
  public var multipliers = standardMultipliers
  /// The unit of the multipliers.
  public var unit = SteeringExperiment.Unit.raw
  /// The blocks; nil for all that the vector has something for.
  public var layers: LayerSelection?
  /// The sets of sites to steer together; nil for the residual stream, the state and both, as far
  /// as the vector has them.
  public var sites: [SteeredSites]?
  /// The tokens to steer, of the prompt and of answers of several tokens.
  public var positions = PositionSelection.last
  /// The tokens before which the state is edited; nil for `positions`.
  public var statePositions: PositionSelection?
  /// The operation; nil for the one that the artifact declares.
  public var operation: SteeringVector.Operation?
  /// Whether a vector of another model of the same width and depth is accepted.
  public var allowsModelMismatch = false
  /// Random directions of equal norm.
  public var controlCount = 16
  /// The seed of controls, halves and intervals.
  public var seed: UInt64 = 0
  /// The measurements in addition to the test.
  public var side = SideTests()
  /// The processes that measure together. No figure depends on them.
  package var ranks: any Collective = Alone()

  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let vector: SteeringVector

  /// An experiment with the settings of the properties above, which can be changed.
  public init(_ vector: SteeringVector, _ model: any LanguageModel, _ tokenizer: any Tokenizer) {
    (self.vector, self.model, self.tokenizer) = (vector, model, tokenizer)
  }

  /// Runs the sweep, its controls and the other measurements.
  ///
  /// Several ranks divide the prompts and the controls. Only the first rank has side effects and
  /// continuations.
  ///
  /// - Parameters:
  ///   - template: the name of the template for the test's questions, for the result.
  ///   - progress: receives prompts or controls done and in all.
  /// - Throws: `artifact.*` for a vector that does not fit the model or the sites; `usage.option` for
  ///   `multipliers` without another strength than 0, and for a strength or sites that are named twice;
  ///   `usage.nothing-steered` if no token is selected, or `statePositions` has no state to act on;
  ///   `data.*`, `model.*`.
  public func run(
    on test: ChoiceTest, template: String? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> SteeringEvaluation {
    let clock = Stopwatch()
    try checkStatePositions()
    try checkGrid()
    let items = try test.tokenized(by: tokenizer)
    if ranks.size > 1 {
      try ranks.requireSame([
        ("model", reference.json.canonicalText), ("data", Self.fingerprint(of: items)),
        ("vector", SHA256.digest(try vector.artifact.bytes()).description), ("settings", settings),
      ])
    }
    let result = try sweep(vector, layers, multipliers, sites ?? Self.sets(of: vector, in: layers))
      .run(on: items, ranks: ranks) { progress($0, $1) }
    let sweepSeconds = clock.seconds
    let summary = SweepSummary(result, seed: seed)
    let controls = try SteeringEvaluation.Controls(
      of: vector, summary: summary, count: controlCount, seed: seed, on: items, ranks: ranks,
      sweep: { vector, layers, sites throws(Refusal) in
        try sweep(vector, layers, multipliers, [sites])
      },
      progress: { progress($0, $1) })
    var evaluation = SteeringEvaluation(
      model: reference, vector: vector, test: test,
      template: template, summary: summary, controls: controls, seed: seed, unit: unit,
      positions: positions, statePositions: statePositions)
    evaluation.untouchedByStateEdits = model.description.untouchedByStateEdits
    if ranks.isFirst {
      evaluation.sideEffects = try sideEffects(summary)
      evaluation.continuations = try continuations(summary)
    }
    evaluation.seconds = (sweepSeconds, clock.seconds)
    return evaluation
  }

  private var reference: ModelReference {
    model.description.reference(tokenizer: tokenizer.digest)
  }

  /// The digest of the tokens of all items.
  private static func fingerprint(of items: [ChoiceTest.Tokens]) -> String {
    SHA256.digest(Array("\(items.map { [$0.prompt] + $0.matching + $0.other })".utf8)).description
  }

  /// The settings that decide what is computed, for the comparison of ranks.
  private var settings: String {
    let words: [Any?] = [
      multipliers, unit, layers, sites, positions, statePositions, operation, controlCount, seed,
      Precision.current,
    ]
    return words.map { $0.map { "\($0)" } ?? "default" }.joined(separator: " ")
  }

  /// Refuses positions of a state that is not edited.
  private func checkStatePositions() throws(Refusal) {
    guard statePositions != nil else { return }
    guard vector.vectors.contains(where: { $0.site.isState }) else {
      throw Refusal(
        .usageNothingSteered, file: vector.file, at: .parameter("statePositions"),
        found: "a vector without a component of the state", expected: "a vector of the state",
        remedy: "Leave the option out, or train the vector with `sites` state.")
    }
    guard sites.map({ $0.contains { $0 != .residual } }) ?? true else {
      throw Refusal(
        .usageNothingSteered, at: .parameter("statePositions"),
        found: "only the residual stream is steered", expected: "`sites` state or both",
        remedy: "Leave the option out, or name other sites.")
    }
  }

  /// Refuses strengths that measure nothing, and strengths or sites that are named twice.
  private func checkGrid() throws(Refusal) {
    guard multipliers.contains(where: { $0 != 0 }) else {
      throw Refusal(
        .usageOption, at: .parameter("multipliers"),
        found: multipliers.isEmpty ? "no strength" : "only 0",
        expected: "a strength other than 0, the baseline, which is always measured")
    }
    let (strengths, names) = (multipliers.map { "\($0 + 0)" }, (sites ?? []).map { "\($0)" })
    for (parameter, words) in [("multipliers", strengths), ("sites", names)] {
      var seen: Set<String> = []
      guard let word = words.first(where: { !seen.insert($0).inserted }) else { continue }
      throw Refusal(
        .usageOption, at: .parameter(parameter), found: "\(word) twice", expected: "each once")
    }
  }

  private func sweep(
    _ vector: SteeringVector, _ layers: LayerSelection?, _ multipliers: [Float],
    _ sites: [SteeredSites]
  ) throws(Refusal) -> SteeringSweep {
    try SteeringSweep(
      model, tokenizer: tokenizer.digest, vector: vector, options: options(strength: 1),
      layers: layers, multipliers: multipliers, sites: sites)
  }

  private func options(strength: Float) -> SteeringOptions {
    SteeringOptions(
      strength: strength, unit: unit == .share ? .share : .raw, operation: operation,
      positions: positions, statePositions: statePositions,
      allowsModelMismatch: allowsModelMismatch)
  }

  /// The groups of sites that a vector can steer in some blocks; nil for all.
  private static func sets(
    of vector: SteeringVector, in layers: LayerSelection?
  ) -> [SteeredSites] {
    let sites = vector.vectors.compactMap { $0.site.site }.filter { site in
      layers.map { layers in site.block.map(layers.contains) ?? false } ?? true
    }
    let has = { (set: SteeredSites) in sites.contains(where: set.includes) }
    return [SteeredSites.residual, .state].filter(has)
      + (has(.residual) && has(.state) ? [.both] : [])
  }

  /// The side effects of steering, at each chosen layer and its two compared strengths.
  private func sideEffects(
    _ summary: SweepSummary
  ) throws(Refusal) -> [SteeringEvaluation.SideEffect] {
    guard side.text != nil || !side.tests.isEmpty else { return [] }
    var effects: [SteeringEvaluation.SideEffect] = []
    for curve in summary.curves {
      let strengths = [curve.ends.low, curve.ends.high]
      for strength in (effects.isEmpty ? [0] : []) + strengths {
        effects.append(try sideEffect(of: curve, strength))
      }
    }
    return effects
  }

  private func sideEffect(
    of curve: SweepSummary.Curve, _ strength: Float
  ) throws(Refusal) -> SteeringEvaluation.SideEffect {
    var effect = SteeringEvaluation.SideEffect(
      sites: curve.sites, layer: curve.layer, multiplier: strength)
    if let text = side.text {
      let kept = try vector.keeping(curve.sites, layer: curve.layer)
      effect.loss = try SideEffects.loss(
        of: model, tokenizer: tokenizer.digest, on: tokenizer.encodeDocument(text),
        applying: strength == 0 ? nil : AppliedVector(kept, options(strength: strength)))
    }
    for (file, items) in side.tests {
      let found = try SideEffects.accuracy(
        of: sweep(
          vector, LayerSelection(curve.layer...curve.layer), [strength == 0 ? 1 : strength],
          [curve.sites]), on: items)
      effect.accuracies.append((file, strength == 0 ? found.plain : found.steered))
    }
    return effect
  }

  /// Each prompt, continued at the strengths of the last set of sites that are compared, and at 0.
  private func continuations(
    _ summary: SweepSummary
  ) throws(Refusal) -> [SteeringEvaluation.Continuation] {
    guard !side.prompts.isEmpty, let curve = summary.curves.last else { return [] }
    let kept = try vector.keeping(curve.sites, layer: curve.layer)
    var texts: [SteeringEvaluation.Continuation] = []
    for prompt in side.prompts {
      for strength in [curve.ends.low, 0, curve.ends.high] {
        var options = options(strength: strength)
        (options.positions, options.statePositions) = (.fromLast, nil)
        let generator = Generator(
          model, tokenizer, applying: [.steer(AppliedVector(kept, options))])
        let sampling = try SamplingOptions(temperature: 0.8, seed: seed)
        let result = try generator.generate(
          tokenizer.encodeText(prompt),
          GenerationOptions(tokenCount: side.tokenCount, sampling: sampling))
        texts.append(
          .init(prompt: prompt, sites: curve.sites, multiplier: strength, text: result.text))
      }
    }
    return texts
  }
}
