import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Learns erasers, and tests them with new probes.
package enum EraserTrainer {
  /// An eraser of one site, and the scores of new probes on held-out examples before and after
  /// erasing.
  package struct Trained: Sendable {
    /// The site.
    package var site: SiteReference
    /// The eraser.
    package var eraser: ProbeEntry.Eraser
    /// The scores of a logistic regression on held-out examples as they are.
    package var before: [Double]
    /// The scores of one trained on erased examples, on erased held-out examples.
    package var after: [Double]
  }

  /// Which records an eraser is tried on, and not learned from: of blocks of neighbours, which often are
  /// one statement in two contexts and stay together, the last of each few.
  package struct HeldOut: Sendable, Equatable {
    /// Records of a block.
    package var block = 2
    /// The last of this number of blocks is held out.
    package var every = 5

    /// A fifth, in pairs.
    package init() {}

    /// Whether a record is held out.
    package func contains(_ record: Int) -> Bool { record / block % every == every - 1 }

    var json: JSONValue { ["block": .integer(Int64(block)), "every": .integer(Int64(every))] }
  }

  /// Learns the erasers of records, and returns the record for the manifest.
  ///
  /// - Parameters:
  ///   - positions: where the texts were read.
  ///   - applied: the tokens to erase at by default.
  ///   - area: the area under the curve of scores and labels.
  /// - Throws: as `train`.
  package static func eraser(
    of records: SelectedRecords, _ activations: Activations, model: ModelReference,
    positions: PositionSelection, pooling: Probe.Pooling, applied: PositionSelection,
    heldOut: HeldOut = HeldOut(), area: ([Double], [Bool]) -> Double?
  ) throws(Refusal) -> (eraser: ConceptEraser, tried: [Trained], heldOutLabels: [Bool]) {
    let (trained, labels) = try train(activations, labels: records.labels) { heldOut.contains($0) }
    let eraser = ConceptEraser(
      model: model, erasers: trained.map { ($0.site, $0.eraser) }, positions: applied,
      training: .init(
        label: records.label, positions: positions, pooling: pooling, data: records.description,
        seed: 0, retraining: RetrainingRecord.new([("held_out", heldOut.json)])),
      statistics: JSONObject(
        trained.map { own in
          let areas =
            [own.before, own.after].map { area($0, labels).map { .number($0) } ?? .null }
            as [JSONValue]
          return (own.site.name, ["auroc_before": areas[0], "auroc_after": areas[1]])
        }))
    return (eraser, trained, labels)
  }

  /// Learns from some examples and tries on the others.
  ///
  /// - Parameters:
  ///   - labels: of each record.
  ///   - isHeldOut: of each record.
  /// - Throws: `data.empty` unless both labels occur among the training examples and among the
  ///   held-out ones, because otherwise the eraser cannot be measured; `artifact.width` for a site
  ///   with too many elements for a covariance; `artifact.nonfinite`.
  package static func train(
    _ activations: Activations, labels: [Bool], isHeldOut: (_ record: Int) -> Bool
  ) throws(Refusal) -> (erasers: [Trained], heldOutLabels: [Bool]) {
    let learned = activations.selecting { !isHeldOut($0) }
    let held = activations.selecting(isHeldOut)
    let own = learned.records.map { labels[$0] }
    guard own.contains(true), own.contains(false) else {
      throw Refusal(
        .dataEmpty, found: "\(counted(own.count, "example")), all with one label",
        expected: "both labels")
    }
    let heldLabels = held.records.map { labels[$0] }
    guard heldLabels.contains(true), heldLabels.contains(false) else {
      throw Refusal(
        .dataEmpty,
        found: heldLabels.isEmpty
          ? "no held-out example" : "\(heldLabels.count) held-out examples, all with one label",
        expected: "held-out examples of both labels, to measure the eraser",
        remedy: "Give more records, with both labels throughout the file.")
    }
    var erasers: [Trained] = []
    for site in activations.sites {
      guard let rows = learned.values[site.site], let test = held.values[site.site] else {
        continue
      }
      guard !site.isReadOnly else { throw Refusal(readOnly: site.site) }
      guard site.elementCount <= MomentSet.covarianceLimit else {
        throw Refusal(
          .artifactWidth, at: .tensor(site.site.name), found: counted(site.elementCount, "element"),
          expected: "at most \(MomentSet.covarianceLimit): erasing needs a covariance",
          remedy: "Name smaller `sites`.")
      }
      let moments = ClassMoments(rows, own, order: .covariance)
      guard let eraser = LEACE.eraser(moments) else {
        throw Refusal(
          .artifactNonfinite, at: .tensor(site.site.name),
          found: "activations that are not finite", expected: "finite numbers",
          remedy: "Check the weights with `sextant verify`.")
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
    return (erasers, heldLabels)
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
