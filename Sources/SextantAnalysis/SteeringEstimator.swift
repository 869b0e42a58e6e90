import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

/// How a steering vector is computed from moments.
///
/// Δ is the difference of the class means, positive minus negative; d the difference of one pair.
public enum SteeringMethod: String, Sendable, CaseIterable {
  /// Δ: contrastive activation addition (arXiv 2312.06681).
  case mean
  /// C⁺ Δ, with C the covariance within the classes: Fisher's discriminant.
  case lda
  /// C⁺ Δ, with C the covariance of all texts together, as the code of arXiv 2404.05971 has it.
  case ldaTotal = "lda-total"
  /// Δ divided by the variance within the classes, element by element: for sites too large for a
  /// covariance.
  case ldaDiagonal = "lda-diagonal"
  /// u (u·Δ), with u the unit vector for which Σ (d·u)² is largest: principal component of the
  /// differences, not centred.
  case pca
  /// As `pca`, after the mean of the differences was subtracted.
  case pcaCentered = "pca-centered"

  /// The order of the moments of both classes.
  var order: MomentOrder { self == .lda || self == .ldaTotal ? .covariance : .variance }

  /// Whether differences of pairs are read.
  var needsDifferences: Bool { self == .pca || self == .pcaCentered }

  /// The kind of data from which the method cannot learn.
  fileprivate var flatData: String {
    switch self {
    case .mean: "no texts"
    case .lda, .ldaDiagonal: "texts that do not differ within their classes"
    case .ldaTotal: "texts that do not differ"
    case .pca: "pairs whose texts do not differ"
    case .pcaCentered: "pairs whose differences do not differ, or of one pair"
    }
  }
}

extension SteeringMethod {
  /// The norm to which a vector is scaled after it was computed. Methods differ by orders of
  /// magnitude.
  public enum Scale: String, Sendable, CaseIterable {
    /// As the method defines it.
    case none
    /// Norm 1.
    case unit
    /// The norm of the difference of means.
    case mean
  }
}

