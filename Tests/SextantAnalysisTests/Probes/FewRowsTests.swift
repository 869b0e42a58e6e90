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

  /// Few rows have the minimum that the general search finds among the same rows, each repeated until they are
  /// not few.
  @Test func theMinimumIsThatOfRepeatedRows() throws {
    let repeated = Tensor(
      Array((0..<3).map { _ in rows.values }.joined()), shape: [18, 40])
    let many = Array((0..<3).map { _ in labels }.joined())
    let fits = [(rows, labels), (repeated, many)].map { rows, labels in
      LogisticRegression.fit(
        rows, labels, moments: ClassMoments(rows, labels, order: .covariance).total)
    }
    #expect(abs(fits[0].loss - fits[1].loss) < 1e-12)
    #expect(abs(fits[0].bias - fits[1].bias) < 1e-6)
    let scale = fits[1].weights.map(abs).max() ?? 0
    #expect(scale > 0.01)
    for (a, b) in zip(fits[0].weights, fits[1].weights) { #expect(abs(a - b) < 1e-6 * scale) }
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
