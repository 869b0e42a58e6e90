import SextantArtifacts
import SextantBytes
import SextantTensor

/// Why a method finds no direction at a site.
enum NoDirection: Error, Equatable {
  /// More elements than a covariance is kept of.
  case tooLarge
  /// The examples do not differ in the values from which the method learns.
  case flat
  /// A number is not finite.
  case nonfinite
}

/// Finds the directions of all methods in one matrix of examples, sharing the moments.
final class DirectionFinder {
  /// [N, n], or pairs [N, 2n].
  private let rows: Tensor
  private let labels: [Bool]
  private let moments: ClassMoments
  private let hasCovariance: Bool
  private lazy var ownPairMoments = PairMoments(moments.total)

  init(_ rows: Tensor, _ labels: [Bool]) {
    self.rows = rows
    self.labels = labels
    hasCovariance = rows.columnCount <= MomentSet.covarianceLimit
    moments = ClassMoments(rows, labels, order: hasCovariance ? .covariance : .variance)
  }

  /// Trains one probe.
  ///
  /// - Returns: the probe with figures of its training.
  func probe(
    _ method: ProbeMethod, _ blank: ProbeEntry, _ random: inout SeededRandom
  ) throws(NoDirection) -> (entry: ProbeEntry, figures: JSONObject) {
    guard hasCovariance || !method.needsCovariance else { throw .tooLarge }
    var figures = JSONObject([
      ("examples", .integer(Int64(labels.count))),
      ("positives", .integer(Int64(labels.count { $0 }))),
    ])
    var (direction, eraser): ([Double], ProbeEntry.Eraser?) = ([], nil)
    switch method {
    case .logistic, .logisticOnPair:
      guard moments.total.varies else { throw .flat }
      let fit = LogisticRegression.fit(rows, labels, moments: moments.total)
      guard fit.loss.isFinite else { throw .nonfinite }
      figures["loss"] = .number(fit.loss)
      figures["iterations"] = .integer(Int64(fit.iterations))
      figures["converged"] = .boolean(fit.converged)
      return (Self.filled(blank, fit.weights, nil, scale: 1, bias: fit.bias), figures)
    case .meanDifference, .meanDifferenceOnPair:
      let difference = moments.difference
      let norm = LBFGS.dot(difference, difference).squareRoot()
      guard norm != 0 else { throw .flat }
      direction = difference.map { $0 / norm }
      figures["norm"] = .number(norm)
    case .discriminant, .discriminantOnPair:
      guard moments.negative.varies || moments.positive.varies else { throw .flat }
      let few = FewRows(rows, means: [moments.negative.mean, moments.positive.mean]) {
        labels[$0] ? 1 : 0
      }
      let found = few.map { $0.pseudoInverseProduct(moments.difference) } ?? moments.discriminant
      guard let found else { throw .nonfinite }
      direction = found
    case .principal:
      let n = rows.columnCount
      guard moments.total.varies else { throw .flat }
      guard let eigen = LinearAlgebra.eigen(symmetric: moments.total.spread, size: n) else {
        throw .nonfinite
      }
      direction = Array(eigen.vectors.suffix(n))
    case .random:
      direction = random.unitVector(rows.columnCount)
    case .consistentSearch:
      let pairMoments = try pairMoments()
      let fit = ConsistentSearch().fit(rows, pairMoments, &random)
      guard fit.loss.isFinite else { throw .nonfinite }
      (direction, eraser) = (fit.weights, pairMoments.eraser)
      figures["loss"] = .number(fit.loss)
      figures["search_bias"] = .number(fit.bias)
    case .clustering:
      let pairMoments = try pairMoments()
      guard let found = pairMoments.clustering() else { throw .nonfinite }
      (direction, eraser) = (found, pairMoments.eraser)
    case .negativeCovariance:
      let pairMoments = try pairMoments()
      guard let found = pairMoments.negativeCovariance() else { throw .nonfinite }
      (direction, eraser) = (found, pairMoments.eraser)
    }
    guard direction.allSatisfy(\.isFinite) else { throw .nonfinite }
    let raw = Self.filled(blank, direction, eraser, scale: 1, bias: 0)
    let (scale, bias) = PlattScaling.fit(raw.scores(of: rows), labels)
    return (Self.filled(blank, direction, eraser, scale: scale, bias: bias), figures)
  }

  /// The moments of pairs that differ in their differences.
  private func pairMoments() throws(NoDirection) -> PairMoments {
    guard let pairMoments = ownPairMoments else { throw .nonfinite }
    guard pairMoments.differencesVary else { throw .flat }
    return pairMoments
  }

  private static func filled(
    _ blank: ProbeEntry, _ direction: [Double], _ eraser: ProbeEntry.Eraser?, scale: Double,
    bias: Double
  ) -> ProbeEntry {
    ProbeEntry(
      site: blank.site, head: blank.head, method: blank.method, input: blank.input,
      direction: direction, eraser: eraser, scale: scale, bias: bias)
  }
}

extension ProbeEntry {
  /// The scores of rows that contain only the elements that the probe reads: [N, n], or pairs [N,
  /// 2n].
  func scores(of rows: Tensor) -> [Double] {
    let n = elementCount
    return rows.withFloats { values in
      (0..<rows.rowCount).map { row in
        if input == .single {
          return score(UnsafeBufferPointer(rebasing: values[row * n..<(row + 1) * n]))
        }
        let start = row * 2 * n
        return score(
          false: UnsafeBufferPointer(rebasing: values[start..<start + n]),
          true: UnsafeBufferPointer(rebasing: values[start + n..<start + 2 * n]))
      }
    }
  }

  /// The scores of all examples of activations; nil if the site, or the pairs that the probe needs,
  /// were not read.
  package func scores(of activations: Activations) -> [Double]? {
    guard let own = activations.sites.first(where: { $0.site.name == site.name }),
      let rows = input == .single ? activations.values[own.site] : activations.pairs[own.site]
    else { return nil }
    let range = Self.elements(of: site, head: head)
    if range.count == own.elementCount { return scores(of: rows) }
    if input == .single { return scores(of: Tensor(copying: rows.columns(range))) }
    let split = rows.reshaped([2 * rows.rowCount, own.elementCount]).columns(range)
    return scores(of: Tensor(copying: split).reshaped([rows.rowCount, 2 * range.count]))
  }
}
