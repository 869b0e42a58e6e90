import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantGeneration
import SextantModels
import SextantStore

/// Applies a vector at every layer, at every strength and at several sets of sites, one cell of the
/// grid at a time, and reads the prediction after each prompt.
package struct SteeringSweep {
  private let vector: PreparedVector
  private let layers: [Int]
  private let multipliers: [Float]
  private let sites: [SteeredSites]
  private let rowLimit: Int

  /// Prepares a sweep.
  ///
  /// - Parameters:
  ///   - vector: the vector to apply, each block's part at that block only.
  ///   - options: operation, positions, and a unit other than nats. Strength and blocks are those of
  ///     the grid. Positions by token id are refused.
  ///   - layers: nil for every block that the vector has something for.
  ///   - multipliers: strengths; 0, the baseline, is always measured.
  ///   - rowLimit: sequences that run together.
  /// - Throws: `artifact.*` for a vector that does not fit the model, `artifact.empty` if a set of
  ///   sites selects nothing at all; `usage.option`.
  package init(
    _ model: any LanguageModel, tokenizer: Digest?, vector: SteeringVector,
    options: SteeringOptions = .init(), layers: LayerSelection? = nil, multipliers: [Float],
    sites: [SteeredSites], rowLimit: Int = 256
  ) throws(Refusal) {
    let prepared = try PreparedVector(
      vector, for: model, tokenizer: tokenizer, options, layers: layers)
    try Self.check(sites, of: vector, Set(prepared.edits.keys))
    self.vector = prepared
    self.layers = Set(
      prepared.edits.keys.filter { site in sites.contains { $0.includes(site) } }
        .compactMap(\.block)
    ).sorted()
    self.multipliers = multipliers.filter { $0 != 0 }
    self.sites = sites
    self.rowLimit = rowLimit
  }

  /// Refuses sites for which the vector has nothing, and those for which it has nothing in the chosen
  /// blocks. `both` needs only one of its parts in a block: an attention block has no state.
  static func check(
    _ sites: [SteeredSites], of vector: SteeringVector, _ edited: Set<Site>
  ) throws(Refusal) {
    let all = vector.vectors.compactMap { $0.site.site }
    for set in sites {
      let missing = set.parts.first { part in !all.contains(where: part.includes) }
      guard missing != nil || !edited.contains(where: set.includes) else { continue }
      let part = missing ?? set
      throw Refusal(
        .artifactEmpty, file: vector.file, at: .parameter("sites"),
        found: part == set ? "\(set)" : "\(set), which includes \(part)",
        expected: "sites that the vector edits: it has no part for \(part)"
          + (missing == nil ? " in these blocks" : ""),
        remedy: "Name other `sites`, or train the vector with `sites` all.")
    }
  }

  /// Runs the sweep.
  ///
  /// - Parameter ranks: the processes that divide the items.
  /// - Returns: the result of each cell for each item, in the items' order.
  /// - Throws: the errors of `SteeredCells.outcomes`.
  package func run(
    on items: [ChoiceTest.Tokens], ranks: any Collective = Alone(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> SweepResult {
    var result = SweepResult(
      layers: layers, multipliers: multipliers, sites: sites, itemCount: items.count)
    var cells: [(place: (layer: Int, sites: Int, multiplier: Int), cell: SteeringCell)] = []
    for layer in layers {
      for (set, sites) in sites.enumerated() {
        for (index, multiplier) in multipliers.enumerated() {
          let cell = SteeringCell(layer...layer, sites, strength: multiplier)
          if !vector.sites(of: cell).isEmpty { cells.append(((layer, set, index), cell)) }
        }
      }
    }
    let found = try SteeredCells(vector, cells.map(\.cell), rowLimit: rowLimit)
      .outcomes(on: items, ranks: ranks, progress: progress)
    for (item, outcome) in found.baseline.enumerated() { result.setBaseline(outcome, item) }
    for (outcomes, (place, _)) in zip(found.cells, cells) {
      for (item, outcome) in outcomes.enumerated() {
        result.set(
          outcome, layer: place.layer, sites: place.sites, multiplier: place.multiplier, item: item)
      }
    }
    return result
  }
}
