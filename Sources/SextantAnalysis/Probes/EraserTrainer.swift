import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Learns erasers, and tries to find what they erased.
public enum EraserTrainer {
  /// An eraser of one site, and what fresh probes score held-out examples before and after erasing.
  public struct Trained: Sendable {
    /// The site.
    public var site: SiteReference
    /// The eraser.
    public var eraser: ProbeEntry.Eraser
    /// The scores of a logistic regression on held-out examples as they are.
    public var before: [Double]
    /// The scores of one trained on erased examples, on erased held-out examples.
    public var after: [Double]
  }

  /// Learns from some examples and tries on the others.
  ///
  /// - Parameters:
  ///   - labels: of each record.
  ///   - isHeldOut: of each record.
  /// - Throws: `data.empty` unless both labels occur among the examples to learn from;
  ///   `artifact.width` for a site with more elements than a covariance is kept of;
  ///   `artifact.nonfinite`.
  public static func train(
    _ activations: Activations, labels: [Bool], isHeldOut: (_ record: Int) -> Bool
  ) throws(FormatError) -> (erasers: [Trained], heldOutLabels: [Bool]) {
    let learned = activations.selecting { !isHeldOut($0) }
    let held = activations.selecting(isHeldOut)
    let own = learned.records.map { labels[$0] }
    guard own.contains(true), own.contains(false) else {
      throw FormatError(
        .dataEmpty, found: "\(own.count) examples, all with one label", expected: "both labels")
    }
    var erasers: [Trained] = []
    for site in activations.sites {
      guard let rows = learned.values[site.site], let test = held.values[site.site] else {
        continue
      }
      guard site.elementCount <= MomentSet.covarianceLimit else {
        throw FormatError(
          .artifactWidth, at: .tensor(site.site.name), found: "\(site.elementCount) elements",
          expected: "at most \(MomentSet.covarianceLimit): erasing needs a covariance")
      }
      let moments = ClassMoments(rows, own, order: .covariance)
      guard let eraser = LEACE.eraser(moments) else {
        throw FormatError(
          .artifactNonfinite, at: .tensor(site.site.name),
          found: "activations that are not finite", expected: "finite numbers")
      }
      let scores = { (train: Tensor, test: Tensor) -> [Double] in
        let moments = ClassMoments(train, own, order: .covariance)
        let fit = LogisticRegression.fit(train, own, moments: moments.total)
        let probe = ProbeEntry(
          site: site.reference, method: "lr", input: .single, direction: fit.weights,
          bias: fit.bias)
        return probe.scores(of: test)
      }
      erasers.append(
        Trained(
          site: site.reference, eraser: eraser, before: scores(rows, test),
          after: scores(eraser.erased(rows), eraser.erased(test))))
    }
    return (erasers, held.records.map { labels[$0] })
  }
}

extension ProbeEntry.Eraser {
  /// The rows, [N, n], after erasing.
  public func erased(_ rows: Tensor) -> Tensor {
    let n = rows.columnCount
    var result = rows
    result.withMutableFloats { values in
      for row in 0..<rows.rowCount {
        var amount = 0.0
        for index in 0..<n {
          amount += right[index] * (Double(values[row * n + index]) - mean[index])
        }
        for index in 0..<n {
          values[row * n + index] = Float(Double(values[row * n + index]) - left[index] * amount)
        }
      }
    }
    return result
  }
}
