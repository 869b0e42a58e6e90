import Glibc
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantAnalysis

/// Examples that are far fewer than the elements that a probe reads.
@Suite struct FewRowsTests {
  private let labels = [true, false, true, true, false, false]
  private let rows: Tensor

  init() {
    var random = SextantTestSupport.SplitMix64(seed: 4)
    rows = Tensor(random.floats(6 * 40).map { 3 * $0 + 1 }, shape: [6, 40])
  }

  /// The gradient of the loss is zero at its minimum.
  @Test func logisticRegressionReachesItsMinimum() throws {
    let moments = ClassMoments(rows, labels, order: .covariance)
    let fit = LogisticRegression.fit(rows, labels, moments: moments.total)
    #expect(fit.converged)
    let values = rows.values.map(Double.init)
    var gradient = fit.weights.map { 2 * LogisticRegression.penalty * $0 } + [0]
    for (row, label) in labels.enumerated() {
      let own = Array(values[row * 40..<(row + 1) * 40])
      let z = LBFGS.dot(own, fit.weights) + fit.bias
      let residual = (0.5 * (1 + tanh(z / 2)) - (label ? 1 : 0)) / 6
      for column in 0..<40 { gradient[column] += residual * own[column] }
      gradient[40] += residual
    }
    #expect(gradient.allSatisfy { abs($0) < 1e-6 })
  }

  @Test func theDiscriminantIsThatOfTheWholeCovariance() throws {
    let moments = ClassMoments(rows, labels, order: .covariance)
    let expected = try #require(moments.discriminant)
    let means = [moments.negative.mean, moments.positive.mean]
    let few = try #require(FewRows(rows, means: means) { labels[$0] ? 1 : 0 })
    let found = try #require(few.pseudoInverseProduct(moments.difference))
    let scale = expected.map(abs).max() ?? 0
    #expect(scale > 0)
    for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 1e-9 * scale) }
  }

  @Test func manyRowsAreNotFew() {
    let square = Tensor(zeros: [6, 23])
    #expect(FewRows(square, means: [[Double](repeating: 0, count: 23)]) { _ in 0 } == nil)
  }
}
