import SextantModels
import SextantTensor

/// Keeps the values of some positions while one batch runs, so that they can be compared between
/// sequences before they are reduced to moments.
final class RowTap: Tap {
  private let sites: Set<Site>
  private let readsState: Bool
  private var positions: Set<Int> = []
  /// By site and position, [B, n].
  private(set) var rows: [Site: [Int: Tensor]] = [:]

  init(_ sites: [Site]) {
    self.sites = Set(sites)
    readsState = sites.contains { $0.isState }
  }

  /// Says where the next runs are read, and forgets what earlier ones showed.
  func expect(at positions: Set<Int>) {
    self.positions = positions
    rows = [:]
  }

  func wants(_ site: Site) -> Bool { sites.contains(site) }

  func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(after: readsState ? self.positions.filter(positions.contains) : [])
  }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    if site.isState {
      rows[site, default: [:]][context.positions.lowerBound] = value.reshaped(
        [context.batch, value.count / context.batch])
      return
    }
    for position in context.positions where positions.contains(position) {
      let own = (0..<context.batch).map { context.row(sequence: $0, position: position) }
      rows[site, default: [:]][position] = Kernels.gather(value, rows: own)
    }
  }
}
