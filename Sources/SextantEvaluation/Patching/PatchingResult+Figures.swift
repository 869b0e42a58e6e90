import SextantBytes
import SextantReport
import SextantStore

extension PatchingResult {
  /// The two measures of a patch.
  package enum Measure: CaseIterable, Sendable {
    case difference, probability

    func figure(_ cell: Cell) -> Figure {
      switch self {
      case .difference: cell.share
      case .probability: cell.probabilityShare
      }
    }
  }

  /// What a measure is called.
  package func name(_ measure: Measure) -> String {
    switch measure {
    case .probability: "probability"
    case .difference:
      pairs.contains { $0.against == nil } ? "log-probability" : "logit difference"
    }
  }

  /// Places whose values belong into one figure: the rows are blocks, or heads of a block.
  private struct Group {
    let name: String
    var rows: [(name: String, place: Int)]
    let isOfHeads: Bool
  }

  private var groups: [Group] {
    var groups: [Group] = []
    for (index, place) in places.enumerated() {
      let name: String
      let row: String
      if let head = place.head {
        (name, row) = ("\(place.site.name), by head", "head \(head)")
      } else if case .output = place.site {
        (name, row) = ("residual stream", place.site.block.map { "block \($0)" } ?? "")
      } else if place.site == .embedding {
        (name, row) = ("residual stream", "embedding")
      } else {
        (name, row) = (place.site.place, place.site.block.map { "block \($0)" } ?? "")
      }
      if let known = groups.firstIndex(where: { $0.name == name }) {
        groups[known].rows.append((row, index))
      } else {
        groups.append(Group(name: name, rows: [(row, index)], isOfHeads: place.head != nil))
      }
    }
    return groups
  }

  /// The shares as heat maps: one for each kind of site, and one for the heads of each component.
  package func maps(_ measure: Measure, ofHeads: Bool = true) -> [HeatMap] {
    var found: [[Int: Cell]] = Array(repeating: [:], count: places.count)
    for cell in cells { found[cell.place][cell.column] = cell }
    return groups.filter { ofHeads || !$0.isOfHeads }.compactMap { group in
      guard group.rows.contains(where: { !found[$0.place].isEmpty }) else { return nil }
      return map(group, measure, found)
    }
  }

  private func map(_ group: Group, _ measure: Measure, _ found: [[Int: Cell]]) -> HeatMap {
    let cells = group.rows.map { row in
      shownColumns.map { column -> HeatMap.Cell in
        guard let cell = found[row.place][column] else { return HeatMap.Cell(nil) }
        let figure = measure.figure(cell)
        let interval = figure.interval.isKnown ? " [\(figure.interval.text())]" : ""
        return HeatMap.Cell(
          figure.value, text: Format.fixed(figure.value, 2),
          hover:
            "\(places[cell.place]) at \(columns[column]): \(Format.fixed(figure.value, 3))\(interval)"
        )
      }
    }
    // Single heads do little: their figures have a scale of their own.
    let largest = cells.joined().compactMap(\.value).filter(\.isFinite).map { abs($0) }.max() ?? 1
    return HeatMap(
      title: group.name,
      subtitle: "share of the \(name(measure)) that \(isReverse ? "is lost" : "returns")",
      rowTitle: group.isOfHeads ? "head" : "block", columnTitle: "token",
      rows: group.rows.map(\.name),
      columns: Array(columns[shownColumns]), cells: cells,
      scale: .diverging(limit: group.isOfHeads ? max(min(largest, 1), 1e-3) : 1))
  }

  /// The heat maps of the first measure, without those of heads, as one picture.
  package var picture: String {
    HeatMap.stacked(maps(.difference, ofHeads: false), cellWidth: cellWidth)
  }

  /// Pixels of a cell: space for its number, and for the names of a few columns.
  private var cellWidth: Double { max(38, min(96, 560 / Double(max(shownColumns.count, 1)))) }

  // MARK: Tables

  private static let heads = [
    "#block", "site", "#head", "#column", "token", "#share", "#low", "#high", "#probability share",
    "#probability low", "#probability high", "#difference", "#probability", "#pairs",
  ]

  /// Every cell.
  package var cellTable: Table {
    var table = Table(Self.heads)
    let text = { (value: Double) in value.isFinite ? "\(value)" : "" }
    for cell in cells {
      let place = places[cell.place]
      let ends = { (figure: Figure) in [figure.interval.low, figure.interval.high].map(text) }
      table.add(
        [
          place.site.block.map { "\($0)" } ?? "", place.site.name, place.head.map { "\($0)" } ?? "",
          "\(cell.column)", columns[cell.column], text(cell.share.value),
        ] + ends(cell.share) + [text(cell.probabilityShare.value)] + ends(cell.probabilityShare)
          + [
            text(cell.patched.difference), text(cell.patched.probability), "\(cell.pairCount)",
          ])
    }
    return table
  }

