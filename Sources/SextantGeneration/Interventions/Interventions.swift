import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTokenizers

/// One item that acts on a run, or reads its values.
public enum Intervention {
  /// Steers with a vector.
  case steer(AppliedVector)
  /// Adds a direction of one's own, or takes it out.
  case direct(AppliedDirection)
  /// Erases a concept.
  case erase(AppliedEraser)
  /// Edits values with a tap of one's own. It is also visited while the strength of a later vector in
  /// nats is searched for.
  case edit(any Tap)
  /// Reports the scores of probes.
  case probe(AppliedProbe)
  /// Reports the predictions of a lens.
  case lens(AppliedLens)
  /// Ends the text at a token whose score meets a condition.
  case stop(ScoreCondition)
  /// Reads along with an observer of one's own.
  case observe(any GenerationObserver)
}

/// Everything that acts on a run: an ordered list, which every runner takes whole.
///
/// Edits act in the order of the list, each on the result of the previous one. Neighbouring vectors
/// that only add, at the same positions, are added to each other first: a vector and its negative
/// then change nothing, bit for bit. The probes of gates read every site before the edits. Reports
/// read it after them, as the model does.
public struct Interventions: ExpressibleByArrayLiteral {
  /// The list.
  public var items: [Intervention]

  /// Nothing, or a list.
  public init(_ items: [Intervention] = []) {
    self.items = items
  }

  /// A list.
  public init(arrayLiteral items: Intervention...) {
    self.items = items
  }

  /// The interventions that a runner supports; it refuses the others.
  package struct Support: OptionSet, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) {
      self.rawValue = rawValue
    }

    /// `steer`, `direct`, `erase` and `edit`, which change values.
    package static let edits = Support(rawValue: 1)
    /// `probe`, `lens` and `observe`, which report of tokens.
    package static let reports = Support(rawValue: 2)
    /// `stop`, which ends a text.
    package static let stops = Support(rawValue: 4)
  }

  /// Whether anything in the list can change values.
  public var hasEdits: Bool { items.contains { $0.support == .edits } }

  /// The same list with the strengths of all vectors times a factor.
  package func scaled(by factor: Float) -> Interventions {
    Interventions(
      items.map { item in
        guard case .steer(var applied) = item else { return item }
        applied.options.strength *= factor
        applied.options.layerStrengths = applied.options.layerStrengths?.scaled(by: factor)
        return .steer(applied)
      })
  }

  /// Whether anything in the list reads along, so that every token is read, the last one too.
  var observes: Bool { items.contains { $0.support != .edits } }

  /// Whether each text of a batch is edited as if it ran alone. This is the case if all items are
  /// vectors and erasers without gates, whose strengths need no search.
  var suitBatches: Bool {
    items.allSatisfy { item in
      switch item {
      case .steer(let applied): applied.gate == nil && applied.options.unit != .nats
      case .direct: true
      case .erase(let applied): applied.gate == nil
      case .edit, .probe, .lens, .stop, .observe: false
      }
    }
  }

  /// Refuses items that a runner does not support.
  ///
  /// - Parameters:
  ///   - runner: the runner's name for people, such as `steer shadow`.
  /// - Throws: `usage.option`.
  package func check(_ support: Support, of runner: String) throws(Refusal) {
    for item in items where !support.contains(item.support) {
      throw Refusal(
        .usageOption, file: item.file,
        at: .parameter(item.support == .stops ? "stopWhen" : "apply"),
        found: item.name, expected: "items that \(runner) supports: \(support.names)")
    }
  }

  /// Checks each item alone against a model, before there is a prompt.
  ///
  /// Which tokens an item selects, and its strength in nats, are known with the prompt only.
  ///
  /// - Throws: as `bind`.
  func check(
    fitting model: any LanguageModel, _ tokenizer: any Tokenizer, from state: State
  ) throws(Refusal) {
    let run = BoundRun(
      model, tokenizer: tokenizer.digest, prompts: [[0]], from: state, textTokenizer: tokenizer)
    for item in items {
      var item = item
      if case .steer(var applied) = item, applied.options.unit == .nats {
        applied.options.unit = .raw
        item = .steer(applied)
      }
      do throws(Refusal) {
        _ = try Interventions([item]).bind(to: run)
      } catch {
        guard error.code == .usageNothingSteered else { throw error }
      }
    }
  }

  /// Binds the list to a run, and checks all of it.
  ///
  /// - Throws: `artifact.*` for an artifact that does not fit, such as `artifact.conflict` for two
  ///   affine vectors at one site; `usage.nothing-steered` for an edit of a strength other than 0 that
  ///   selects no token of the run; `usage.option`; `model.*` while a strength is searched for.
  package func bind(to run: BoundRun) throws(Refusal) -> BoundInterventions {
    try BoundInterventions(self, run)
  }
}

