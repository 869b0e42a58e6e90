import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantGeneration
import SextantModels
import SextantStore

extension SteeringEvaluation {
  /// The effect of random directions of equal norm at the place where the vector has its best effect:
  /// the control for the effect of any direction.
  public struct Controls: Sendable {
    /// The controls of one set of sites, at its chosen layer, on the reported half.
    public struct Curve: Sendable {
      /// The steered sites.
      public let sites: SteeredSites
      /// The layer.
      public let layer: Int
      /// By strength, ascending and with 0: matching, the mean over directions, and the range that
      /// contains 95% of them.
      public let points: [(multiplier: Float, matching: Figure)]
      /// Matching at the high end minus matching at the low one: the mean, and the range that
      /// contains 95% of the directions.
      public let contrast: Figure
      /// The same of each direction.
      public let contrasts: [Double]
      /// The probability of a contrast as large as the vector's, of either sign, if the vector were one
      /// more random direction.
      public let probability: Double
    }

    /// The controls of every set of sites.
    public let curves: [Curve]
    /// Directions.
    public let count: Int

    /// Runs the controls of a sweep.
    ///
    /// - Parameters:
    ///   - count: random directions, drawn from seeds that follow `seed`.
    ///   - ranks: the processes that divide the directions.
    ///   - sweep: makes a sweep of a vector at some layers, with the settings of the one controlled.
    /// - Throws: the errors of sweeps.
    package init(
      of vector: SteeringVector, summary: SweepSummary, count: Int, seed: UInt64,
      on items: [ChoiceTest.Tokens], ranks: any Collective = Alone(),
      sweep: (SteeringVector, LayerSelection, SteeredSites) throws(Refusal) -> SteeringSweep,
      progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(Refusal) {
      self.count = count
      // Only the reported half is measured.
      let reported = summary.halves.reporting.map { items[$0] }
      var done = 0
      // Each direction of each curve is a job: the mean matching at each point.
      let all = try ranks.map(
        summary.curves.count * count,
        { job throws(Refusal) -> [Double] in
          let (curve, index) = (summary.curves[job / count], job % count)
          let random = vector.randomControl(seed: seed &+ UInt64(index) &+ 1)
          let result = try sweep(
            random, LayerSelection(curve.layer...curve.layer), curve.sites
          ).run(on: reported)
          done += 1
          progress(
            min(done * ranks.size, summary.curves.count * count), summary.curves.count * count)
          return curve.points.map { point in
            let cell = result.cell(
              layer: curve.layer, sites: curve.sites, multiplier: point.multiplier)
            return (cell ?? []).reduce(0) { $0 + $1.matching } / Double(max(reported.count, 1))
          }
        }, pack: { $1.put($0) }, unpack: { reader throws(Refusal) in try reader.doubles() })
      var curves: [Curve] = []
      for (place, curve) in summary.curves.enumerated() {
        let own = all[place * count..<(place + 1) * count]
        let matching = curve.points.indices.map { point in own.map { $0[point] } }
        let contrasts = own.map { means in
          let mean = { (multiplier: Float) in
            curve.points.firstIndex { $0.multiplier == multiplier }.map { means[$0] } ?? 0
          }
          return mean(curve.ends.high) - mean(curve.ends.low)
        }
        curves.append(
          Curve(
            sites: curve.sites, layer: curve.layer,
            points: zip(curve.points, matching).map { ($0.multiplier, Figure(spreadOf: $1)) },
            contrast: Figure(spreadOf: contrasts), contrasts: contrasts,
            probability: Double(
              1 + contrasts.count { abs($0) >= abs(curve.contrast.value) })
              / Double(1 + contrasts.count)))
      }
      self.curves = curves
    }
  }
}
