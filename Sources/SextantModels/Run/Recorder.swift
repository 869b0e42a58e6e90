import SextantStore
import SextantTensor

/// A tap that keeps values of some sites, for captures, moments, lenses and recordings.
///
/// It keeps all rows of the stream, or the rows of some positions; and the state after some tokens.
package final class Recorder: Tap {
  private let sites: Set<Site>
  private let readsState: Bool
  /// The positions that are kept; nil for all rows of the stream.
  private var positions: Set<Int>?
  /// The tokens after which states are kept.
  private var states: Set<Int>
  private var pieces: [Site: [Piece]] = [:]

  /// A value of one visit: all its rows, or those of one position.
  private struct Piece {
    let position: Int
    let value: Tensor
  }

  /// Records all rows of the stream at `sites`, and states after the tokens at `states`.
  package init(_ sites: some Sequence<Site>, statesAfter states: Set<Int> = []) {
    self.sites = Set(sites)
    self.states = states
    readsState = self.sites.contains { $0.isState }
  }

  /// Removes the recorded values, and records the rows and the states of some positions from now
  /// on.
  package func restart(at positions: Set<Int>) {
    self.positions = positions
    states = positions
    pieces = [:]
  }

  /// Whether the site is recorded.
  package func wants(_ site: Site) -> Bool { sites.contains(site) }

  /// The recorded tokens, if a component of the state is recorded.
  package func stateVisits(in positions: Range<Int>) -> StateVisits {
    StateVisits(after: readsState ? states.filter(positions.contains) : [])
  }

  /// Keeps the value, or the rows of the recorded positions.
  package func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard let positions, !site.isState else {
      keep(value, at: site, context.positions.lowerBound)
      return
    }
    for position in context.positions where positions.contains(position) {
      let rows = (0..<context.batch).map { context.row(sequence: $0, position: position) }
      keep(Kernels.gather(value, rows: rows), at: site, position)  // [B, D]
    }
  }

  private func keep(_ value: Tensor, at site: Site, _ position: Int) {
    pieces[site, default: []].append(Piece(position: position, value: value))
  }

  /// The recorded values of each visit to a site, in the order of the run: [B·T, D] for the stream,
  /// [B, …] for a component of the state.
  package func pieces(at site: Site) -> [Tensor] { (pieces[site] ?? []).map(\.value) }

  /// The recorded values by site and position: [B, n] each, states as rows.
  ///
  /// Only after `restart(at:)`: visits that keep all rows have no position of their own.
  package func rows() -> [Site: [Int: Tensor]] {
    precondition(positions != nil, "rows of positions that were not asked for")
    return pieces.mapValues { pieces in
      Dictionary(
        uniqueKeysWithValues: pieces.map { piece in
          let batch = piece.value.shape[0]
          return (piece.position, piece.value.reshaped([batch, piece.value.count / batch]))
        })
    }
  }

  /// Returns the values that were recorded since the last call, and removes them: by site in the
  /// given order, [B·T, D] each.
  ///
  /// A run of one sequence may have been split. The values of several sequences can be joined only
  /// if they are in one piece.
  package func take(_ sites: [Site]) -> [Tensor] {
    let values = sites.map { site in
      let shown = pieces(at: site)
      return shown.count == 1 ? shown[0] : Tensor.concatenated(shown)
    }
    pieces = [:]
    return values
  }
}
