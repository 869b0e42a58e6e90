import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantAnalysis

/// Data without variance, without rank, or with one class only.
@Suite struct FlatDataTests {
  private let site = SiteDescription(
    site: .output(block: 0), shape: [3], axes: ["channel"])
  private let other = SiteDescription(
    site: .output(block: 1), shape: [3], axes: ["channel"])

  /// The moments of pairs at a site: rows of three elements.
  private func moments(_ positive: [Float], _ negative: [Float]) -> MomentSet {
    moments([(site, positive, negative)])
  }

  private func moments(_ sites: [(SiteDescription, [Float], [Float])]) -> MomentSet {
    var moments = MomentSet(
      sites: sites.map(\.0), classes: ["positive", "negative", "difference"], order: .covariance)
    for (site, positive, negative) in sites {
      let shape = [positive.count / 3, 3]
      moments.add(Tensor(positive, shape: shape), to: site.site, "positive")
      moments.add(Tensor(negative, shape: shape), to: site.site, "negative")
      moments.add(
        Tensor(zip(positive, negative).map { $0 - $1 }, shape: shape), to: site.site, "difference")
    }
    return moments
  }

  private func train(_ method: SteeringMethod, _ moments: MomentSet) throws -> SteeringVector {
    let model = try ConvertedModel("mamba-tiny/huggingface").model.description
    return try SteeringEstimator(method).vector(
      from: moments, at: .last, model: model.reference(tokenizer: nil), data: JSONObject())
  }

  @Test(arguments: [SteeringMethod.lda, .ldaDiagonal, .pcaCentered])
  func onePairHasNoSpread(_ method: SteeringMethod) {
    expectRefusal(.dataVariance) { try train(method, moments([1, 2, 3], [3, 1, 2])) }
  }

  @Test(arguments: SteeringMethod.allCases.filter { $0 != .mean })
  func equalTextsHaveNoSpread(_ method: SteeringMethod) {
    let row: [Float] = [0.1, -7.3, 1e4]
    let rows = (0..<3).flatMap { _ in row }
    expectRefusal(.dataVariance) { try train(method, moments(rows, rows)) }
  }

  @Test(arguments: [SteeringMethod.lda, .ldaDiagonal, .pcaCentered])
  func pairsThatAreAllTheSameHaveNoSpread(_ method: SteeringMethod) throws {
    let positive = (0..<7).flatMap { _ in [0.1, 0.7, -3.3] as [Float] }
    let negative = (0..<7).flatMap { _ in [1.3, 0.2, -0.9] as [Float] }
    expectRefusal(.dataVariance) { try train(method, moments(positive, negative)) }
    // There is still one direction: all differ along it.
    let vector = try train(.pca, moments(positive, negative)).vectors[0].value.values
    #expect(zip(vector, [-1.2, 0.5, -2.4] as [Float]).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func aSiteWithoutSpreadHasAVectorOfZerosBesideOthers() throws {
    var random = SplitMix64(seed: 1)
    let (positive, negative) = (random.floats(30), random.floats(30))
    let flat = (0..<10).flatMap { _ in [1, 2, 3] as [Float] }
    let vector = try train(
      .pcaCentered, moments([(site, flat, flat), (other, positive, negative)]))
    #expect(vector.vectors[0].value.values == [0, 0, 0])
    #expect(vector.vectors[1].value.values.contains { $0 != 0 })
  }

  // MARK: Probes and erasers

  /// Pairs of examples at one site; four numbers of each, the false choice first.
  private func activations(_ rows: [Float], _ pairs: [Float]) -> Activations {
    let site = SiteDescription(site: .output(block: 0), shape: [2], axes: ["channel"])
    return Activations(
      [(site, Tensor(rows, shape: [rows.count / 2, 2]))],
      pairs: [(site, Tensor(pairs, shape: [pairs.count / 4, 4]))])
  }

  @Test(arguments: ProbeMethod.allCases.filter { $0 != .random })
  func equalExamplesTrainNoProbe(_ method: ProbeMethod) {
    let rows: [Float] = Array([[Float]](repeating: [0.3, -5.1], count: 6).joined())
    let pairs: [Float] = Array([[Float]](repeating: [0.3, -5.1, 2, 7], count: 6).joined())
    let activations = activations(rows, pairs)
    expectRefusal(.dataVariance) {
      try ProbeTrainer([method]).train(activations, labels: (0..<6).map { $0 % 2 == 0 })
    }
  }

