import SextantBytes
import SextantModelTestSupport
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantModels

/// One token of each of several sequences that have read different numbers of tokens.
@Suite struct StepTests {
  private let exact = Bound(absolute: 0, relative: 0)
  /// The tokens that each sequence has read before the steps.
  private let lengths = [5, 0, 17, 1]
  private let stepCount = 6

  private func open(
    _ fixture: ModelFixture
  ) throws -> (model: any LanguageModel, sequences: [[Int]]) {
    let tokens = try fixture.goldens().integers("tokens")
    let sequences = lengths.indices.map { shift in
      tokens.prefix(lengths[shift] + stepCount).map { ($0 + 7 * shift) % 101 }
    }
    return (try fixture.convert().model, sequences)
  }

  /// The states of the sequences after the tokens before the steps.
  private func states(_ model: any LanguageModel, _ sequences: [[Int]]) throws -> [State] {
    try zip(sequences, lengths).map { sequence, length in
      var state = model.initialState()
      if length > 0 {
        let tokens = TokenBatch(Array(sequence.prefix(length)))
        _ = try model.run(tokens, from: &state, logits: .none)
      }
      return state
    }
  }

  /// A tap that changes the stream and the state by a number of its own, and notes its visits.
  private final class Editor: Tap {
    let sites: Set<Site>
    let amount: Float
    private(set) var visits: [String] = []

    init(_ model: any LanguageModel, _ amount: Float) {
      let states = model.initialState().layoutSites
      sites = Set([Site.output(block: 0)] + states.prefix(1))
      self.amount = amount
    }

    func wants(_ site: Site) -> Bool { sites.contains(site) }

    func stateVisits(in positions: Range<Int>) -> StateVisits {
      StateVisits(before: Set(positions.filter { $0 % 2 == 0 }), after: Set(positions))
    }

    func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
      let token = context.token(sequence: 0, position: context.positions.lowerBound) ?? -1
      visits.append("\(site) \(context.batch) \(context.positions) \(token)")
      value.withMutableFloats { $0[0] += amount }
    }
  }

  @Test(arguments: ModelFixture.kinds)
  func aSequenceHasTheSameBitsAloneAndBesideOthers(fixture: ModelFixture) throws {
    let (model, sequences) = try open(fixture)
    var alone = try states(model, sequences)
    var together = State.joining(alone)
    let editors = (0..<2).map { _ in sequences.indices.map { Editor(model, Float($0)) } }
    for step in 0..<stepCount {
      let tokens = sequences.indices.map { sequences[$0][lengths[$0] + step] }
      let joint = try model.step(
        tokens, from: &together, taps: editors[0].enumerated().map { $0 == 2 ? nil : $1 })
      for row in tokens.indices {
        let own = try model.step(
          [tokens[row]], from: &alone[row], taps: [row == 2 ? nil : editors[1][row]])
        let (a, b) = (try joint[row].get().values, try own[0].get().values)
        #expect(a.map(\.bitPattern) == b.map(\.bitPattern), "sequence \(row), step \(step)")
      }
    }
    #expect(together.positions == lengths.map { $0 + stepCount })
    for row in sequences.indices {
      #expect(together.selecting([row]) == alone[row], "state of sequence \(row)")
      #expect(editors[0][row].visits == editors[1][row].visits)
      #expect(editors[0][row].visits.isEmpty == (row == 2))
    }
  }

  @Test(arguments: ModelFixture.kinds)
  func stepsEqualARunWithinRounding(fixture: ModelFixture) throws {
    let (model, sequences) = try open(fixture)
    var together = State.joining(try states(model, sequences))
    var logits: [[Tensor]] = sequences.map { _ in [] }
    for step in 0..<stepCount {
      let results = try model.step(
        sequences.indices.map { sequences[$0][lengths[$0] + step] }, from: &together)
      for (row, result) in results.enumerated() { logits[row].append(try result.get()) }
    }
    let size = model.description.vocabularySize
    for (row, sequence) in sequences.enumerated() {
      var state = model.initialState()
      let expected = try model.run(TokenBatch(sequence), from: &state, logits: .all)  // [1, T, V]
      let rows = expected.reshaped([sequence.count, size]).rows(lengths[row]..<sequence.count)
      let steps = Tensor.concatenated(logits[row].map { $0.reshaped([1, size]) })
      expectClose(steps, rows, exact, "sequence \(row)")
      let own = together.selecting([row])
      for site in state.sites {
        expectClose(
          try #require(own.component(site)), try #require(state.component(site)), exact,
          site.name)
      }
    }
  }

  @Test func aTapThatFailsEndsItsOwnSequenceOnly() throws {
    let (model, sequences) = try open(ModelFixture.kinds[0])
    var (failing, quiet) = (
      State.joining(try states(model, sequences)), State.joining(try states(model, sequences))
    )
    let error = Refusal(.modelNonfinite, found: "NaN", expected: "a number")
    var calls = 0
    let tap = ClosureTap([.output(block: 0), .output(block: 1)]) {
      _, _, _ throws(Refusal) in
      calls += 1
      throw error
    }
    let tokens = sequences.indices.map { sequences[$0][lengths[$0]] }
    let results = try model.step(tokens, from: &failing, taps: [nil, tap, nil, nil])
    let plain = try model.step(tokens, from: &quiet)
    #expect(calls == 1)
    #expect(throws: Refusal.self) { try results[1].get() }
    for row in [0, 2, 3] {
      #expect(try results[row].get().values == plain[row].get().values)
      #expect(failing.selecting([row]) == quiet.selecting([row]))
    }
  }

  @Test func anEditOfAValueThatIsOnlyShownEndsItsOwnSequenceOnly() throws {
    let (model, sequences) = try open(ModelFixture.kinds[0])
    let memory = Site.memory(block: 1)
    #expect(memory.isReadOnly && Site.router(block: 0).isReadOnly)
    #expect(!Site.output(block: 1).isReadOnly && !Site.embedding.isReadOnly)
    let reader = ClosureTap([memory]) { _, _, _ in }
    let editor = ClosureTap([memory]) { _, value, _ in value.withMutableFloats { $0[0] += 1 } }
    var state = State.joining(try states(model, sequences))
    let tokens = sequences.indices.map { sequences[$0][lengths[$0]] }
    let results = try model.step(tokens, from: &state, taps: [reader, editor, nil, nil])
    for (row, result) in results.enumerated() {
      if row == 1 {
        let refusal = expectRefusal(.artifactSite) { try result.get() }
        #expect(refusal?.remedy.contains("blocks.1.input") == true)
      } else {
        _ = try result.get()
      }
    }
  }

  @Test func sequencesOfDifferentLengthsDoNotRunAsABatch() throws {
    let (model, sequences) = try open(ModelFixture.kinds[0])
    var state = State.joining(try states(model, sequences))
    #expect(!state.isEven)
    do {
      _ = try model.run(TokenBatch(sequences.map { _ in [1, 2] }), from: &state)
      Issue.record("not refused")
    } catch {
      #expect(error.code == .modelState)
      #expect(error.found.contains("[5, 0, 17, 1]"))
    }
    let tokens = sequences.map { _ in model.description.vocabularySize }
    do {
      _ = try model.step(tokens, from: &state)
      Issue.record("not refused")
    } catch {
      #expect(error.code == .modelToken)
    }
  }
}

extension State {
  /// The sites of its components of constant size.
  fileprivate var layoutSites: [Site] {
    layout.enumerated().flatMap { block, components in
      components.filter { !$0.grows }.map { .state(block: block, component: $0.name) }
    }
  }
}
