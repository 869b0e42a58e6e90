import Glibc
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// Learns steering vectors from contrast pairs.
///
/// Contrastive activation addition (Rimsky et al., arXiv 2312.06681; for recurrent models and
/// their states arXiv 2404.05971, sections 2 and 3): at each site the vector is the mean over the
/// positive texts minus the mean over the negative ones, not normalised.
public struct SteeringTrainer {
  /// How a vector is computed from the classes' moments.
  public enum Method: String, Sendable, CaseIterable {
    /// The difference of the class means.
    case mean
  }

  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let method: Method
  private let sites: [SiteDescription]
  private let positions: PositionSelection

  /// Learns vectors of `model`.
  ///
  /// - Parameters:
  ///   - sites: the sites to learn a vector for; residual stream and state.
  ///   - positions: where the texts are read.
  /// - Throws: `artifact.empty` for no sites, `artifact.site` for one that holds no vector.
  public init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, method: Method = .mean,
    sites: [SiteDescription], positions: PositionSelection = .last
  ) throws(FormatError) {
    guard !sites.isEmpty else {
      throw FormatError(.artifactEmpty, found: "no sites", expected: "at least one")
    }
    if let logits = sites.first(where: { $0.site == .logits }) {
      throw FormatError(
        .artifactSite, found: logits.site.name, expected: "the residual stream or the state")
    }
    self.model = model
    self.tokenizer = tokenizer
    self.method = method
    self.sites = sites
    self.positions = positions
  }

  /// The names of the two classes in moments.
  static let (positive, negative) = ("positive", "negative")

  /// Reads the pairs and learns the vectors.
  ///
  /// The same pairs give the same bytes.
  ///
  /// - Returns: the vector, and the moments that it was computed from.
  /// - Throws: `data.*`, `model.*`, `artifact.nonfinite`.
  public func train(
    _ pairs: ContrastPairs, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) -> (vector: SteeringVector, moments: MomentSet) {
    let tokens = try pairs.tokenized(by: tokenizer)
    let reader = MomentReader(model, positions: positions, order: .variance)
    let moments = try reader.read(
      [(Self.positive, tokens.positive), (Self.negative, tokens.negative)], sites: sites,
      progress: progress)
    var vectors: [(site: SiteReference, value: Tensor)] = []
    var statistics = JSONObject()
    for site in sites {
      guard let positive = moments[site.site, Self.positive],
        let negative = moments[site.site, Self.negative]
      else { preconditionFailure("no moments of \(site.site)") }
      let difference = zip(positive.mean, negative.mean).map { $0 - $1 }
      let values = difference.map(Float.init)
      guard values.allSatisfy(\.isFinite) else {
        throw FormatError(
          .artifactNonfinite, at: .tensor(site.site.name), found: "activations that are not finite",
          expected: "finite numbers")
      }
      vectors.append((site.reference, Tensor(values, shape: site.shape)))
      statistics[site.site.name] = Self.statistics(difference, positive, negative)
    }
    let training = SteeringVector.Training(
      method: method.rawValue, positions: positions, data: pairs.record)
    let vector = SteeringVector(
      model: model.description.reference(tokenizer: tokenizer.digest), vectors: vectors,
      training: training, statistics: statistics)
    return (vector, moments)
  }

  /// What tells a user how strong a vector is: its norm, the norm of the mean that it is added to,
  /// and how far the classes are apart, |difference|² over the summed variance of both classes.
  private static func statistics(
    _ difference: [Double], _ positive: MomentAccumulator, _ negative: MomentAccumulator
  ) -> JSONValue {
    let squared = difference.reduce(0) { $0 + $1 * $1 }
    let mean = zip(positive.mean, negative.mean).map { ($0 + $1) / 2 }
    let variance = positive.spread.reduce(0, +) + negative.spread.reduce(0, +)
    return [
      "norm": .number(squared.squareRoot()),
      "mean_norm": .number(mean.reduce(0) { $0 + $1 * $1 }.squareRoot()),
      "separation": .number(variance > 0 ? squared / variance : 0),
    ]
  }
}
