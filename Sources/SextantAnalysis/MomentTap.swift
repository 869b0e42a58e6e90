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

  func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(after: readsState ? self.positions.filter(positions.contains) : [])
  }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard !site.isState else {
      moments.add(value.reshaped([context.batch, value.count / context.batch]), to: site, name)
      return
    }
    let selected = context.positions.filter(positions.contains)
    guard selected.count < context.positions.count else {
      moments.add(value, to: site, name)  // [B·T, n]
      return
    }
    guard !selected.isEmpty else { return }
    let rows = (0..<context.batch).flatMap { sequence in
      selected.map { context.row(sequence: sequence, position: $0) }
    }
    moments.add(Kernels.gather(value, rows: rows), to: site, name)  // [B·selected, n]
  }
}