extension Interventions.Support {
  /// The kinds of artifacts, for refusals.
  fileprivate var names: String {
    var names = contains(.edits) ? ["steering vectors", "erasers"] : []
    if contains(.reports) { names += ["probes", "lenses"] }
    return names.isEmpty ? "nothing" : names.joined(separator: ", ")
  }
}

extension Intervention {
  /// The support of a runner that it needs.
  fileprivate var support: Interventions.Support {
    switch self {
    case .steer, .direct, .erase, .edit: .edits
    case .probe, .lens, .observe: .reports
    case .stop: .stops
    }
  }

  /// Its name in refusals.
  fileprivate var name: String {
    switch self {
    case .steer: "a steering vector"
    case .direct: "a direction"
    case .erase: "an eraser"
    case .edit: "a tap that edits"
    case .probe: "a probe that reports scores"
    case .lens: "a lens that reports predictions"
    case .stop: "a condition that ends a text"
    case .observe: "an observer"
    }
  }

  /// The file that it was read from.
  fileprivate var file: String? {
    switch self {
    case .steer(let applied): applied.vector.file
    case .erase(let applied): applied.eraser.file
    case .probe(let applied): applied.probe.file
    case .lens(let applied): applied.lens.lens?.file
    case .stop(let condition): condition.probe.file
    case .direct, .edit, .observe: nil
    }
  }
}

/// The run that interventions are bound to.
package struct BoundRun {
  /// The model that runs.
  package var model: any LanguageModel
  /// The digest of the tokenizer that made the ids; nil if they came as ids.
  package var tokenizer: Digest?
  /// The tokenizer, which lenses need for their reports.
  package var textTokenizer: (any Tokenizer)?
  /// The prompts of the batch, of one length.
  package var prompts: [[Int]]
  /// The state that the prompts continue.
  package var state: State
  /// Tokens that are read after the prompt at most.
  package var countAfter: Int
  /// Whether a record of every edit is kept.
  package var recordsEdits: Bool

  /// A run of prompts of one length.
  package init(
    _ model: any LanguageModel, tokenizer: Digest?, prompts: [[Int]], from state: State,
    readingAfter countAfter: Int = 0, recordsEdits: Bool = false,
    textTokenizer: (any Tokenizer)? = nil
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.prompts = prompts
    self.state = state
    self.countAfter = max(countAfter, 0)
    self.recordsEdits = recordsEdits
    self.textTokenizer = textTokenizer
  }

  /// The positions of the prompts in their sequences.
  var prompt: Range<Int> { state.position..<state.position + (prompts.first?.count ?? 0) }

  /// Whether a token of this id is in a prompt.
  func reads(_ token: Int) -> Bool { prompts.contains { $0.contains(token) } }

  /// The positions that are read.
  var read: Range<Int> {
    let (end, overflow) = prompt.upperBound.addingReportingOverflow(countAfter)
    return prompt.lowerBound..<(overflow ? Int.max : end)
  }
}
