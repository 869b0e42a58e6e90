import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore

/// One way to steer: neighbouring blocks, the sites that are steered in each of them, and a strength.
package struct SteeringCell: Sendable, Hashable {
  /// The blocks, both ends included.
  package let blocks: ClosedRange<Int>
  /// The sites in each of them.
  package let sites: SteeredSites
  /// The strength.
  package let strength: Float

  /// A cell.
  package init(_ blocks: ClosedRange<Int>, _ sites: SteeredSites, strength: Float) {
    (self.blocks, self.sites, self.strength) = (blocks, sites, strength)
  }

  /// Whether a site is steered.
  func includes(_ site: Site) -> Bool {
    site.block.map(blocks.contains) == true && sites.includes(site)
  }
}

/// A steering vector that is checked against a model, to be applied in many cells: the edit of each site
/// at strength 1, and the tokens that are steered.
package struct PreparedVector {
  let model: any LanguageModel
  /// The edits of sites in blocks.
  let edits: [Site: SteeringEdit]
  let unit: SteeringEdit.Unit
  let positions: PositionSelection
  let statePositions: PositionSelection

  /// Prepares a vector.
  ///
  /// - Parameters:
  ///   - options: operation, positions, and a unit other than nats. Strength and blocks are those of
  ///     the cells. Positions by token id are refused.
  ///   - layers: the blocks that cells may steer; nil for every block that the vector has something for.
  /// - Throws: `artifact.*` for a vector that does not fit the model; `usage.option`.
  package init(
    _ vector: SteeringVector, for model: any LanguageModel, tokenizer: Digest?,
    _ options: SteeringOptions = .init(), layers: LayerSelection? = nil
  ) throws(Refusal) {
    guard options.strength == 1, options.layers == nil, options.layerStrengths == nil,
      options.unit != .nats
    else {
      throw Refusal(
        .usageOption, file: vector.file,
        found: "a strength or blocks in addition to those of the grid",
        expected: "multipliers and layers of the sweep, as multiples or shares")
    }
    for (option, selection) in [
      ("positions", options.positions), ("statePositions", options.statePositions),
    ] {
      guard let selection, selection.dependsOnTokens else { continue }
      throw Refusal(
        .usageOption, file: vector.file, at: .parameter(option), found: selection.description,
        expected: "positions without token=ID, which a sweep does not support")
    }
    var whole = options
    whole.layers = layers
    // The applier's checks, and its edits of strength 1.
    edits = try AppliedVector(vector, whole).edits(
      for: model.description, tokenizer: tokenizer
    ).filter { $0.key.block != nil }.mapValues(\.edit)
    self.model = model
    unit = options.unit == .share ? .share : .raw
    positions = options.positions ?? .last
    statePositions = options.statePositions ?? positions
  }

  /// The sites that a cell edits.
  func sites(of cell: SteeringCell) -> Set<Site> { Set(edits.keys.filter(cell.includes)) }
}
