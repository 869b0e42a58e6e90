import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantAnalysis

@Suite struct ProbeTrainerTests {
  /// Three heads of 2 × 2. One of them depends on the label.
  private func examples(showingIn head: Int) -> (Activations, [Bool]) {
    var random = SextantTestSupport.SplitMix64(seed: 3)
    let labels = (0..<200).map { $0 % 3 == 0 }
    var values = random.floats(200 * 12)
    for (row, label) in labels.enumerated() { values[row * 12 + head * 4 + 1] += label ? 2.5 : 0 }
    let site = SiteDescription(
      site: .state(block: 2, component: "wkv"), shape: [3, 2, 2], axes: ["head", "key", "value"])
    return (Activations([(site, Tensor(values, shape: [200, 12]))]), labels)
  }

  @Test(arguments: [0, 1, 2])
  func aHeadsProbeReadsItsHeadAlone(head: Int) throws {
    let (activations, labels) = examples(showingIn: head)
    var trainer = ProbeTrainer([.logistic, .meanDifference])
    trainer.splitsHeads = true
    let result = try trainer.train(activations, labels: labels)
    #expect(
      result.entries.map(\.name)
        == (0..<3).flatMap { own in
          ["lr", "mean-diff"].map { "blocks.2.state.wkv.head\(own).\($0)" }
        })
    for entry in result.entries where entry.method == "lr" {
      let scores = try #require(entry.scores(of: activations))
      let right = zip(scores, labels).count { ($0 >= 0) == $1 }
      #expect(entry.head == head ? right > 180 : right < 160)
      #expect(entry.direction.count == 4)
    }
  }

  @Test func headsOfSitesWithoutHeadsAreRefused() throws {
    let (activations, _) = examples(showingIn: 0)
    var trainer = ProbeTrainer([.logistic])
    trainer.splitsHeads = true
    try trainer.checkHeads(of: activations.sites)
    let refusal = expectRefusal(.usageOption) { try trainer.checkHeads(of: []) }
    #expect(refusal?.place == .parameter("heads"))
    trainer.splitsHeads = false
    try trainer.checkHeads(of: [])
  }

  @Test func partsTrainedTogetherOrAloneHaveTheSameBits() throws {
    let (activations, labels) = examples(showingIn: 1)
    var trainer = ProbeTrainer(ProbeMethod.allCases.filter { !$0.needsPairs })
    trainer.splitsHeads = true
    let results = try [1, 4].map { threads in
      try trainer.train(activations, labels: labels, pool: WorkerPool(threads: threads))
    }
    #expect(results[0].entries == results[1].entries)
  }

  @Test func chosenRecordsAreTheOnesThatWereChosen() throws {
    let (activations, _) = examples(showingIn: 1)
    let half = activations.selecting { $0 % 2 == 1 }
    #expect(half.count == 100 && half.records == Array(stride(from: 1, to: 200, by: 2)))
    let site = activations.sites[0].site
    let (all, some) = (try #require(activations.values[site]), try #require(half.values[site]))
    #expect(some.rows(3..<4) == all.rows(7..<8))
  }

  // MARK: The minimum

  @Test func theSearchFindsTheMinimumOfAQuadratic() {
    // Curvatures from 1 to 10^6.
    let scales = (0..<7).map { index in (0..<index).reduce(1.0) { product, _ in product * 10 } }
    let minimum = LBFGS().minimise(from: [Double](repeating: 3, count: 7)) { point in
      let offsets = point.enumerated().map { $1 - Double($0) }
      let value = zip(scales, offsets).reduce(0) { $0 + $1.0 * $1.1 * $1.1 }
      return (value, zip(scales, offsets).map { 2 * $0 * $1 })
    }
    #expect(minimum.converged && minimum.value < 1e-12)
    for (index, value) in minimum.point.enumerated() { #expect(abs(value - Double(index)) < 1e-6) }
  }

  @Test func theSearchFollowsACurvedValley() {
    // Rosenbrock's function, from its usual start.
    let minimum = LBFGS().minimise(from: [-1.2, 1]) { point in
      let (x, y) = (point[0], point[1])
      let (a, b) = (1 - x, y - x * x)
      return (a * a + 100 * b * b, [-2 * a - 400 * x * b, 200 * b])
    }
    #expect(minimum.converged && minimum.iterations < 60)
    #expect(abs(minimum.point[0] - 1) < 1e-6 && abs(minimum.point[1] - 1) < 1e-6)
  }

  @Test func rowProductsAreThoseOfTheirDefinition() {
    var random = SextantTestSupport.SplitMix64(seed: 8)
    let rows = Tensor(random.floats(700 * 9), shape: [700, 9])
    let vector = random.floats(9).map(Double.init)
    let sums = [1, 3].map { threads in
      RowProducts.transposedProduct(rows, times: vector, pool: WorkerPool(threads: threads)) {
        range, z in
        for (index, row) in range.enumerated() { z[index] = z[index] * z[index] + Double(row) }
      }
    }
    #expect(sums[0] == sums[1])
    let products = RowProducts.product(rows, vectors: vector + vector, count: 2)
    let values = rows.values.map(Double.init)
    var expected = [Double](repeating: 0, count: 9)
    for row in 0..<700 {
      let own = Array(values[row * 9..<(row + 1) * 9])
      let z = LBFGS.dot(own, vector)
      #expect(abs(products[2 * row] - z) < 1e-12 && products[2 * row] == products[2 * row + 1])
      for column in 0..<9 { expected[column] += (z * z + Double(row)) * own[column] }
    }
    for (sum, wanted) in zip(sums[0], expected) { #expect(abs(sum - wanted) < 1e-6) }
  }
}
