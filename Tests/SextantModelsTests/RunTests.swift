import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// The moments at which a run shows the state to a tap, and the refusals of a run.
@Suite struct RunTests {
  let model: any LanguageModel
  let tokens: [Int]
  private let converted: ConvertedModel

  init() throws {
    converted = try ConvertedModel("mamba-tiny/huggingface")
    model = converted.model
    tokens = try Goldens("mamba-tiny/goldens/f32.safetensors").integers("tokens")
  }

  /// Notes each visit of the state as `<position` before a token and `>position` after it.
  private func visits(_ pieces: [Range<Int>], _ wanted: StateVisits) throws -> [String] {
    var seen: [String] = []
    let tap = ClosureTap(
      [.state(block: 0, component: "ssm")],
      stateVisits: { positions in
        StateVisits(
          before: wanted.before.filter(positions.contains),
          after: wanted.after.filter(positions.contains))
      }
    ) { _, _, context in
      seen.append("\(context.stateMoment == .before ? "<" : ">")\(context.positions.lowerBound)")
    }
    var state = model.initialState()
    for piece in pieces {
      _ = try model.run(TokenBatch(Array(tokens[piece])), from: &state, logits: .none, tap: tap)
    }
    return seen
  }

  @Test func theStateIsVisitedBeforeAndAfterTheSameTokensHoweverATextIsCut() throws {
    let all = StateVisits(before: Set(0..<37), after: Set(0..<37))
    let some = StateVisits(before: [0, 5, 20], after: [4, 19, 36])
    for wanted in [all, some] {
      let expected = (0..<37).flatMap { position in
        (wanted.before.contains(position) ? ["<\(position)"] : [])
          + (wanted.after.contains(position) ? [">\(position)"] : [])
      }
      #expect(try visits([0..<37], wanted) == expected)
      #expect(try visits([0..<1, 1..<5, 5..<20, 20..<37], wanted) == expected)
    }
  }

  @Test func aChainShowsTheStateOnlyToTheTapsThatAskedForIt() throws {
    let site = Site.state(block: 0, component: "ssm")
    var (first, second): ([Int], [Int]) = ([], [])
    let chain = TapChain([
      ClosureTap([site], stateVisits: { _ in StateVisits(before: [3, 7]) }) { _, _, context in
        first.append(context.positions.lowerBound)
      },
      ClosureTap([site], stateVisits: { _ in StateVisits(before: [5], after: [6, 7]) }) {
        _, _, context in
        second.append(context.positions.lowerBound)
      },
    ])
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none, tap: chain)
    #expect(first == [3, 7])
    #expect(second == [5, 6, 7])
  }

  @Test func tokensAndStatesThatDoNotFitAreRefused() throws {
    var state = model.initialState()
    expectRefusal(.modelToken) { try model.run(TokenBatch([101]), from: &state) }
    expectRefusal(.modelToken) { try model.run(TokenBatch([-1]), from: &state) }
    expectRefusal(.modelState) { try model.run(TokenBatch([[1], [2]]), from: &state) }
    expectRefusal(.modelState) {
      try state.setComponent(.state(block: 0, component: "ssm"), to: Tensor(zeros: [1, 2, 3]))
    }
    expectRefusal(.modelState) {
      try state.setComponent(.state(block: 9, component: "ssm"), to: Tensor(zeros: [1]))
    }
    let grows = ClosureTap([.embedding]) { _, value, _ in value = Tensor(zeros: [1, 1]) }
    expectRefusal(.modelState) { try model.run(TokenBatch([1]), from: &state, tap: grows) }
  }
}
