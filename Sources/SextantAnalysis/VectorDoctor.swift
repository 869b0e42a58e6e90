import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// Tells whether a foreign vector fits a model: its layer numbering, sign, site and operation, by how
/// its directions separate a small set of contrast pairs.
///
/// Files of other tools count layers from 0 or 1, before or after a block, and do not fix the sign
/// and the operation. At its own site, a correct vector has the largest cosine with the difference
/// of the classes, and the positive texts have positive projections. The separation of the classes
/// is reported, but does not decide: some layers separate any classes better than others.
package struct VectorDoctor: Sendable {
  /// The kinds of sites that vectors of the stream's width are made for.
  package enum Place: Sendable, Hashable, CustomStringConvertible {
    /// The stream that enters a block.
    case input
    /// The stream that leaves a block.
    case output
    /// The output of a part of the block.
    case part(String)
    /// A component of the state.
    case state(String)

    init?(_ site: Site) {
      switch site {
      case .input: self = .input
      case .output: self = .output
      case .part(_, let name): self = .part(name)
      case .state(_, let name): self = .state(name)
      default: return nil
      }
    }

    /// The name as in sites.
    package var description: String {
      switch self {
      case .input: "input"
      case .output: "output"
      case .part(let name): name
      case .state(let name): "state.\(name)"
      }
    }
  }

  /// How a reading of the vector's layers and place separates the pairs.
  package struct Reading: Sendable {
    /// The site to which the vectors are assigned.
    package let place: Place
    /// The shift of the layers that the file names.
    package let shift: Int
    /// The mean over layers of the classes' distance along the vector, in units of the deviation
    /// within the classes: negative if the positive texts have the lower mean.
    package let separation: Double
    /// The mean over layers of the cosine between the vector and the difference of means.
    package let cosine: Double
    /// The layers that were compared.
    package let layerCount: Int

    /// Whether another reading is of the same values: the output of a block is the input of the next.
    package func isSameStream(as other: Reading) -> Bool {
      func index(_ reading: Reading) -> Int? {
        switch reading.place {
        case .input: reading.shift
        case .output: reading.shift + 1
        default: nil
        }
      }
      return index(self).map { $0 == index(other) } ?? false
    }
  }

  /// How readings compare.
  package enum Verdict: Sendable, Equatable {
    /// The file's own reading is the best, or as good as the best.
    case fits
    /// Another reading separates clearly better.
    case other
    /// No reading's cosine is larger than that of a random direction.
    case unrelated
  }

  /// Every reading that was tried, the best first.
  package let readings: [Reading]
  /// The file's own reading.
  package let own: Reading
  /// Whether it fits, apart from its sign.
  package let verdict: Verdict
  /// Whether the reading that the verdict names has the opposite sign; without meaning if none fits.
  package let isFlipped: Bool
  /// The doubt about the operation; nil if none.
  package let operationDoubt: String?
  /// Pairs that were read.
  package let pairCount: Int

  /// The factor by which another reading's cosine must be larger to be preferred.
  private static let margin = 1.02
  /// Cosines of random directions have a deviation of 1 / √(elements · layers); this multiple is
  /// noise.
  private static let noise = 4.0

  /// Bytes of covariance matrices; if they would take more, variances of single elements stand in.
  private static let matrixByteLimit = 1 << 30

  /// Examines a vector.
  ///
  /// - Parameters:
  ///   - vector: its model need not be this one, but width and depth must.
  ///   - shifts: layer shifts to try.
  /// - Throws: `artifact.width`, `artifact.site`; `data.*`, `model.*`.
  package init(
    _ vector: SteeringVector, model: any LanguageModel, tokenizer: any Tokenizer,
    pairs: ContrastPairs, shifts: ClosedRange<Int> = -2...2,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    let description = model.description
    try vector.model.check(
      against: description.reference(tokenizer: tokenizer.digest), allowingOther: true,
      file: vector.file)
    var parts: [(block: Int, place: Place, values: [Double])] = []
    for (reference, value) in vector.vectors {
      guard let site = reference.site, let block = site.block, let place = Place(site)
      else { continue }
      parts.append((block, place, value.values.map(Double.init)))
    }
    // One kind of site at a time: the residual stream's if the vector has any.
    let isOfState = { (place: Place) in if case .state = place { true } else { false } }
    guard let first = parts.first(where: { !isOfState($0.place) }) ?? parts.first else {
      throw Refusal(
        .artifactSite, file: vector.file, found: "no vector of a block",
        expected: "vectors of blocks")
    }
    parts.removeAll { $0.place != first.place }
    let sites = description.sites.filter { site in
      guard !site.grows, !site.isReadOnly, let place = Place(site.site) else { return false }
      return site.elementCount == first.values.count
        && isOfState(place) == isOfState(first.place)
    }
    let matrixBytes = sites.reduce(0) { $0 + 16 * $1.elementCount * $1.elementCount }
    let order: MomentOrder = matrixBytes <= Self.matrixByteLimit ? .covariance : .variance
    let moments = try MomentReader(model, positions: .last, order: order).read(
      pairs.tokenized(by: tokenizer), sites: sites, progress: progress)
    var readings: [Reading] = []
    for place in Set(sites.compactMap { Place($0.site) }).sorted(by: { "\($0)" < "\($1)" }) {
      for shift in shifts {
        var found: [(separation: Double, cosine: Double)] = []
        for part in parts {
          let site = sites.first {
            $0.site.block == part.block + shift && Place($0.site) == place
          }
          guard let site else { continue }
          found.append(try Self.separation(of: part.values, SteeringSample(moments, site)))
        }
        // The layers of the file, except those that a shift moves out of the model.
        guard !found.isEmpty, found.count >= parts.count - abs(shift) else { continue }
        let mean = { (values: [Double]) in values.reduce(0, +) / Double(values.count) }
        readings.append(
          Reading(
            place: place, shift: shift, separation: mean(found.map(\.separation)),
            cosine: mean(found.map(\.cosine)), layerCount: found.count))
      }
    }
    readings.sort { abs($0.cosine) > abs($1.cosine) }
    guard let own = readings.first(where: { $0.place == first.place && $0.shift == 0 }) else {
      throw Refusal(
        .artifactSite, file: vector.file, found: "\(first.place)", expected: "a site of the model")
    }
    // Another name of the same stream has one layer less, and is no other reading.
    let rival = readings.first { !$0.isSameStream(as: own) }
    let best = rival.map { abs($0.cosine) > abs(own.cosine) ? $0 : own } ?? own
    self.readings = readings
    self.own = own
    pairCount = pairs.pairs.count
    let independent = Double(first.values.count * best.layerCount)
    if abs(best.cosine) < Self.noise / independent.squareRoot() {
      verdict = .unrelated
    } else if abs(own.cosine) * Self.margin >= abs(best.cosine) {
      verdict = .fits
    } else {
      verdict = .other
    }
    isFlipped = (verdict == .fits ? own : best).cosine < 0
    operationDoubt = try Self.operationDoubt(vector, parts, sites, moments)
  }

  /// The distance of the class means along a direction, over the deviation within the classes, and the
  /// cosine between direction and difference.
  private static func separation(
    of direction: [Double], _ sample: SteeringSample
  ) throws(Refusal) -> (separation: Double, cosine: Double) {
    let difference = sample.difference
    let along = zip(direction, difference).reduce(0) { $0 + $1.0 * $1.1 }
    let variance = try sample.varianceWithinClasses(along: direction)
    let norms = max(direction.norm * difference.norm, .leastNormalMagnitude)
    return (variance > 0 ? along / variance.squareRoot() : 0, along / norms)
  }

  /// Whether the declared operation makes sense for the positions of the classes.
  private static func operationDoubt(
    _ vector: SteeringVector, _ parts: [(block: Int, place: Place, values: [Double])],
    _ sites: [SiteDescription], _ moments: MomentSet
  ) throws(Refusal) -> String? {
    var (shared, apart, relative): ([Double], [Double], [Double]) = ([], [], [])
    for part in parts {
      guard
        let site = sites.first(where: {
          $0.site.block == part.block && Place($0.site) == part.place
        })
      else { continue }
      let sample = try SteeringSample(moments, site)
      let targets = sample.targets(along: part.values)
      shared.append(abs(targets.positive + targets.negative) / 2)
      apart.append(abs(targets.positive - targets.negative))
      relative.append(part.values.norm / max(abs(targets.positive - targets.negative), 1e-30))
    }
    let sum = { (values: [Double]) in values.reduce(0, +) }
    switch vector.operation {
    case .project where sum(shared) > 2 * sum(apart):
      return "projecting out also removes the part of the direction that both classes share, "
        + "\(Int(clamping: (sum(shared) / max(sum(apart), 1e-30)).rounded())) times their distance: affine "
        + "keeps it"
    case .add, .addPreservingNorm:
      let strength = relative.sorted()[relative.count / 2]
      if strength < 0.1 || strength > 10 {
        return
          "the distance between the classes is \(Float(1 / strength)) vectors: a strength of about that is "
          + "this distance"
      }
      return nil
    default: return nil
    }
  }
}
