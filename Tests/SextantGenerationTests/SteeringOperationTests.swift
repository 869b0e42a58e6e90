import Glibc
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// The effect of each operation on a value and on a run.
@Suite struct SteeringOperationTests {
  typealias Operation = SteeringVector.Operation

  private let vector: [Float] = [3, -4, 0, 0]  // norm 5
  private let targets = SteeringVector.Targets(negative: -1, positive: 2)

  private func apply(
    _ operation: Operation, _ strength: Float, _ unit: SteeringEdit.Unit = .raw,
    to value: [Float]
  ) -> [Float] {
    var value = value
    _ = value.withUnsafeMutableBufferPointer {
      SteeringEdit(operation, vector: vector, targets: targets)
        .apply(strength: strength, unit: unit, to: $0)
    }
    return value
  }

  private func projection(_ value: [Float]) -> Double {
    zip(value, vector).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } / 5
  }

  private func norm(_ value: [Float]) -> Double {
    value.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
  }

  private let value: [Float] = [1, 2, -2, 4]  // norm 5, projection -1

  @Test func addAddsTheVectorTimesTheStrength() {
    #expect(apply(.add, 0.5, to: value) == [2.5, 0, -2, 4])
    #expect(apply(.add, -1, to: value) == [-2, 6, -2, 4])
  }

  @Test func aShareOfTheNormIsAddedWhateverTheVectorsNorm() {
    for strength in [Float(0.1), -0.3] {
      let moved = apply(.add, strength, .share, to: value)
      let step = zip(moved, value).map { $0 - $1 }
      #expect(abs(norm(step) - Double(abs(strength)) * 5) < 1e-6)
      #expect(abs(projection(step) - Double(strength) * 5) < 1e-6)
    }
  }

  @Test func theNormIsPreserved() {
    let moved = apply(.addPreservingNorm, 2, to: value)
    #expect(abs(norm(moved) - 5) < 1e-6)
    let added = apply(.add, 2, to: value)
    for (a, b) in zip(moved, added) {
      #expect(abs(Double(a) - Double(b) * 5 / norm(added)) < 1e-6)
    }
    // There is no norm to restore, and no division by zero.
    #expect(apply(.addPreservingNorm, -1, to: vector) == [0, 0, 0, 0])
  }

  @Test func projectingTakesTheDirectionOut() {
    #expect(abs(projection(apply(.project, 1, to: value))) < 1e-6)
    #expect(abs(projection(apply(.project, 0.5, to: value)) + 0.5) < 1e-6)
    // The orthogonal part does not change.
    #expect(apply(.project, 1, to: value)[2...] == value[2...])
    let once = apply(.project, 1, to: value)
    for (a, b) in zip(apply(.project, 1, to: once), once) { #expect(abs(a - b) < 1e-6) }
  }

  @Test func affineSetsTheProjectionToTheMeanOfAClass() {
    #expect(abs(projection(apply(.affine, 1, to: value)) - 2) < 1e-6)
    #expect(abs(projection(apply(.affine, -1, to: [9, -9, 0, 0])) + 1) < 1e-5)
    #expect(abs(projection(apply(.affine, 0.5, to: value)) - 0.5) < 1e-6)
    #expect(apply(.affine, 1, to: value)[2...] == value[2...])
  }

  @Test func clampingMovesOnlyWhatFallsShort() {
    #expect(abs(projection(apply(.clamp, 1, to: value)) - 2) < 1e-6)
    let beyond: [Float] = [9, -9, 1, 0]
    #expect(apply(.clamp, 1, to: beyond) == beyond)
    #expect(abs(projection(apply(.clamp, -1, to: beyond)) + 1) < 1e-5)
    let below: [Float] = [-9, 9, 1, 0]
    #expect(apply(.clamp, -1, to: below) == below)
  }

  @Test(arguments: Operation.allCases)
  func strengthZeroAndNoVectorChangeNoBit(operation: Operation) {
    let value: [Float] = [-0.0, 0, .infinity, -1]
    let bits = value.map(\.bitPattern)
    #expect(apply(operation, 0, to: value).map(\.bitPattern) == bits)
    var edited = value
    _ = edited.withUnsafeMutableBufferPointer {
      SteeringEdit(operation, vector: [0, -0.0, 0, 0], targets: targets).apply(strength: 3, to: $0)
    }
    #expect(edited.map(\.bitPattern) == bits)
  }
}

/// Vectors in a run: strengths in other units, positions by token, several at once.
@Suite struct SteeringRunTests {
  typealias Operation = SteeringVector.Operation

