import SextantModels
import SextantStore
import SextantTensor

/// Keeps every value that a run shows, by site; the pieces of a long run are joined.
package final class FullRecorder: Tap {
  /// The last value of each state site, and all values of other sites.
  package private(set) var values: [Site: Tensor] = [:]

  /// A recorder without values.
  package init() {}

  /// Every site.
  package func wants(_ site: Site) -> Bool { true }

  /// Keeps the value.
  package func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    let earlier = site.isState ? nil : values[site]
    values[site] = earlier.map { Tensor.concatenated([$0, value]) } ?? value
  }

  /// The state that the run leaves.
  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(after: [positions.upperBound - 1])
  }
}
