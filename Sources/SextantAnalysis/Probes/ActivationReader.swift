import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

/// Runs a model over prompts and keeps the activations at chosen positions, and after each choice.
package struct ActivationReader {
  private let model: any LanguageModel
  private let positions: PositionSelection
  private let pooling: Probe.Pooling
  private let batch: Int
  private let ranks: any Collective

  /// Reads `model` at some positions of each prompt.
  ///
  /// - Parameters:
  ///   - batch: the number of prompts of equal length that run together; the values do not depend on it.
  ///   - ranks: the processes that read together; the values do not depend on them.
  package init(
    _ model: any LanguageModel, positions: PositionSelection = .last,
    pooling: Probe.Pooling = .each, batch: Int = 32, ranks: any Collective = Alone()
  ) {
    self.model = model
    self.positions = positions
    self.pooling = pooling
    self.batch = max(batch, 1)
    self.ranks = ranks
  }

  /// Reads prompts.
  ///
  /// Both choices of a pair continue from a copy of the state after the prompt, so that a pair
  /// costs two more tokens and not two prompts.
  ///
  /// Several ranks divide the batches. Each receives the values of all prompts at the sites that it owns.
  ///
  /// - Parameters:
  ///   - sites: the sites to read; rank r owns every `ranks.size`-th from r on.
  ///   - readsPairs: read each choice's first token, too; needs choices, and one example per prompt.
  ///   - progress: receives prompts done and in all.
  /// - Returns: the activations at the owned sites; in one process those at all.
  /// - Throws: `usage.option` for positions that a prompt does not have; `data.record` for pairs
  ///   without choices; `artifact.site` for a state that grows; `artifact.nonfinite`; `model.*`.
  package func read(
    _ prompts: ChoicePrompts, sites: [SiteDescription], readsPairs: Bool = false,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Activations {
    try check(prompts, sites, readsPairs)
    let plan = try ExamplePlan(lengths: prompts.prompts.map(\.count), positions, pooling)
    guard !readsPairs || plan.records.count == prompts.prompts.count else {
      throw Refusal(
        .usageOption, at: .parameter("positions"), found: "\(positions) for contrast pairs",
        expected: "one example for each prompt, such as last")
    }
    let owned = ranks.owned(sites.count).map { sites[$0] }
    let width = owned.reduce(0) { $0 + $1.elementCount }
    try MemoryBudget.check(
      MemoryBudget.sum([
        MemoryBudget.product(plan.records.count, width, 4),
        readsPairs ? MemoryBudget.product(2, prompts.prompts.count, width, 4) : 0,
      ]),
      for:
        "the activations of \(counted(plan.records.count, "example")) at \(counted(owned.count, "site"))",
      remedy: "Name fewer sites with `sites` and `layers`, or fewer records with `where`.")
    var result = Activations(empty: owned, plan, prompts, readsPairs: readsPairs)
    let count = prompts.prompts.count
    var done = 0
    let batches = RunBatch.batches(of: prompts.prompts.map(\.count)) {
      model.sequencesAtOnce(batch, length: $0)
    }
    if ranks.size == 1 {
      for batch in batches {
        try read(batch.members, of: prompts, plan, readsPairs, into: &result)
        done += batch.members.count
        progress(done, count)
      }
    } else {
      try ranks.stream(
        batches.count,
        { index throws(Refusal) -> Activations in
          // The batch alone, as a set of prompts of its own.
          let part = prompts.selecting(batches[index].members)
          let plan = try ExamplePlan(lengths: part.prompts.map(\.count), positions, pooling)
          var found = Activations(empty: sites, plan, part, readsPairs: readsPairs)
          try read(Array(part.prompts.indices), of: part, plan, readsPairs, into: &found)
          return found
        },
        pack: { $0.put(ranks.owned(sites.count, by: $1).map { sites[$0] }, into: &$2) },
        unpack: { index, reader throws(Refusal) in
          let part = prompts.selecting(batches[index].members)
          let plan = try ExamplePlan(lengths: part.prompts.map(\.count), positions, pooling)
          var found = Activations(empty: owned, plan, part, readsPairs: readsPairs)
          try found.fill(from: &reader)
          return found
        },
        use: { index, part throws(Refusal) in
          result.place(part, records: batches[index].members, plan)
          done += batches[index].members.count
          progress(done, count)
        })
    }
    for site in owned {
      for tensor in [result.values[site.site], result.pairs[site.site]] {
        guard tensor?.withFloats({ $0.allSatisfy(\.isFinite) }) ?? true else {
          throw Refusal(
            .artifactNonfinite, at: .tensor(site.site.name),
            found: "activations that are not finite", expected: "finite numbers",
            remedy: "Check the weights with `sextant verify`.")
        }
      }
    }
    return result
  }

  private func check(
    _ prompts: ChoicePrompts, _ sites: [SiteDescription], _ readsPairs: Bool
  ) throws(Refusal) {
    if let site = sites.first(where: \.grows) {
      throw Refusal(
        .artifactSite, found: "\(site.site), which grows with each position",
        expected: "the residual stream, or a state of constant size",
        remedy: "Use `sites` residual.")
    }
    guard !prompts.prompts.isEmpty else {
      throw Refusal(.dataEmpty, found: "no records", expected: "at least one")
    }
    guard !readsPairs || prompts.choices != nil else {
      throw Refusal(
        .dataRecord, found: "records without choices",
        expected: "\"choices\" in every record, for contrast pairs")
    }
  }

  /// Reads prompts of equal length.
  private func read(
    _ records: [Int], of prompts: ChoicePrompts, _ plan: ExamplePlan, _ readsPairs: Bool,
    into result: inout Activations
  ) throws(Refusal) {
    let tap = ActivationTap(sites: result.sites, places: records.map { plan.places[$0] })
    tap.values = result.values
    result.values = [:]  // one owner, so that nothing is copied
    var state = model.initialState(batch: records.count)
    let batch = TokenBatch(records.map { prompts.prompts[$0] })
    let logits = try model.run(
      batch, from: &state, logits: prompts.choices == nil ? .none : .last, tap: tap)
    result.values = tap.values
    guard let choices = prompts.choices else { return }
    let width = model.description.vocabularySize
    logits.withFloats { logits in
      for (index, record) in records.enumerated() {
        result.outputs[record] =
          logits[index * width + choices[record][1]] - logits[index * width + choices[record][0]]
      }
    }
    guard readsPairs else { return }
    let position = state.position
    // A pair's two choices are adjacent, [2B]; rows of [N, 2n] take them as [2N, n].
    var fork = state.selecting(records.indices.flatMap { [$0, $0] })
    let places = records.flatMap { record in
      (0..<2).map { [ExamplePlan.Place(position: position, row: 2 * record + $0, weight: 1)] }
    }
    let pairTap = ActivationTap(sites: result.sites, places: places)
    for site in result.sites {
      pairTap.values[site.site] = result.pairs[site.site].map {
        $0.reshaped([2 * $0.rowCount, site.elementCount])
      }
    }
    result.pairs = [:]
    let tokens = TokenBatch(records.flatMap { choices[$0].map { [$0] } })
    _ = try model.run(tokens, from: &fork, logits: .none, tap: pairTap)
    for site in result.sites {
      result.pairs[site.site] = pairTap.values[site.site].map {
        $0.reshaped([$0.rowCount / 2, 2 * site.elementCount])
      }
    }
  }
}

/// Adds the values to the rows of examples.
private final class ActivationTap: Tap {
  var values: [Site: Tensor] = [:]
  private let sites: Set<Site>
  /// Indexed by sequence of the batch and position.
  private let places: [[Int: ExamplePlan.Place]]
  private let stateVisits: StateVisits

  init(sites: [SiteDescription], places: [[ExamplePlan.Place]]) {
    self.sites = Set(sites.map(\.site))
    self.places = places.map { own in
      Dictionary(own.map { ($0.position, $0) }, uniquingKeysWith: { first, _ in first })
    }
    let readsState = sites.contains { $0.site.isState }
    stateVisits = StateVisits(
      after: readsState ? Set(places.joined().map(\.position)) : [])
  }

  func wants(_ site: Site) -> Bool { sites.contains(site) }

  func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(after: stateVisits.after.filter(positions.contains))
  }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard var target = values.removeValue(forKey: site) else { return }
    let rows = value.reshaped([value.count / target.columnCount, target.columnCount])
    for (sequence, own) in places.enumerated() {
      for position in context.positions {
        guard let place = own[position] else { continue }
        let row = site.isState ? sequence : context.row(sequence: sequence, position: position)
        target.add(rows, row: row, to: place.row, weight: place.weight)
      }
    }
    values[site] = target
  }
}
