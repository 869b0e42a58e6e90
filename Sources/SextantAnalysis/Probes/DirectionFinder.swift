import SextantArtifacts
import SextantBytes
import SextantTensor

/// Finds the directions of all methods in one matrix of examples, sharing the moments.
final class DirectionFinder {
  /// [N, n], or pairs [N, 2n].
  private let rows: Tensor
  private let labels: [Bool]
  private let moments: ClassMoments
  private let hasCovariance: Bool
  private lazy var pairMoments = hasCovariance ? PairMoments(moments.total) : nil

  init(_ rows: Tensor, _ labels: [Bool]) {
    self.rows = rows
    self.labels = labels
    hasCovariance = rows.columnCount <= MomentSet.covarianceLimit
    moments = ClassMoments(rows, labels, order: hasCovariance ? .covariance : .variance)
  }

  /// Trains one probe.
  ///
  /// - Returns: the probe with figures of its training; nil where the method needs a covariance of
  ///   more elements than are kept, or a number is not finite.
  func probe(
    _ method: ProbeMethod, _ blank: ProbeEntry, _ random: inout SeededRandom
  ) -> (entry: ProbeEntry, figures: JSONObject)? {
    var figures = JSONObject([
      ("examples", .integer(Int64(labels.count))),
      ("positives", .integer(Int64(labels.count { $0 }))),
    ])
    var (direction, eraser): ([Double], ProbeEntry.Eraser?) = ([], nil)
    switch method {
    case .logistic, .logisticOnPair:
      let fit = LogisticRegression.fit(rows, labels, moments: moments.total)
      guard fit.loss.isFinite else { return nil }
      figures["loss"] = .number(fit.loss)
      figures["iterations"] = .integer(Int64(fit.iterations))
      figures["converged"] = .boolean(fit.converged)
      return (Self.filled(blank, fit.weights, nil, scale: 1, bias: fit.bias), figures)
    case .meanDifference, .meanDifferenceOnPair:
      let difference = moments.difference
      let norm = LBFGS.dot(difference, difference).squareRoot()
      direction = norm > 0 ? difference.map { $0 / norm } : difference
      figures["norm"] = .number(norm)
    case .discriminant, .discriminantOnPair:
      guard hasCovariance, let found = moments.discriminant else { return nil }
      direction = found
    case .principal:
      let n = rows.columnCount
      guard hasCovariance,
        let eigen = LinearAlgebra.eigen(symmetric: moments.total.spread, size: n)
      else { return nil }
      direction = Array(eigen.vectors.suffix(n))
    case .random:
      direction = random.unitVector(rows.columnCount)
    case .consistentSearch:
      guard let pairMoments else { return nil }
      let fit = ConsistentSearch().fit(rows, pairMoments, &random)
      guard fit.loss.isFinite else { return nil }
      (direction, eraser) = (fit.weights, pairMoments.eraser)
      figures["loss"] = .number(fit.loss)
      figures["search_bias"] = .number(fit.bias)
    case .clustering:
      guard let pairMoments, let found = pairMoments.clustering() else { return nil }
      (direction, eraser) = (found, pairMoments.eraser)
    case .negativeCovariance:
      guard let pairMoments, let found = pairMoments.negativeCovariance() else { return nil }
      (direction, eraser) = (found, pairMoments.eraser)
    }
    guard direction.allSatisfy(\.isFinite) else { return nil }
    let raw = Self.filled(blank, direction, eraser, scale: 1, bias: 0)
    let (scale, bias) = PlattScaling.fit(raw.scores(of: rows), labels)
    return (Self.filled(blank, direction, eraser, scale: scale, bias: bias), figures)
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
  /// The scores of rows that hold just what the probe reads: [N, n], or pairs [N, 2n].
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

  /// The scores of all examples of activations; nil where the site, or the pairs that the probe
  /// needs, were not read.
  public func scores(of activations: Activations) -> [Double]? {
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
