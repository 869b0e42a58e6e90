import SextantArtifacts
import SextantModels
import SextantStore

/// Where to steer: neighbouring blocks, the sites in each of them, and the tokens.
package struct SteeringPlace: Sendable, Equatable {
  /// The blocks, both ends included.
  package let blocks: ClosedRange<Int>
  /// The sites in each of them.
  package let sites: SteeredSites
  /// The tokens.
  package let positions: PositionSelection

  /// The place in words, different for different places.
  package var description: String {
    "blocks \(LayerSelection.text(blocks)), \(sites), \(positions)"
  }

  /// The place at a strength.
  func cell(_ strength: Float) -> SteeringCell {
    SteeringCell(blocks, sites, strength: strength)
  }
}

/// The places that a search considers.
package struct SearchSpace: Sendable {
  /// The blocks; nil for all that the vector has something for.
  package var layers: LayerSelection?
  /// How many neighbouring blocks are steered together; nil for 1, 2, 4, 8, … and all of them.
  package var widths: [Int]?
  /// The sets of sites; nil for the residual stream, each component of the state, all components, and
  /// everything, as far as the vector has them.
  package var sites: [SteeredSites]?
  /// The tokens to steer.
  package var positions = [PositionSelection.fromLast, PositionSelection([.all])]

  /// Every place.
  package init() {}

  /// The sets of sites that differ in a vector.
  func sets(of vector: PreparedVector) -> [SteeredSites] {
    if let sites { return sites }
    var components: [String] = []
    for site in vector.model.description.sites.map(\.site) where vector.edits[site] != nil {
      if case .state(_, let name) = site, !components.contains(name) { components.append(name) }
    }
    let hasStream = vector.edits.keys.contains { !$0.isState }
    return (hasStream ? [.residual] : [])
      + (components.count > 1 ? components.map { .component($0) } : [])
      + (components.isEmpty ? [] : [.state])
      + (hasStream && !components.isEmpty ? [.both] : [])
  }

  /// The bands of neighbouring blocks: bands of several blocks overlap by half.
  package func bands(of blocks: [Int]) -> [ClosedRange<Int>] {
    var runs: [ClosedRange<Int>] = []
    for block in blocks.sorted() {
      if let last = runs.last, last.upperBound + 1 == block {
        runs[runs.count - 1] = last.lowerBound...block
      } else {
        runs.append(block...block)
      }
    }
    var bands: [ClosedRange<Int>] = []
    for run in runs {
      let powers = (0..<Int.bitWidth - 1).lazy.map { 1 << $0 }.prefix { $0 < run.count }
      for width in widths ?? powers + [run.count] where width <= run.count {
        var starts = Array(
          stride(from: run.lowerBound, through: run.upperBound - width + 1, by: max(width / 2, 1)))
        let last = run.upperBound - width + 1
        if starts.last != last { starts.append(last) }
        bands += starts.map { $0...$0 + width - 1 }
      }
    }
    return bands
  }

  /// All places of a vector that edit different sites.
  ///
  /// - Parameter vectors: the vector, prepared for each of `positions`.
  func places(of vectors: [PreparedVector]) -> [SteeringPlace] {
    zip(positions, vectors).flatMap { positions, vector in
      let sets = sets(of: vector)
      let blocks = Set(
        vector.edits.keys.filter { site in sets.contains { $0.includes(site) } }.compactMap(\.block)
      ).sorted()
      var seen: Set<Set<Site>> = []
      return bands(of: blocks).flatMap { band in
        sets.filter { set in
          let edited = vector.sites(of: SteeringCell(band, set, strength: 1))
          return !edited.isEmpty && seen.insert(edited).inserted
        }.map { SteeringPlace(blocks: band, sites: $0, positions: positions) }
      }
    }
  }
}
