import SextantBytes
import SextantStore

extension ModelDescription {
  /// The sites that a list of words names, in the order in which a run visits them.
  ///
  /// - Parameters:
  ///   - words: `residual` (every `blocks.<i>.output`), `state` (every component of the state
  ///     that a block has),
  ///     `all` (both), `logits`, the name of a site, or a name with `*` for every block.
  ///   - layers: the blocks to keep, for sites inside blocks; nil keeps all.
  /// - Throws: `artifact.site` for a word that names no site of this model, `artifact.empty` when none is
  ///   left, `usage.option` for `layers` that concern none of the sites.
  public func sites(
    named words: [String], layers: LayerSelection? = nil
  ) throws(Refusal) -> [SiteDescription] {
    try layers?.check(blockCount: layerCount)
    var chosen: Set<Site> = []
    for word in words {
      let matches = sites.map(\.site).filter { Self.word(word, selects: $0) }
      guard !matches.isEmpty else {
        throw Refusal(
          .artifactSite, found: "\"\(word)\"",
          expected: "residual, state, all, or a site such as blocks.0.output",
          remedy: "`sextant inspect` lists the model's sites.")
      }
      chosen.formUnion(matches)
    }
    let kept = sites.filter { description in
      guard chosen.contains(description.site) else { return false }
      guard let layers, let block = description.site.block else { return true }
      return layers.contains(block)
    }
    guard !kept.isEmpty else {
      throw Refusal(.artifactEmpty, found: "no sites", expected: "at least one")
    }
    guard layers == nil || kept.contains(where: { $0.site.block != nil }) else {
      throw Refusal(
        .usageOption, at: .parameter("layers"), found: "sites outside the blocks",
        expected: "a site inside a block", remedy: "Leave the option out.")
    }
    return kept
  }

  /// The sites of a list of words that can be trained at: a component that grows with each position
  /// has no shape that all texts share. `state` and `all` leave such components out; a component that
  /// is named is kept, and training refuses it.
  ///
  /// - Parameters: as those of `sites(named:layers:)`.
  /// - Returns: the sites, and those that were left out.
  /// - Throws: as `sites(named:layers:)`; `artifact.site` if nothing is left.
  package func trainableSites(
    named words: [String], layers: LayerSelection? = nil
  ) throws(Refusal) -> (sites: [SiteDescription], leftOut: [SiteDescription]) {
    try Self.leavingOutGrowing(sites(named: words, layers: layers), named: words)
  }

  /// The sites of a list that can be trained at, and those that were left out.
  ///
  /// - Parameter words: the words that named the sites.
  /// - Throws: `artifact.site` if nothing is left.
  package static func leavingOutGrowing(
    _ all: [SiteDescription], named words: [String]
  ) throws(Refusal) -> (sites: [SiteDescription], leftOut: [SiteDescription]) {
    let named = words.filter { !["state", "all"].contains($0) }
    let leftOut = all.filter { description in
      description.grows && !named.contains { Self.word($0, selects: description.site) }
    }
    let kept = all.filter { !leftOut.contains($0) }
    guard !kept.isEmpty else {
      throw Refusal(
        .artifactSite,
        found: "\(words.joined(separator: ",")), and a state that grows with each position",
        expected: "the residual stream, or a state of constant size",
        remedy: "Use `sites` residual.")
    }
    return (kept, leftOut)
  }

  /// Whether a word of a list of sites selects a site.
  package static func word(_ word: String, selects site: Site) -> Bool {
    switch word {
    case "residual": if case .output = site { true } else { false }
    case "state": site.isState
    case "all": Self.word("residual", selects: site) || site.isState
    default:
      if let block = site.block, word.contains("*") {
        site.name
          == word.split(separator: "*", omittingEmptySubsequences: false)
          .joined(separator: String(block))
      } else {
        site.name == word
      }
    }
  }
}

extension Site {
  /// The sites of a file that a list of words and layers names.
  ///
  /// - Parameters:
  ///   - words: as `ModelDescription.sites(named:layers:)` takes them; nil for all.
  ///   - layers: the blocks to keep; nil keeps all.
  ///   - sites: the sites of the file, in its order.
  ///   - layerCount: blocks of the model that the file belongs to.
  /// - Throws: `artifact.site` for a word that names none of them; `usage.option` for blocks that the model
  ///   does not have, and for one of which the named sites have none.
  package static func chosen(
    named words: [String]?, layers: LayerSelection?, among sites: [Site], layerCount: Int,
    file: String?
  ) throws(Refusal) -> [Site] {
    try layers?.check(blockCount: layerCount)
    var chosen = sites
    if let words {
      for word in words where !sites.contains(where: { ModelDescription.word(word, selects: $0) }) {
        throw Refusal(
          .artifactSite, file: file, found: "\"\(word)\", of which the file has nothing",
          expected: "a site of the file", remedy: "`sextant inspect` lists the file's sites.")
      }
      chosen = sites.filter { site in
        words.contains { ModelDescription.word($0, selects: site) }
      }
    }
    guard let layers else { return chosen }
    let blocks = Set(chosen.compactMap(\.block))
    for part in layers.parts {
      guard let missing = part.first(where: { !blocks.contains($0) }) else { continue }
      throw Refusal(
        .usageOption, file: file, at: .parameter("layers"),
        found: "block \(missing), of which the file has no such site",
        expected: "blocks of the file", remedy: "`sextant inspect` lists the file's sites.")
    }
    return chosen.filter { site in site.block.map(layers.contains) ?? true }
  }
}