  /// The cells with the largest shares.
  package var largestTable: Table {
    var table = Table(["place", "token", "#share", "#of the probability"])
    for cell in largest(10) where cell.share.value != 0 {
      table.add([
        "\(places[cell.place])", columns[cell.column], Self.text(cell.share),
        Self.text(cell.probabilityShare),
      ])
    }
    return table
  }

  private static func text(_ figure: Figure) -> String {
    Format.fixed(figure.value, 3)
      + (figure.interval.isKnown ? " (\(figure.interval.text()))" : "")
  }

  // MARK: Texts

  /// What was measured, in one line.
  package var title: String {
    "\(isReverse ? "corrupted" : "clean") values in the \(isReverse ? "clean" : "corrupted") run: "
      + "\(counted(pairs.count, "pair")), \(counted(cells.count, "cell")) in "
      + "\(Format.fixed(seconds, 2)) s"
  }

  /// What was compared, and how the tokens stand for each other.
  package var facts: [(name: String, value: String)] {
    var facts: [(name: String, value: String)] = []
    if pairs.count == 1 {
      let answers = [pairs[0].answer] + [pairs[0].against].compactMap { $0 }
      facts.append(
        (
          "answer",
          answers.map { text($0).map { "\"\(printable($0))\"" } ?? "\($0)" }
            .joined(separator: " against ")
        ))
      facts.append(("tokens", alignment(pairs[0])))
    }
    facts.append(("clean run", Self.text(clean, name(.difference))))
    facts.append(("corrupted run", Self.text(corrupted, name(.difference))))
    if let noise {
      facts.append(
        (
          "noise",
          "\(counted(noise.count, "draw")) of standard deviation \(Format.figure(noise.deviation))"
        ))
    }
    return facts
  }

  private static func text(_ prediction: Prediction, _ difference: String) -> String {
    "\(difference) \(Format.fixed(prediction.difference, 3)), probability "
      + Format.fixed(prediction.probability, 4)
  }

  /// The tokens of a pair, with those in brackets that differ or have no counterpart.
  private func alignment(_ pair: Pair) -> String {
    let shown = { (ids: ArraySlice<Int>) in
      ids.map { LensText.shown(text($0) ?? "\($0)") }.joined(separator: "|")
    }
    var texts: [String] = []
    var (first, second) = (0, 0)
    for (clean, corrupted) in pair.alignment {
      let (own, other) = (pair.clean[first...clean], pair.corrupted[second...corrupted])
      texts.append(
        Array(own) == Array(other) ? shown(own) : "[\(shown(own)) / \(shown(other))]")
      (first, second) = (clean + 1, corrupted + 1)
    }
    return texts.joined(separator: "|")
  }

  /// The result for a terminal.
  ///
  /// - Parameters:
  ///   - width: columns of the terminal.
  ///   - isColoured: whether cells have colours.
  package func text(width: Int, isColoured: Bool) -> String {
    var parts = [Report(title: title, facts: facts, json: JSONObject()).text]
    parts += maps(.difference, ofHeads: false).map {
      $0.terminal(width: width, isColoured: isColoured)
    }
    let table = [("largest shares", largestTable)]
    parts.append(
      Report(title: "", tables: table, notes: notes, json: JSONObject()).text
        .split(separator: "\n").joined(separator: "\n"))
    return parts.joined(separator: "\n\n")
  }

  /// The page in one file.
  package var page: HTMLPage {
    var page = HTMLPage(
      title: "Activation patching",
      subtitle: "\(model.architecture), \(counted(model.layerCount, "block")) · \(title)")
    page.add(facts: facts + [("model", model.identity.description)])
    page.add(paragraph: explanation)
    for note in notes { page.add(paragraph: "Note: \(note).") }
    for measure in Measure.allCases {
      page.add(heading: "Share of the \(name(measure))")
      for map in maps(measure) {
        page.add(figure: map.svg(cellWidth: cellWidth, standsAlone: false))
      }
    }
    page.add(table: largestTable, caption: "Largest shares")
    page.add(table: cellTable, caption: "Every cell", isFolded: true)
    return page
  }

  private var explanation: String {
    let (from, into) = isReverse ? ("corrupted", "clean") : ("clean", "corrupted")
    return
      "Each cell replaces one value of the \(into) run by that of the \(from) run. The share is how far "
      + "the prediction moves to that of the \(from) run: 0 is not at all, 1 is all the way. "
      + "Point at a cell to see its figure"
      + (cells.contains { $0.share.interval.isKnown } ? " and its 95% interval." : ".")
  }
}