/// Computes steering vectors from moments, without a model.
package struct SteeringEstimator: Sendable {
  /// How vectors are computed.
  package let method: SteeringMethod
  /// The share of a multiple of the identity (of the same trace) in a covariance, from 0 to 1.
  package let shrinkage: Double
  /// The norm of vectors.
  package let scale: SteeringMethod.Scale

  /// The names of the classes in moments.
  package static let (positive, negative, difference) = ("positive", "negative", "difference")

  /// Computes vectors by a method.
  ///
  /// - Throws: `usage.option` for a shrinkage that is not between 0 and 1, or that the method has no
  ///   use for.
  package init(
    _ method: SteeringMethod = .mean, shrinkage: Double = 0, scale: SteeringMethod.Scale = .none
  ) throws(Refusal) {
    let shrinks = method == .lda || method == .ldaTotal
    guard (0...1).contains(shrinkage), shrinkage == 0 || shrinks else {
      throw Refusal(
        .usageOption, at: .parameter("shrinkage"), found: "\(shrinkage) with \(method.rawValue)",
        expected: "0 to 1, with lda or lda-total")
    }
    self.method = method
    self.shrinkage = shrinkage
    self.scale = scale
  }

  /// Vectors of all sites of some moments.
  ///
  /// - Parameters:
  ///   - moments: of the classes `positive` and `negative`, and `difference` for PCA.
  ///   - positions: where the texts were read.
  ///   - model: the model that was read.
  ///   - data: the description of the data for the manifest.
  ///   - retraining: the values that training again needs; nil if the moments do not contain them.
  /// - Throws: `artifact.empty` if a class, or an order that the method needs, was not collected;
  ///   `data.variance` if the method needs a spread and the examples have none at any site;
  ///   `artifact.nonfinite`; `artifact.zero` if a vector without direction is to be scaled.
  package func vector(
    from moments: MomentSet, at positions: PositionSelection, model: ModelReference,
    data: JSONObject, retraining: JSONObject? = nil
  ) throws(Refusal) -> SteeringVector {
    try vector(
      from: moments, sites: moments.sites, Alone(), at: positions, model: model, data: data,
      retraining: retraining)
  }

  /// Vectors of all sites. Each rank computes those of the sites that it owns.
  ///
  /// - Parameters:
  ///   - moments: of the sites that this rank owns.
  ///   - sites: all sites.
  /// - Returns: the vector, on every rank.
  /// - Throws: as the other function; `system.ranks`.
  func vector(
    from moments: MomentSet, sites: [SiteDescription], _ ranks: any Collective,
    at positions: PositionSelection, model: ModelReference, data: JSONObject,
    retraining: JSONObject?
  ) throws(Refusal) -> SteeringVector {
    let found = try ranks.map(
      sites.count, { index throws(Refusal) in try result(moments, sites[index]) },
      pack: { result, message in result.put(into: &message) },
      unpack: { reader throws(Refusal) in try Found(&reader) })
    guard found.contains(where: { !$0.isFlat }) else {
      throw Refusal(
        .dataVariance, at: .parameter("method"), found: "\(method.rawValue) of \(method.flatData)",
        expected: "a site at which they differ")
    }
    var targets: [String: SteeringVector.Targets] = [:]
    var statistics = JSONObject()
    for (site, found) in zip(sites, found) {
      targets[site.site.name] = found.targets
      statistics[site.site.name] = .object(found.statistics)
    }
    var parameters = JSONObject()
    if shrinkage > 0 { parameters["shrinkage"] = .number(shrinkage) }
    if scale != .none { parameters["scale"] = .string(scale.rawValue) }
    return SteeringVector(
      model: model, vectors: zip(sites, found).map { ($0.reference, $1.value) },
      targets: targets,
      training: SteeringVector.Training(
        method: method.rawValue, positions: positions, data: data, parameters: parameters,
        retraining: retraining),
      statistics: statistics)
  }

  /// The vector of one site.
  private struct Found {
    var value: Tensor
    var targets: SteeringVector.Targets
    var statistics: JSONObject
    /// Whether the examples have no spread that the method could use.
    var isFlat: Bool

    init(
      _ value: Tensor, _ targets: SteeringVector.Targets, _ statistics: JSONObject, isFlat: Bool
    ) {
      (self.value, self.targets, self.statistics) = (value, targets, statistics)
      self.isFlat = isFlat
    }

    init(_ reader: inout MessageReader) throws(Refusal) {
      value = try reader.tensor()
      targets = SteeringVector.Targets(
        negative: try reader.double(), positive: try reader.double())
      statistics = try reader.object()
      isFlat = try reader.integer(in: 0...1) == 1
    }

    func put(into message: inout Message) {
      message.put(value)
      message.put(targets.negative)
      message.put(targets.positive)
      message.put(statistics)
      message.put(isFlat ? 1 : 0)
    }
  }

  /// The vector of a site, its targets and figures.
  private func result(_ moments: MomentSet, _ site: SiteDescription) throws(Refusal) -> Found {
    let sample = try SteeringSample(moments, site)
    let found = try direction(sample)
    let direction = try scaled(
      found ?? Array(repeating: 0, count: sample.count), sample, site.site.name)
    let values = direction.map(Float.init)
    guard values.allSatisfy(\.isFinite) else {
      throw Refusal(
        .artifactNonfinite, at: .tensor(site.site.name), found: "activations that are not finite",
        expected: "finite numbers", remedy: "Check the weights with `sextant verify`.")
    }
    return Found(
      Tensor(values, shape: site.shape), sample.targets(along: direction),
      sample.statistics(of: direction), isFlat: found == nil)
  }

  /// The direction; nil if the examples have no spread that the method could use.
  private func direction(_ sample: SteeringSample) throws(Refusal) -> [Double]? {
    let difference = sample.difference
    switch method {
    case .mean: return difference
    case .lda:
      guard sample.variesWithinClasses else { return nil }
      return try whitened(difference, by: sample.covarianceWithinClasses(), sample)
    case .ldaTotal:
      guard sample.variesWithinClasses || difference.contains(where: { $0 != 0 }) else {
        return nil
      }
      return try whitened(difference, by: sample.totalCovariance(), sample)
    case .ldaDiagonal:
      guard sample.variesWithinClasses else { return nil }
      let variance = try sample.varianceWithinClasses()
      let least = LinearAlgebra.rounding(size: sample.count) * (variance.max() ?? 0)
      return zip(difference, variance).map { $1 > least ? $0 / $1 : 0 }
    case .pca, .pcaCentered:
      let isCentered = method == .pcaCentered
      guard try sample.differencesVary(centered: isCentered) else { return nil }
      let spread = try sample.spreadOfDifferences(centered: isCentered)
      guard let (_, vectors) = LinearAlgebra.eigen(symmetric: spread, size: sample.count) else {
        return Array(repeating: .nan, count: sample.count)
      }
      let first = vectors.suffix(sample.count)
      let along = zip(first, difference).reduce(0) { $0 + $1.0 * $1.1 }
      return first.map { $0 * along }
    }
  }

  private func whitened(
    _ difference: [Double], by covariance: [Double], _ sample: SteeringSample
  ) throws(Refusal) -> [Double] {
    let n = sample.count
    var covariance = covariance
    if shrinkage > 0 {
      let trace = (0..<n).reduce(0) { $0 + covariance[$1 * n + $1] }
      for index in covariance.indices { covariance[index] *= 1 - shrinkage }
      for index in 0..<n { covariance[index * n + index] += shrinkage * trace / Double(n) }
      if let solution = LinearAlgebra.solve(
        positiveDefinite: covariance, size: n, rightSides: difference)
      {
        return solution
      }
    }
    guard
      let inverse = LinearAlgebra.pseudoInverse(symmetric: covariance, size: n)
    else { return Array(repeating: .nan, count: n) }
    return LinearAlgebra.product(inverse, difference, rows: n, inner: n, columns: 1)
  }

  private func scaled(
    _ direction: [Double], _ sample: SteeringSample, _ site: String
  ) throws(Refusal) -> [Double] {
    guard scale != .none else { return direction }
    let norm = direction.norm
    guard norm != 0 else {
      throw Refusal(
        .artifactZero, at: .tensor(site), found: "classes that do not differ along any direction",
        expected: "a vector that can be scaled",
        remedy: "Leave the site out, or do not scale the vector.")
    }
    let wanted = scale == .unit ? 1 : sample.difference.norm
    return direction.map { $0 * (wanted / norm) }
  }
}

extension [Double] {
  /// The Euclidean norm.
  var norm: Double { reduce(0) { $0 + $1 * $1 }.squareRoot() }
}
