import Glibc
import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

private let model = ModelReference(
  architecture: "rwkv", identity: SHA256.digest([1]), weights: "source", width: 4, layerCount: 2,
  tokenizer: nil)

/// A state of one component per block with these values.
private func state(
  _ values: [Float], named name: String = "wkv", position: Int = 3, batch: Int = 1,
  axes: [String] = ["channel"], shape: [Int]? = nil
) -> SavedState {
  let shape = shape ?? [values.count / batch]
  return SavedState(
    model: model, batch: batch, position: position,
    components: (0..<2).map { block in
      (
        SiteReference(name: "blocks.\(block).state.\(name)", shape: shape, axes: axes),
        Tensor(values.map { $0 + Float(block) }, shape: [batch] + shape)
      )
    })
}

@Suite struct StateArithmeticTests {
  @Test func sumsAndDifferencesOfKnownValues() throws {
    let (a, b) = (state([1, 2, 3], position: 7), state([5, 5, 5]))
    let difference = try a.subtracting(b)
    #expect(difference.isDifference && difference.position == 7)
    #expect(difference.components.allSatisfy { $0.value.values == [-4, -3, -2] })
    let sum = try SavedState.sum([(b, 1), (difference, 0.5)])
    #expect(!sum.isDifference && sum.position == 3)
    #expect(sum.components.map(\.value.values) == [[3, 3.5, 4], [4, 4.5, 5]])
    #expect(try SavedState.sum([(difference, 2), (difference, 1)]).isDifference)
    #expect(a.norms.map(\.values)[0] == [14.squareRoot()])
  }

  @Test func aSumThatOverflowsAsksForSmallerStrengths() {
    let large = state([1e38, 1, 1])
    for strength in [Float(10), -10] {
      let refusal = expectRefusal(.artifactNonfinite) { try SavedState.sum([(large, strength)]) }
      #expect(refusal?.remedy == "Give smaller strengths.")
    }
    expectRefusal(.artifactNonfinite) {
      try SavedState.sum([(state([3e38]), 1), (state([3e38]), 1)])
    }
  }

  @Test func normsAreTakenSequenceBySequence() {
    #expect(state([3, 4, 6, 8], batch: 2).norms[0].values == [5, 10])
  }

  @Test func aStrengthOfZeroChangesNoBit() throws {
    let a = state([-0.0, .leastNonzeroMagnitude, 3])
    let sum = try SavedState.sum([(a, 1), (state([5, 6, 7]), 0)])
    #expect(sum.artifact == a.artifact)
  }

  /// n · e^p and d · e^p are added, also if their exponents differ.
  @Test func sumsUnderAnExponentAreBroughtToOne() throws {
    func rwkv4(_ numerator: Float, _ denominator: Float, _ exponent: Float) -> SavedState {
      let parts = [("numerator", numerator), ("denominator", denominator), ("exponent", exponent)]
      return SavedState(
        model: model, batch: 1, position: 1,
        components: parts.map {
          (
            SiteReference(name: "blocks.0.state.\($0.0)", shape: [1], axes: ["channel"]),
            Tensor([$0.1], shape: [1, 1])
          )
        })
    }
    let terms: [SavedState.Term] = [
      (rwkv4(2, 3, 1), 1), (rwkv4(-1, 0.5, 4), 0.5), (rwkv4(7, 7, 90), 0),
    ]
    let sum = try SavedState.sum(terms).components.map { Double($0.value.values[0]) }
    #expect(sum[2] == 4)
    #expect(abs(sum[0] - (2 * exp(-3.0) - 0.5)) < 1e-6)
    #expect(abs(sum[1] - (3 * exp(-3.0) + 0.25)) < 1e-6)
    // A state that has read nothing has an exponent of -1e30 and adds nothing.
    let nothing = try SavedState.sum([(rwkv4(2, 3, 1), 1), (rwkv4(0, 0, -1e30), 1)])
    #expect(nothing.artifact == rwkv4(2, 3, 1).artifact)
  }

  @Test func refusesStatesThatDoNotFit() {
    let a = state([1, 2])
    expectRefusal(.artifactSite) { try SavedState.sum([(a, 1), (state([1, 2, 3]), 1)]) }
    // Keys of two and of three tokens.
    func keys(_ values: [Float]) -> SavedState { state(values, named: "key", axes: ["position"]) }
    let refusal = expectRefusal(.modelState) { try keys([1, 2]).subtracting(keys([1, 2, 3])) }
    #expect(refusal?.found == "blocks.0.state.key of 3 tokens")
    expectRefusal(.artifactSite) {
      try SavedState.sum([(a, 1), (state([1, 2], named: "ssm"), 1)])
    }
    expectRefusal(.artifactSite) { try SavedState.sum([(a, 1), (state([1, 2], axes: ["x"]), 1)]) }
    expectRefusal(.modelState) {
      try SavedState.sum([(a, 1), (state([1, 2, 3, 4], batch: 2, shape: [2]), 1)])
    }
    expectRefusal(.artifactScale) { try SavedState.sum([(a, .infinity)]) }
    expectRefusal(.artifactEmpty) { try SavedState.sum([]) }
    var reference = model
    reference.identity = SHA256.digest([2])
    let other = SavedState(model: reference, batch: 1, position: 3, components: a.components)
    expectRefusal(.artifactModelDigest) { try a.subtracting(other) }
    #expect(throws: Never.self) { try a.subtracting(other, allowsModelMismatch: true) }
  }