  @Test func oneExampleOfEachLabelHasNoCovarianceWithinTheLabels() throws {
    let activations = activations([1, 2, 3, 5], [1, 2, 2, 2, 3, 4, 1, 7])
    let labels = [true, false]
    for method in [ProbeMethod.discriminant, .discriminantOnPair] {
      expectRefusal(.dataVariance) {
        try ProbeTrainer([method]).train(activations, labels: labels)
      }
    }
    // Methods that need no variance are trained, and the others are named.
    let result = try ProbeTrainer([.logistic, .discriminant]).train(activations, labels: labels)
    #expect(result.entries.map(\.method) == ["lr"])
    #expect(result.skipped.count == 1 && result.skipped[0].contains("do not differ"))
    expectRefusal(.dataEmpty) {
      try ProbeTrainer([.logistic]).train(activations, labels: [true, true])
    }
  }

  @Test func pairsWithOneDifferenceTellNoMethodWithoutLabelsAnything() {
    var random = SplitMix64(seed: 4)
    let rows = random.floats(24)
    var pairs: [Float] = []
    for start in stride(from: 0, to: 24, by: 2) {
      let (x, y) = (rows[start], rows[start + 1])
      pairs += [x, y, x + 1, y - 2]
    }
    for method in [ProbeMethod.consistentSearch, .clustering, .negativeCovariance] {
      expectRefusal(.dataVariance) {
        try ProbeTrainer([method]).train(
          activations(rows, pairs), labels: (0..<12).map { $0 % 2 == 0 })
      }
    }
  }

  @Test func anEraserNeedsBothLabelsAmongTheExamplesHeldOut() throws {
    var random = SplitMix64(seed: 4)
    let activations = activations(random.floats(40), random.floats(80))
    let labels = (0..<20).map { $0 % 2 == 0 }
    let held: [(Int) -> Bool] = [{ _ in false }, { $0 % 2 == 0 && $0 > 10 }, { $0 == 3 }]
    for isHeldOut in held {
      expectRefusal(.dataEmpty) {
        try EraserTrainer.train(activations, labels: labels, isHeldOut: isHeldOut)
      }
    }
    let trained = try EraserTrainer.train(activations, labels: labels) { $0 > 15 }
    #expect(trained.heldOutLabels.count == 4 && trained.erasers.count == 1)
  }

  /// On 600 rows of 8 columns whose scales fall from 1 to 1.3e-5: the smallest eigenvalue is 1.6e-10 of
  /// the largest.
  @Test func steeringAndProbesFindOneDirectionByLDA() throws {
    let n = 8
    var random = SplitMix64(seed: 7)
    var scales: [Float] = [1]
    for _ in 1..<n { scales.append((scales.last ?? 1) / 5) }
    var rows: [Float] = []
    for row in 0..<600 {
      for column in 0..<n {
        let shift: Float = row % 2 == 0 ? 0.5 * Float(column + 1) : 0
        rows.append((random.floats(1)[0] + shift) * scales[column])
      }
    }
    let site = SiteDescription(site: .output(block: 0), shape: [n], axes: ["channel"])
    let labels = (0..<600).map { $0 % 2 == 0 }
    let activations = Activations([(site, Tensor(rows, shape: [600, n]))])
    let probe = try ProbeTrainer([.discriminant]).train(activations, labels: labels).entries[0]
    var moments = MomentSet(sites: [site], classes: ["positive", "negative"], order: .covariance)
    for (parity, name) in ["positive", "negative"].enumerated() {
      let own = stride(from: parity, to: 600, by: 2).flatMap { rows[$0 * n..<($0 + 1) * n] }
      moments.add(Tensor(own, shape: [300, n]), to: site.site, name)
    }
    let vector = try train(.lda, moments).vectors[0].value.values.map(Double.init)
    // In units in which every column has the same variance.
    let sizes = scales.map(Double.init)
    let a = zip(vector, sizes).map { $0 * $1 }
    let b = zip(probe.direction, sizes).map { $0 * $1 }
    let dot = { (a: [Double], b: [Double]) -> Double in
      zip(a, b).reduce(0.0) { $0 + $1.0 * $1.1 }
    }
    #expect(dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot() > 1 - 1e-9)
    // No column is dropped. A column with a larger number separates the classes better.
    #expect(a.allSatisfy { $0 > 0 } && a[7] > a[0])
  }
}
