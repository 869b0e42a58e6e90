import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport

extension Probe {
  /// Probes of seeded numbers at these sites of a model.
  static func random(
    _ model: ModelDescription, _ words: [String], tokenizer: Digest? = nil, seed: UInt64 = 5
  ) throws -> Probe {
    var random = SextantTestSupport.SplitMix64(seed: seed)
    let sites = try model.sites(named: words)
    return Probe(
      model: model.reference(tokenizer: tokenizer), sites: sites.map(\.reference),
      entries: sites.map { site in
        ProbeEntry(
          site: site.reference, method: "lr", input: .single,
          direction: random.floats(site.elementCount).map { Double($0) })
      },
      training: .init(
        label: "label", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
  }
}

extension SteeringVector {
  /// A vector of seeded numbers at these sites of a model.
  static func random(
    _ model: ModelDescription, _ words: [String], tokenizer: Digest? = nil,
    operation: Operation = .add, positions: PositionSelection = .fromLast, seed: UInt64 = 1
  ) throws -> SteeringVector {
    var generator = SextantTestSupport.SplitMix64(seed: seed)
    let sites = try model.sites(named: words)
    return SteeringVector(
      model: model.reference(tokenizer: tokenizer),
      vectors: sites.map { site in
        (site.reference, Tensor(generator.floats(site.elementCount), shape: site.shape))
      },
      operation: operation,
      targets: Dictionary(
        uniqueKeysWithValues: sites.map { ($0.site.name, Targets(negative: -0.25, positive: 0.5)) }
      ),
      positions: positions,
      training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
  }

  /// The same vector with something else in place of some of it.
  func replacing(
    model: ModelReference? = nil, vectors: [(site: SiteReference, value: Tensor)]? = nil
  ) -> SteeringVector {
    SteeringVector(
      model: model ?? self.model, vectors: vectors ?? self.vectors, operation: operation,
      targets: targets, positions: positions, training: training, statistics: statistics)
  }

  /// The values at a site.
  func values(_ site: Site) -> [Float] {
    vectors.first { $0.site.name == site.name }?.value.values ?? []
  }
}

/// Keeps the state before and after every token, as the taps before it in a chain left it.
final class StateRecorder: Tap {
  private let site: Site
  private(set) var before: [Int: Tensor] = [:]
  private(set) var after: [Int: Tensor] = [:]

  init(_ site: Site) { self.site = site }

  func wants(_ site: Site) -> Bool { site == self.site }

  func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(before: Set(positions), after: Set(positions))
  }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    if context.stateMoment == .before {
      before[context.positions.lowerBound] = value
    } else {
      after[context.positions.lowerBound] = value
    }
  }
}