  @Test func aDifferenceStaysOneInItsFile() throws {
    let folder = TemporaryFolder()
    let difference = try state([1, 2]).subtracting(state([0, 1]))
    try difference.artifact.write(to: folder.path("d"))
    let read = try SavedState(Artifact(reading: folder.path("d")))
    #expect(read.isDifference && read.artifact == difference.artifact)
  }
}

@Suite struct TunedStateTests {
  private let folder = TemporaryFolder()
  /// 1 head of 2 keys and 2 values: published as [head, value, key].
  private let published: [Float] = [1, 2, 3, 4]

  private func matrices(_ axes: [String], _ values: [Float] = [0, 0, 0, 0]) -> SavedState {
    state(values, position: 0, axes: axes, shape: [1, 2, 2])
  }

  private func write(_ tensors: [(String, Tensor)], to name: String) throws -> String {
    var writer = PyTorchWriter()
    for (name, value) in tensors { writer.add(name, value) }
    try writer.publish(to: folder.path(name))
    return folder.path(name)
  }

  @Test(arguments: [
    (["head", "key", "value"], [1, 3, 2, 4] as [Float]),
    (["head", "value", "key"], [1, 2, 3, 4]),
  ])
  func theLastAxesAreTurnedWhereTheModelHasThemTheOtherWay(
    _ axes: [String], _ expected: [Float]
  ) throws {
    let tensor = try #require(Tensor(published, shape: [1, 2, 2]).converted(to: .bf16))
    let path = try write(
      [
        ("blocks.0.att.time_state", tensor), ("blocks.1.att.time_state", tensor),
        ("emb.weight", Tensor(zeros: [2, 2])),
      ], to: "tuned.pth")
    let state = try matrices(axes, [9, 9, 9, 9]).replacingTunedMatrices(from: path)
    #expect(state.components.map(\.value.values) == [expected, expected])
    #expect(state.components.allSatisfy { $0.value.shape == [1, 1, 2, 2] })
  }

  @Test(
    arguments: ["out.pth", "out.safetensors"],
    [["head", "key", "value"], ["head", "value", "key"]])
  func whatIsWrittenIsReadBack(_ name: String, _ axes: [String]) throws {
    let state = matrices(axes, [1, 2, 3, 4])
    try state.writeTunedMatrices(to: folder.path(name))
    let checkpoint = try CheckpointSource.open(folder.path(name)).checkpoint
    #expect(
      checkpoint.tensors.map(\.name) == ["blocks.0.att.time_state", "blocks.1.att.time_state"])
    let read = try matrices(axes).replacingTunedMatrices(from: folder.path(name))
    #expect(read.artifact == state.artifact)
  }

  @Test func refusesFilesThatDoNotFit() throws {
    let one = Tensor(published, shape: [1, 2, 2])
    let state = matrices(["head", "value", "key"])
    let (first, second) = ("blocks.0.att.time_state", "blocks.1.att.time_state")
    let missing = try write([(first, one)], to: "missing.pth")
    expectRefusal(.modelTensorMissing) { try state.replacingTunedMatrices(from: missing) }
    let deeper = try write(
      [(first, one), (second, one), ("blocks.2.att.time_state", one)], to: "deeper.pth")
    expectRefusal(.modelTensorUnexpected) { try state.replacingTunedMatrices(from: deeper) }
    let wide = try write([(first, one), (second, Tensor(zeros: [1, 4]))], to: "wide.pth")
    expectRefusal(.modelShape) { try state.replacingTunedMatrices(from: wide) }
    let whole = try write(
      [(first, one), (second, Tensor(zeros: [1, 2, 2], dataType: .i32))], to: "whole.pth")
    expectRefusal(.modelDataType) { try state.replacingTunedMatrices(from: whole) }
  }

  @Test func refusesModelsWithoutSuchMatrices() {
    let mamba = SextantArtifactsTests.state([1, 2], named: "ssm")
    expectRefusal(.artifactSite) { try mamba.writeTunedMatrices(to: folder.path("x.pth")) }
    let two = SextantArtifactsTests.state(
      [Float](repeating: 1, count: 8), batch: 2, axes: ["head", "value", "key"], shape: [1, 2, 2])
    expectRefusal(.modelState) { try two.writeTunedMatrices(to: folder.path("x.pth")) }
    #expect(folder.entries.isEmpty)
  }
}
