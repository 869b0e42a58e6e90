import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

/// A place at a strength.
struct SearchCell: Sendable {
  let place: SteeringPlace
  let strength: Float
}

/// Measures cells of one vector, all that are asked for together, and keeps the figures in a journal.
final class SearchBench {
  private let vectors: [(positions: PositionSelection, vector: PreparedVector)]
  private let name: String
  private let store: JournalStore

  /// The journal of a search, which the vectors that are searched share.
  final class JournalStore {
    var journal: SearchJournal
    private let save: (SearchJournal) throws(Refusal) -> Void
    /// Receives the number of cells that were measured.
    var measured: (Int) -> Void = { _ in }

    init(_ journal: SearchJournal, save: @escaping (SearchJournal) throws(Refusal) -> Void) {
      (self.journal, self.save) = (journal, save)
    }

    func publish() throws(Refusal) { try save(journal) }
  }

  /// - Parameters:
  ///   - vectors: the vector, prepared for each selection of tokens.
  ///   - name: different for different vectors of a search.
  init(
    _ vectors: [(positions: PositionSelection, vector: PreparedVector)], name: String,
    _ store: JournalStore
  ) {
    (self.vectors, self.name, self.store) = (vectors, name, store)
  }

  /// The figures of cells, in their order.
  ///
  /// - Throws: `model.*`, `usage.nothing-steered`; the errors of saving the journal.
  func figures(of cells: [SearchCell], on part: SearchData.Part) throws(Refusal) -> [CellFigures] {
    let keys = cells.map { "\(name): \($0.place.description), \($0.strength): \(part.name)" }
    var seen: Set<String> = []
    var missing: [Int] = []
    for (index, key) in keys.enumerated() where seen.insert(key).inserted {
      if try store.journal.figures(key, on: part) == nil { missing.append(index) }
    }
    // Cells with and without states run apart: only the former are cut before each token.
    for (positions, vector) in vectors {
      let own = missing.filter { cells[$0].place.positions == positions }
      for editsState in [false, true] {
        let some = own.filter { index in
          let sites = vector.sites(of: cells[index].place.cell(1))
          return sites.contains(where: \.isState) == editsState
        }
        guard !some.isEmpty else { continue }
        let found = try Self.measure(
          vector, some.map { cells[$0].place.cell(cells[$0].strength) }, on: part)
        for (index, figures) in zip(some, found) { store.journal.add(keys[index], figures) }
      }
    }
    if !missing.isEmpty { try store.publish() }
    store.measured(cells.count)
    // Every key is in the journal now.
    var found: [CellFigures] = []
    for key in keys { found.append(try store.journal.figures(key, on: part) ?? CellFigures()) }
    return found
  }

  /// The figures of cells, some of which make numbers overflow: those have the worst figures.
  private static func withOverflow(
    _ vector: PreparedVector, _ cells: [SteeringCell], _ found: [CellFigures],
    on part: SearchData.Part
  ) throws(Refusal) -> [CellFigures] {
    guard cells.count == 1 else {
      var figures: [CellFigures] = []
      for cell in cells { figures += try measure(vector, [cell], on: part) }
      return figures
    }
    var worst = found[0]
    worst.effects = part.items.map { _ in -1 }
    worst.nonsense = part.items.map { _ in 1 }
    worst.losses = part.others.map { _ in 1 }
    return [worst]
  }

  private static func measure(
    _ vector: PreparedVector, _ cells: [SteeringCell], on part: SearchData.Part
  ) throws(Refusal) -> [CellFigures] {
    let run = SteeredCells(vector, cells)
    var found = [CellFigures](repeating: CellFigures(), count: cells.count)
    if !part.passages.isEmpty {
      let divergences = try run.divergences(
        on: part.passages, promptCount: SearchData.promptCount)
      for (cell, values) in divergences.enumerated() { found[cell].divergences = values }
    }
    if !part.items.isEmpty {
      let outcomes: SteeredCells.Outcomes
      do throws(Refusal) {
        outcomes = try run.outcomes(on: part.items)
      } catch {
        guard error.code == .modelNonfinite else { throw error }
        return try withOverflow(vector, cells, found, on: part)
      }
      for (cell, steered) in outcomes.cells.enumerated() {
        let pairs = zip(steered, outcomes.baseline)
        found[cell].effects = pairs.map { $0.matching - $1.matching }
        found[cell].nonsense = pairs.map { $0.nonsense - $1.nonsense }
      }
    }
    if !part.others.isEmpty {
      let outcomes = try run.outcomes(on: part.others)
      let right = { (outcome: ChoiceOutcome) in outcome.matching > 0.5 ? 1.0 : 0 }
      for (cell, steered) in outcomes.cells.enumerated() {
        found[cell].losses = zip(steered, outcomes.baseline).map { right($1) - right($0) }
      }
    }
    return found
  }
}