  let converted: ConvertedModel
  let model: any LanguageModel
  private let prompt = [5, 6, 7, 8, 9, 6]

  init() throws {
    converted = try ConvertedModel("mamba-tiny/huggingface")
    model = converted.model
  }

  private func logits(
    _ applied: [AppliedVector], _ prompt: [Int]? = nil
  ) throws -> (logits: Tensor, summaries: [EditSummary], state: State) {
    let prompt = prompt ?? self.prompt
    var state = model.initialState()
    let bound = try Interventions(applied.map { .steer($0) }).bind(
      to: BoundRun(
        model, tokenizer: nil, prompts: [prompt], from: state, readingAfter: 16))
    let logits = try model.run(TokenBatch(prompt), from: &state, logits: .all, tap: bound.tap)
    return (logits, bound.summaries, state)
  }

  @Test(arguments: ["residual", "state", "all"])
  func aVectorAndItsNegativeChangeNoBit(words: String) throws {
    let vector = try SteeringVector.random(
      model.description, [words], positions: .init([.all]))
    let plain = try logits([])
    let both = try logits([
      AppliedVector(vector, .init(strength: 1.5)), AppliedVector(vector, .init(strength: -1.5)),
    ])
    #expect(both.logits == plain.logits && both.state == plain.state)
    #expect(both.summaries.map(\.tokens) == [0, 0])
    let zero = SteeringVector(
      model: vector.model, vectors: vector.vectors.map { ($0.site, Tensor(zeros: $0.value.shape)) },
      positions: vector.positions, training: vector.training, statistics: vector.statistics)
    #expect(try logits([AppliedVector(zero)]).logits == plain.logits)
  }

  @Test func vectorsThatOnlyAddCommute() throws {
    let first = try SteeringVector.random(model.description, ["blocks.0.output"], seed: 1)
    let second = try SteeringVector.random(model.description, ["all"], seed: 2)
    let options = [SteeringOptions(strength: 0.5), SteeringOptions(strength: -0.25)]
    let forth = try logits([.init(first, options[0]), .init(second, options[1])])
    let back = try logits([.init(second, options[1]), .init(first, options[0])])
    expectClose(forth.logits, back.logits, Bound(absolute: 1e-6), "order")
    #expect(forth.summaries.map(\.sites) == [1, 9] && back.summaries.map(\.sites) == [9, 1])
    #expect(forth.summaries.map(\.strength) == [0.5, -0.25])
  }

  @Test func theOrderOfOtherOperationsIsThatOfTheArtifacts() throws {
    let site = "blocks.1.output"
    let added = try SteeringVector.random(model.description, [site], seed: 1)
    let removed = try SteeringVector.random(
      model.description, [site], operation: .project, seed: 1)
    // Adding a vector and then projecting it out gives the same stream as projecting alone.
    let both = try logits([.init(added, .init(strength: 3)), .init(removed)])
    let alone = try logits([.init(removed)])
    expectClose(both.logits, alone.logits, Bound(absolute: 1e-4), "added first")
    let other = try logits([.init(removed), .init(added, .init(strength: 3))])
    #expect(other.logits != both.logits)
  }

  @Test func tokensAreSteeredByTheirIDs() throws {
    for words in ["blocks.1.output", "blocks.1.state.ssm"] {
      let vector = try SteeringVector.random(model.description, [words])
      let byToken = try logits([
        .init(vector, .init(positions: PositionSelection("token=6")))
      ])
      let byIndex = try logits([
        .init(vector, .init(positions: PositionSelection("1,5")))
      ])
      #expect(byToken.summaries.map(\.positions) == [[1, 5]])
      expectClose(byToken.logits, byIndex.logits, Bound(absolute: 2e-5), words)
    }
  }

  @Test func theStateCanBeSteeredAtOtherTokens() throws {
    let vector = try SteeringVector.random(model.description, ["all"])
    let both = try logits([
      .init(vector, .init(positions: .last, statePositions: .init([.every(stride: 1)])))
    ])
    let residual = try SteeringVector.random(model.description, ["all"])
    #expect(both.summaries[0].positions == [5] && both.summaries[0].sites == 9)
    let early = try logits([
      .init(residual, .init(positions: .last, statePositions: .init([.index(2)])))
    ])
    #expect(early.summaries[0].positions == [2, 5])
  }

