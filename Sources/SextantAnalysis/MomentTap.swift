import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor

/// Reduces what a model shows to moments while it reads, so that no activation is kept.
final class MomentTap: Tap {
  private(set) var moments: MomentSet
  private let sites: Set<Site>
  private let readsState: Bool
  private var name = ""
  private var positions: Set<Int> = []

  init(_ moments: MomentSet) {
    self.moments = moments
    sites = Set(moments.sites.map(\.site))
    readsState = sites.contains { $0.isState }
  }

  /// Says which class the next run belongs to and at which positions it is read.
  func expect(_ name: String, at positions: Set<Int>) {
    self.name = name
    self.positions = positions
  }

  func wants(_ site: Site) -> Bool { sites.contains(site) }

  /// The state that a position leaves is seen before the position after it.
  func stateStops(in range: ClosedRange<Int>) -> [Int] {
    readsState ? positions.map { $0 + 1 }.filter { range.contains($0) } : []
  }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    if site.isState {
      let flat = value.reshaped([context.batch, value.count / context.batch])  // [B, n]
      moments.add(flat, to: site, name)
      return
    }
    for position in context.positions where positions.contains(position) {
      for sequence in 0..<context.batch {
        let row = context.row(sequence: sequence, position: position)
        moments.add(value.slice(rows: row..<row + 1), to: site, name)
      }
    }
  }
}
