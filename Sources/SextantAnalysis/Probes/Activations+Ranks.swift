import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

extension Activations {
  /// Activations of 0, to be filled.
  init(
    empty sites: [SiteDescription], _ plan: ExamplePlan, _ prompts: ChoicePrompts, readsPairs: Bool
  ) {
    self.init(sites: sites, records: plan.records, positions: plan.positions)
    let promptCount = prompts.prompts.count
    if prompts.choices != nil { outputs = [Float](repeating: 0, count: promptCount) }
    for site in sites {
      values[site.site] = Tensor(zeros: [count, site.elementCount])
      if readsPairs { pairs[site.site] = Tensor(zeros: [promptCount, 2 * site.elementCount]) }
    }
  }

  /// The sites that a rank owns, of activations that every rank has at all sites.
  package func owned(by ranks: any Collective) -> Activations {
    ranks.size == 1 ? self : keeping(Set(ranks.owned(sites.count).map { sites[$0].site }))
  }

  /// Appends the values at some of the sites, and the outputs.
  func put(_ sites: [SiteDescription], into message: inout Message) {
    message.put(outputs)
    for site in sites {
      for tensor in [values[site.site], pairs[site.site]] {
        if let tensor { message.put(tensor) }
      }
    }
  }

  /// Reads what `put` wrote, with the shapes that these activations have.
  ///
  /// - Throws: `system.ranks` for other shapes.
  mutating func fill(from reader: inout MessageReader) throws(Refusal) {
    let found = try reader.floats()
    guard found.count == outputs.count else { throw Self.otherShape }
    outputs = found
    for site in sites {
      if let own = values[site.site] { values[site.site] = try Self.next(own, &reader) }
      if let own = pairs[site.site] { pairs[site.site] = try Self.next(own, &reader) }
    }
  }

  private static func next(_ own: Tensor, _ reader: inout MessageReader) throws(Refusal) -> Tensor {
    let found = try reader.tensor()
    guard found.shape == own.shape else { throw otherShape }
    return found
  }

  private static var otherShape: Refusal {
    Refusal(
      .systemRanks, found: "activations of another shape", expected: "those of the same records")
  }

  /// Puts the activations of some records into their places.
  ///
  /// - Parameters:
  ///   - part: of these records alone.
  ///   - plan: of all records.
  mutating func place(_ part: Activations, records: [Int], _ plan: ExamplePlan) {
    if !outputs.isEmpty {
      for (row, record) in records.enumerated() { outputs[record] = part.outputs[row] }
    }
    // The rows of a record are adjacent in both, in the order of the positions.
    let rows = records.flatMap { record in plan.rows(of: record) }
    for site in sites {
      values[site.site]?.replaceRows(rows, by: part.values[site.site])
      pairs[site.site]?.replaceRows(records, by: part.pairs[site.site])
    }
  }
}

extension ExamplePlan {
  /// The rows of a record, in ascending order.
  fileprivate func rows(of record: Int) -> [Int] {
    var rows: [Int] = []
    for place in places[record] where rows.last != place.row { rows.append(place.row) }
    return rows
  }
}

extension Tensor {
  /// Puts the rows of another tensor, [M, n], into some rows of this one.
  fileprivate mutating func replaceRows(_ rows: [Int], by other: Tensor?) {
    guard let other else { return }
    let width = columnCount
    precondition(other.columnCount == width && other.rowCount == rows.count)
    other.withFloats { source in
      guard let first = source.baseAddress else { return }
      withMutableFloats { target in
        guard let base = target.baseAddress else { return }
        for (place, row) in rows.enumerated() {
          (base + row * width).update(from: first + place * width, count: width)
        }
      }
    }
  }
}
