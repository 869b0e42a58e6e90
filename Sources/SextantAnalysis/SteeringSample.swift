import SextantArtifacts
import SextantBytes
import SextantModels

/// The moments of two classes at one site, from which all vectors are computed.
struct SteeringSample {
  private let site: SiteDescription
  private let positive: MomentAccumulator
  private let negative: MomentAccumulator
  private let differences: MomentAccumulator?

  /// The elements of a value, n.
  var count: Int { site.elementCount }

  init(_ moments: MomentSet, _ site: SiteDescription) throws(Refusal) {
    self.site = site
    guard let positive = moments[site.site, SteeringEstimator.positive],
      let negative = moments[site.site, SteeringEstimator.negative], positive.count > 0,
      negative.count > 0
    else {
      throw Refusal(
        .artifactEmpty, at: .tensor(site.site.name), found: "no moments of both classes",
        expected: "moments of the classes positive and negative")
    }
    self.positive = positive
    self.negative = negative
    differences = moments[site.site, SteeringEstimator.difference]
  }

  /// Mean of the positive texts minus mean of the negative ones, [n].
  var difference: [Double] { zip(positive.mean, negative.mean).map { $0 - $1 } }

  /// The sum of both classes' squared deviations from their own mean over the degrees of freedom.
  private func pooled(
    _ spread: (MomentAccumulator) -> [Double]
  ) -> [Double] {
    let (p, q) = (Double(positive.count), Double(negative.count))
    let freedom = max(p + q - 2, 1)
    return zip(spread(positive), spread(negative)).map { (p * $0 + q * $1) / freedom }
  }

  /// The covariance within the classes, unbiased, [n, n].
  func covarianceWithinClasses() throws(Refusal) -> [Double] {
    try require(.covariance, of: positive, negative, "lda-diagonal")
    return pooled(\.spread)
  }

  /// The covariance of all texts together, unbiased, [n, n].
  func totalCovariance() throws(Refusal) -> [Double] {
    try require(.covariance, of: positive, negative, "lda-diagonal")
    var all = positive
    all.merge(negative)
    let factor = Double(all.count) / Double(max(all.count - 1, 1))
    return all.spread.map { $0 * factor }
  }

  /// The variance of each element within the classes, unbiased, [n].
  func varianceWithinClasses() throws(Refusal) -> [Double] {
    if positive.order == .mean || negative.order == .mean {
      try require(.variance, of: positive, negative, "mean")
    }
    return pooled(variance)
  }

  /// The variance within the classes along a direction, which is not normalised: vᵀ C v, with the
  /// variances of single elements if there is no covariance.
  func varianceWithinClasses(along direction: [Double]) throws(Refusal) -> Double {
    guard positive.order == .covariance else {
      return zip(try varianceWithinClasses(), direction).reduce(0) { $0 + $1.0 * $1.1 * $1.1 }
    }
    let covariance = try covarianceWithinClasses()
    return direction.indices.reduce(0) { sum, row in
      let inner = direction.indices.reduce(0) {
        $0 + covariance[row * count + $1] * direction[$1]
      }
      return sum + direction[row] * inner
    }
  }

  /// Whether two texts of one class differ.
  var variesWithinClasses: Bool { positive.varies || negative.varies }

  /// Whether pairs differ in their differences, or, not centred, whether there is a difference at all.
  func differencesVary(centered: Bool) throws(Refusal) -> Bool {
    guard let differences else { return true }  // refused with what the method needs
    return differences.varies || !centered && differences.mean.contains { $0 != 0 }
  }

  /// The mean of d dᵀ over the pairs' differences d, or their covariance, [n, n].
  func spreadOfDifferences(centered: Bool) throws(Refusal) -> [Double] {
    guard let differences, differences.count > 0 else {
      throw Refusal(
        .artifactEmpty, at: .tensor(site.site.name), found: "no moments of differences",
        expected: "moments of the class difference",
        remedy: "Read the texts again with `method` pca, or with `momentsFor` pca.")
    }
    try require(.covariance, of: differences, differences, "mean")
    var spread = differences.spread
    if centered { return spread }
    let mean = differences.mean
    for row in 0..<count {
      for column in 0..<count { spread[row * count + column] += mean[row] * mean[column] }
    }
    return spread
  }

  private func require(
    _ order: MomentOrder, of first: MomentAccumulator, _ second: MomentAccumulator,
    _ otherMethod: String
  ) throws(Refusal) {
    guard first.order == order, second.order == order else {
      let isLarge = order == .covariance && count > MomentSet.covarianceLimit
      throw Refusal(
        .artifactEmpty, at: .tensor(site.site.name),
        found: isLarge ? counted(count, "element") : "moments without a \(order)",
        expected: isLarge
          ? "at most \(counted(MomentSet.covarianceLimit, "element")) for a covariance matrix"
          : "moments with a \(order)",
        remedy: isLarge
          ? "Leave the site out with `sites`, or use `method` \(otherMethod)."
          : "Read the texts again with this method, or name it with `momentsFor`.")
    }
  }

  private func variance(_ moments: MomentAccumulator) -> [Double] {
    switch moments.order {
    case .mean: []
    case .variance: moments.spread
    case .covariance: moments.diagonal
    }
  }

  /// The mean projections of both classes on a direction's unit vector.
  func targets(along direction: [Double]) -> SteeringVector.Targets {
    let norm = max(direction.norm, .leastNormalMagnitude)
    let project = { (mean: [Double]) in
      zip(mean, direction).reduce(0) { $0 + $1.0 * $1.1 } / norm
    }
    return SteeringVector.Targets(
      negative: project(negative.mean), positive: project(positive.mean))
  }

  /// Figures by which a user judges the strength of a vector: its norm, the norm of the mean
  /// activation, and the distance of the classes, |difference|² over the summed variance of both
  /// classes.
  func statistics(of direction: [Double]) -> JSONObject {
    let mean = zip(positive.mean, negative.mean).map { ($0 + $1) / 2 }
    let spread = (variance(positive) + variance(negative)).reduce(0, +)
    let squared = difference.reduce(0) { $0 + $1 * $1 }
    return [
      "norm": .number(direction.norm), "mean_norm": .number(mean.norm),
      "separation": .number(spread > 0 ? squared / spread : 0),
    ]
  }
}