  @Test(arguments: [Float(0.01), 0.1, -0.1])
  func aDivergenceIsReached(nats: Float) throws {
    for words in ["blocks.1.output", "state"] {
      let vector = try SteeringVector.random(model.description, [words])
      let plain = try logits([])
      let steered = try logits([.init(vector, .init(strength: nats, unit: .nats))])
      let last = { (logits: Tensor) throws -> LogProbabilities in
        try #require(LogProbabilities.rows(logits).last)
      }
      let found = try last(plain.logits).divergence(of: last(steered.logits))
      #expect(abs(found - Double(abs(nats))) <= 0.01 * Double(abs(nats)), "\(words)")
      #expect((steered.summaries[0].strength < 0) == (nats < 0))
    }
  }

  @Test(arguments: [
    (Operation.add, SteeringOptions.Unit.raw, false), (.addPreservingNorm, .raw, false),
    (.add, .share, true), (.addPreservingNorm, .share, true), (.project, .raw, true),
    (.affine, .raw, true), (.clamp, .raw, true),
  ])
  func whatNeedsADirectionRefusesVectorsWithoutOne(
    operation: Operation, unit: SteeringOptions.Unit, isRefused: Bool
  ) throws {
    let vector = try SteeringVector.random(
      model.description, ["blocks.0.output", "blocks.1.output"])
    var vectors = vector.vectors.map { ($0.site, Tensor(zeros: $0.value.shape)) }
    let zero = vector.replacing(vectors: vectors)
    let options = SteeringOptions(strength: 0.5, unit: unit, operation: operation)
    if isRefused {
      expectRefusal(.artifactZero) { try logits([.init(zero, options)]) }
    } else {
      #expect(try logits([.init(zero, options)]).logits == logits([]).logits)
    }
    var none = options
    none.strength = 0
    #expect(try logits([.init(zero, none)]).logits == logits([]).logits)
    // One vector with a direction is enough.
    vectors[1].1 = vector.vectors[1].value
    let summary = try logits([.init(vector.replacing(vectors: vectors), options)]).summaries[0]
    // A clamp does not change values that are beyond its target, and does not count them.
    #expect(summary.siteNames == (operation == .clamp ? [] : ["blocks.1.output"]))
  }

  @Test(arguments: [
    ("all", "all", true), ("last", "prompt", true), ("generated", "5", false),
    ("generated-3", "every-2", true), ("prompt", "generated", false), ("last", "token=3", true),
    ("0,2", "1,3", false), ("every-7", "every-11", true),
  ])
  func twoVectorsCannotSetOneValue(first: String, second: String, isRefused: Bool) throws {
    let site = "blocks.1.output"
    let vectors = try [first, second].enumerated().map { index, text in
      try SteeringVector.random(
        model.description, [site], operation: .affine,
        positions: #require(PositionSelection(text)), seed: UInt64(index))
    }
    let both = vectors.map { AppliedVector($0) }
    if isRefused {
      let refusal = expectRefusal(.artifactConflict) { try logits(both) }
      #expect(refusal?.place == .tensor(site))
    } else {
      _ = try logits(both)
    }
    // At other sites, of strength 0, and of operations that do not set a value.
    let elsewhere = try SteeringVector.random(
      model.description, ["blocks.0.output", "blocks.1.state.ssm"], operation: .affine,
      positions: .init([.all]))
    _ = try logits([both[0], .init(elsewhere)])
    _ = try logits([both[0], .init(vectors[1], .init(strength: 0))])
    for operation in [Operation.add, .addPreservingNorm, .project, .clamp] {
      _ = try logits([both[0], .init(vectors[1], .init(operation: operation))])
    }
  }

  @Test func strengthsThatCannotBeAreRefused() throws {
    let vector = try SteeringVector.random(model.description, ["blocks.1.output"])
    expectRefusal(.artifactScale) {
      try logits([.init(vector, .init(strength: 1e4, unit: .nats))])
    }
    expectRefusal(.usageNothingSteered) {
      try logits([
        .init(vector, .init(strength: 0.1, unit: .nats, positions: .init([.generated])))
      ])
    }
    let removed = try SteeringVector.random(
      model.description, ["blocks.1.output"], operation: .project)
    expectRefusal(.artifactScale) {
      try logits([.init(removed, .init(strength: 0.1, unit: .share))])
    }
    let bare = SteeringVector(
      model: vector.model, vectors: vector.vectors, training: vector.training,
      statistics: JSONObject())
    expectRefusal(.artifactSchema) { try logits([.init(bare, .init(operation: .clamp))]) }
  }
}
