import SextantTensor

/// Keeps what some sites of tokens show, until it is taken away: for reading a text piece by piece.
public final class PieceTap: Tap {
  private let sites: [Site]
  private let wanted: Set<Site>
  private var pieces: [Site: [Tensor]] = [:]

  /// Keeps what `sites` show.
  public init(_ sites: [Site]) {
    self.sites = sites
    wanted = Set(sites)
  }

  /// Whether the site is among them.
  public func wants(_ site: Site) -> Bool { wanted.contains(site) }

  /// Keeps the value.
  public func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    pieces[site, default: []].append(value)
  }

  /// Hands over what was shown since the last time, by site in the order given: [B·T, D] each.
  ///
  /// A run of one sequence may have been cut; of several sequences only what one piece shows can be
  /// joined.
  public func take() -> [Tensor] {
    let values = sites.map { site in
      let shown = pieces[site] ?? []
      return shown.count == 1 ? shown[0] : Tensor.concatenated(shown)
    }
    pieces = [:]
    return values
  }
}
