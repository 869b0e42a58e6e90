import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Interventions that are bound to one run: the tap of the run, and its edits.
package final class BoundInterventions: Tap {
  private let chain: TapChain
  private let edits: [Edit]
  private let owners: [Owner]
  private let observers: [any GenerationObserver]
  private let reporters: [(item: Int, reporter: any TokenReporter)]
  private let siteOrder: [Site]

  /// A tap that edits, and the items that it is made of.
  private struct Edit {
    enum Kind {
      case own(EditTap)
      case foreign(ForeignEdit)
    }

    let kind: Kind
    var items: [Int]

    var tap: any Tap {
      switch kind {
      case .own(let tap): tap
      case .foreign(let tap): tap
      }
    }

    var log: EditLog {
      switch kind {
      case .own(let tap): tap.log
      case .foreign(let tap): tap.log
      }
    }

    func keepRecords() {
      switch kind {
      case .own(let tap): tap.keepRecords()
      case .foreign(let tap): tap.keepRecords()
      }
    }

    func takeRecords() -> [EditRecord] {
      switch kind {
      case .own(let tap): tap.takeRecords()
      case .foreign(let tap): tap.takeRecords()
      }
    }
  }

  /// An item that edits: the tap that does it, and the sites that are its own.
  private struct Owner {
    let item: Int
    let edit: Int
    let sites: Set<Site>?
    let strength: Float
    let layerStrengths: SteeringOptions.LayerStrengths?
  }

  init(_ interventions: Interventions, _ run: BoundRun) throws(Refusal) {
    var builder = Builder(run)
    for (index, item) in interventions.items.enumerated() { try builder.add(item, index) }
    (edits, owners) = (builder.edits, builder.owners)
    (observers, reporters) = (builder.observers, builder.reporters)
    siteOrder = run.model.description.sites.map(\.site)
    if run.recordsEdits { for edit in edits { edit.keepRecords() } }
    chain = TapChain(
      builder.gates.map { $0.probe as any Tap } + edits.map(\.tap) + observers.map { $0 as any Tap }
    )
    isEmpty = builder.gates.isEmpty && edits.isEmpty && observers.isEmpty
  }

  /// Whether nothing acts and nothing reads.
  private let isEmpty: Bool

  /// The number of tokens at the beginning of a text before the first one that an edit selects. The
  /// decision of a gate may need the score of the token before, so that this one is then not counted.
  ///
  /// - Parameter prompt: the positions of the tokens that count as the prompt, the first one included.
  func plainCount(of tokens: [Int], prompt: Range<Int>) -> Int {
    var selections: [PositionSelection] = []
    var isGated = false
    for edit in edits {
      guard case .own(let tap) = edit.kind else { return 0 }
      selections += tap.selections
      isGated = isGated || tap.gate != nil
    }
    let first = tokens.indices.first { index in
      selections.contains {
        $0.contains(prompt.lowerBound + index, prompt: prompt, token: tokens[index])
      }
    }
    return max((first ?? tokens.count) - (isGated ? 1 : 0), 0)
  }

  /// Whether observers see each step.
  var observes: Bool { !observers.isEmpty }

  /// The tap for a run; nil if nothing acts, so that the run costs nothing more.
  package var tap: (any Tap)? { isEmpty ? nil : self }

  /// Whether any token has been edited so far.
  package var hasEdited: Bool { edits.contains { !$0.log.positions.isEmpty } }

  /// The edits of each editing item, in the order of the list.
  package var summaries: [EditSummary] {
    owners.map { summary(of: $0, in: edits[$0.edit].log) }
  }

  /// The edits of each editing item in one text of a batch, in the order of the list.
  func summaries(of text: TextEdits) -> [EditSummary] {
    owners.map { owner in
      let log = edits[owner.edit].items.first.flatMap { text.logs[$0] }
      return summary(of: owner, in: log ?? EditLog())
    }
  }

  private func summary(of owner: Owner, in log: EditLog) -> EditSummary {
    var summary = log.summary(
      item: owner.item, sites: owner.sites, order: siteOrder, strength: owner.strength,
      layerStrengths: owner.layerStrengths)
    if case .own(let tap) = edits[owner.edit].kind {
      summary.largestAddition = tap.largestAddition(at: owner.sites, log)
    }
    return summary
  }

  /// Hands over the records of edits since the last time, in the order of the edits.
  package func takeRecords() -> [EditRecord] {
    edits.flatMap { edit in
      edit.takeRecords().map { record in
        var record = record
        record.items = edit.items
        return record
      }
    }
  }

  /// Passes the last tokens to every observer; returns whether one of them asks to stop.
  ///
  /// - Parameters:
  ///   - logits: after the last of them, of V elements.
  ///   - next: the token that follows them, if it is known.
  func didRead(
    _ tokens: [Int], endingBefore end: Int, prompt: Range<Int>, _ logits: Tensor, next: Int? = nil
  ) throws(Refusal) -> GenerationVerdict {
    guard !observers.isEmpty else { return .goOn }
    let step = GenerationStep(
      tokens: tokens, positions: end - tokens.count..<end, prompt: prompt,
      logits: logits.reshaped([logits.count]), next: next)
    var verdict = GenerationVerdict.goOn
    for observer in observers {
      if case .stop = try observer.didRead(step) { verdict = .stop }
    }
    return verdict
  }

  /// The reports at a token of the last step, by item.
  func reports(at position: Int) -> [(item: Int, report: JSONObject)] {
    reporters.compactMap { item, reporter in
      reporter.report(at: position).map { (item, $0) }
    }
  }

  /// How strongly the first reporter marks a token; nil for plain.
  func tint(at position: Int) -> Double? {
    reporters.lazy.compactMap { $0.reporter.tint(at: position) }.first
  }

  // MARK: As a tap

  package func wants(_ site: Site) -> Bool { chain.wants(site) }

  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    chain.stateVisits(in: positions)
  }

  package func visit(
    _ site: Site, _ value: inout Tensor, _ context: TapContext
  ) throws(Refusal) {
    try chain.visit(site, &value, context)
  }

  // MARK: Binding

  /// Puts the taps of a list together, one item after the other.
  private struct Builder {
    let run: BoundRun
    var gates: [Gate] = []
    var edits: [Edit] = []
    var owners: [Owner] = []
    var observers: [any GenerationObserver] = []
    var reporters: [(item: Int, reporter: any TokenReporter)] = []
    /// The items so far that edit, with the strengths that were found.
    private var before: [Intervention] = []
    private var vectorClaims = ExclusiveSites("an affine vector")
    private var eraserClaims = ExclusiveSites("an eraser")

    init(_ run: BoundRun) {
      self.run = run
    }

    mutating func add(_ item: Intervention, _ index: Int) throws(Refusal) {
      let model = run.model.description
      switch item {
      case .steer(let applied): try steer(applied, index)
      case .direct(let applied):
        let tap = try EditTap(applied, model: model, prompt: run.prompt)
        before.append(item)
        try append(tap, applied.options, nil, index)
      case .erase(let applied): try erase(applied, index)
      case .edit(let tap):
        before.append(item)
        edits.append(Edit(kind: .foreign(ForeignEdit(tap)), items: [index]))
        owners.append(
          Owner(
            item: index, edit: edits.count - 1, sites: nil, strength: 1, layerStrengths: nil))
      case .probe(let applied):
        let tap = try ProbeTap(
          applied.probe, name: applied.name, layers: applied.layers, model: model,
          tokenizer: run.tokenizer, allowsModelMismatch: applied.allowsModelMismatch)
        observers.append(tap)
        reporters.append((index, tap))
      case .lens(let applied):
        guard let tokenizer = run.textTokenizer else {
          throw Refusal(
            .modelTokenizer, file: applied.lens.lens?.file, found: "a model without a tokenizer",
            expected: "one, for the reports of a lens")
        }
        let reporter = try LensReporter(
          applied.lens, run.model, tokenizer: tokenizer, guesses: applied.guesses,
          allowsModelMismatch: applied.allowsModelMismatch)
        observers.append(reporter)
        reporters.append((index, reporter))
      case .stop(let condition):
        let tap = try ProbeTap(
          condition.probe, name: condition.name, model: model, tokenizer: run.tokenizer,
          allowsModelMismatch: condition.allowsModelMismatch)
        tap.stopsWhen = condition.condition
        observers.append(tap)
      case .observe(let observer):
        observers.append(observer)
        if let reporter = observer as? any TokenReporter { reporters.append((index, reporter)) }
      }
    }

    private mutating func steer(_ applied: AppliedVector, _ index: Int) throws(Refusal) {
      var applied = applied
      if applied.options.unit == .nats {
        applied.options.strength = try searchedStrength(of: applied)
        applied.options.unit = .raw
      }
      let tap = try EditTap(
        applied, model: run.model.description, tokenizer: run.tokenizer, prompt: run.prompt,
        gate: gate(applied.gate))
      try vectorClaims.claim(sitesOf: tap, prompt: run.prompt, by: applied.vector.file)
      before.append(.steer(applied))
      try append(tap, applied.options, applied.vector.file, index)
    }

    private mutating func erase(_ applied: AppliedEraser, _ index: Int) throws(Refusal) {
      let tap = try EditTap(
        applied, model: run.model.description, tokenizer: run.tokenizer, prompt: run.prompt,
        gate: gate(applied.gate))
      try eraserClaims.claim(sitesOf: tap, prompt: run.prompt, by: applied.eraser.file)
      before.append(.erase(applied))
      try append(tap, applied.options, applied.eraser.file, index)
    }

    private mutating func append(
      _ tap: EditTap, _ options: SteeringOptions, _ file: String?, _ index: Int
    ) throws(Refusal) {
      try tap.tokens.check(tap.namedSites, options, run, file: file)
      let sites = tap.sites
      if case .own(let last)? = edits.last?.kind, last.absorb(tap) {
        edits[edits.count - 1].items.append(index)
      } else {
        edits.append(Edit(kind: .own(tap), items: [index]))
      }
      owners.append(
        Owner(
          item: index, edit: edits.count - 1, sites: sites, strength: options.strength,
          layerStrengths: options.layerStrengths))
    }

    private mutating func gate(_ condition: ScoreCondition?) throws(Refusal) -> Gate? {
      guard let condition else { return nil }
      guard run.prompts.count == 1 else {
        throw Refusal(
          .usageOption, file: condition.probe.file, at: .parameter("when"),
          found: "\(counted(run.prompts.count, "text")) at once", expected: "one text")
      }
      let gate = try Gate(condition, model: run.model.description, tokenizer: run.tokenizer)
      gates.append(gate)
      return gate
    }

    /// The strength of a divergence, with the edits before it applied.
    private func searchedStrength(of applied: AppliedVector) throws(Refusal) -> Float {
      try applied.options.checkStrengths(file: applied.vector.file)
      guard applied.gate == nil else {
        throw Refusal(
          .usageOption, file: applied.vector.file, at: .parameter("when"),
          found: "a strength in nats", expected: "another unit for a vector with a condition")
      }
      guard run.prompts.count == 1 else {
        throw Refusal(
          .usageOption, file: applied.vector.file, at: .parameter("apply"),
          found: "a strength in nats for \(counted(run.prompts.count, "text")) at once",
          expected: "one text, whose prediction is measured")
      }
      return try StrengthSearch(applied, on: run, after: Interventions(before)).strength()
    }
  }
}

/// The edits in one text of a batch, whose row changes when other texts end.
struct TextEdits {
  /// A log for each edit, by the first item that it is made of.
  fileprivate var logs: [Int: EditLog] = [:]

  /// Adds the edits in the text.
  mutating func add(_ record: EditRecord) {
    if let item = record.items.first { logs[item, default: EditLog()].add(record) }
  }
}
