import SextantArtifacts
import SextantBytes
import SextantReport
import SextantStore

extension SteeringSearchResult {
  /// The short report.
  ///
  /// - Parameters:
  ///   - output: the path of the vector that was written.
  ///   - folder: the folder of the page, for a note; nil for none.
  package func report(output: String, folder: String? = nil) -> Report {
    Report(
      title: "\(printable(output)): \(place.description), \(Format.figure(Double(strength))) times "
        + printable(searched.file ?? "the vector"),
      facts: facts, tables: [(frontTitle, frontTable)], notes: notes(output: output, folder),
      json: JSONObject([("output", .string(output))]).with(json))
  }

  private var strength: Float { best.cell.strength }

  private static func text(_ figure: Figure, _ digits: Int = 3) -> String {
    SteeringEvaluation.text(figure, digits: digits)
  }

  /// A number of the budget, as it was given.
  private static func text(_ number: Double) -> String { Format.plain(Float(number)) }

  /// What the found dose does, on the half that is reported.
  private var facts: [(name: String, value: String)] {
    let own = best.reported
    var facts = [
      ("effect", Self.text(effect(own))),
      (
        "divergence",
        "\(Self.text(divergence(own))) nats per token; budget \(Self.text(budget.divergence))"
          + verdictText
      ),
      (
        "nonsense",
        "\(Self.text(nonsense(own))); budget \(Self.text(budget.nonsense))"
      ),
    ]
    if let loss = loss(own) {
      facts.append(
        ("other questions lost", "\(Self.text(loss)); budget \(Self.text(budget.loss))"))
    }
    facts.append(
      (
        "at strength -1",
        "effect \(Self.text(effect(against))), divergence \(Self.text(divergence(against)))"
      ))
    if let controlEffect, let controlProbability {
      facts.append(
        (
          counted(controls.count, "random direction"),
          "effect \(Self.text(controlEffect)) after the same search; p \(Format.fixed(controlProbability, 3))"
        ))
    }
    facts.append(
      (
        "searched",
        "\(counted(placeCount, "place")), \(counted(tried.count, "cell")) in "
          + "\(Format.fixed(seconds, 1)) s"
      ))
    return facts
  }

  private var verdictText: String {
    switch verdict {
    case .within: ", which is above the interval"
    case .unclear: ", which the interval contains"
    case .above: ": the dose does more harm on this half"
    }
  }

  private func notes(output: String, _ folder: String?) -> [String] {
    var notes = [
      "chosen on one half of the data; all figures above are of the other half, with 95% intervals (of random "
        + "directions: the range that contains 95% of them)",
      "strength 1 of \(printable(output)) is this dose: generate with `apply` \(printable(output))",
    ]
    if let note = SmallSample.note(best.reported.effects.count, "reported prompt") {
      notes.append(note)
    }
    if let folder { notes.append("\(printable(folder))/index.html has every cell, and texts") }
    return notes
  }

  private var frontTitle: String {
    "the largest effect for each divergence, chosen on the one half and reported on the other"
  }

  /// The cells of the front, on both halves.
  package var frontTable: Table {
    var table = Table([
      "blocks", "sites", "positions", "#strength", "#effect, choosing", "#effect [95%]",
      "#nats, choosing", "#nats per token [95%]",
    ])
    for one in front {
      let place = one.cell.place
      table.add([
        LayerSelection.text(place.blocks), place.sites.description, place.positions.description,
        Format.figure(Double(one.cell.strength)), Format.fixed(one.cell.figures.effect, 3),
        Self.text(effect(one.reported)), Format.fixed(one.cell.figures.divergence, 4),
        Self.text(divergence(one.reported), 4),
      ])
    }
    return table
  }

  /// Every cell that was tried, for programs that read tables.
  package var cellTable: Table {
    var table = Table([
      "#round", "blocks", "sites", "positions", "#strength", "#prompts", "#effect", "#kl",
      "#nonsense", "#loss", "#harm",
    ])
    for cell in tried {
      let figures = cell.figures
      let numbers = [
        figures.effect, figures.divergence, CellFigures.mean(figures.nonsense),
        figures.losses.isEmpty ? .nan : CellFigures.mean(figures.losses), cell.harm,
      ]
      table.add(
        [
          String(cell.round), LayerSelection.text(cell.place.blocks),
          cell.place.sites.description, cell.place.positions.description,
          String(cell.strength), String(figures.effects.count),
        ] + numbers.map { $0.isFinite ? "\($0)" : "" })
    }
    return table
  }

  // MARK: The page

  /// The page in one file.
  package var page: HTMLPage {
    var page = HTMLPage(
      title: "Steering: the dose that a search found",
      subtitle: "\(model.architecture), \(counted(model.layerCount, "block")) · "
        + "\(searched.training.method) vector · \(place.description)")
    page.add(
      facts: [
        ("blocks", LayerSelection.text(place.blocks)), ("sites", place.sites.description),
        ("positions", place.positions.description),
        ("strength", "\(Format.figure(Double(strength))) times the vector"),
      ] + facts + [("seed", String(seed))])
    page.add(heading: "Effect against divergence")
    page.add(
      paragraph:
        "The effect is the change of p(matching) / (p(matching) + p(other)). The divergence is that of the "
        + "predictions on neutral text from those of the unsteered model. Cells were chosen on one half of "
        + "the data. The other half shows how much of the effect is the luck of the choice.")
    page.add(panels: [Panel(choosingChart, choosingText), Panel(reportingChart, reportingText)])
    page.add(table: frontTable, caption: frontTitle)
    if !texts.isEmpty {
      page.add(heading: "Texts at three doses")
      page.add(table: textTable)
    }
    page.add(table: shortCellTable, caption: "Every cell that was tried", isFolded: true)
    return page
  }

  private static func points(
    _ cells: [(x: Double, y: Double, interval: Interval?)], upTo limit: Double
  ) -> [LineChart.Point] {
    cells.filter { $0.x <= limit }.map {
      LineChart.Point($0.x, $0.y, interval: $0.interval?.range)
    }
  }

  /// The largest divergence that figures show: cells beyond it only helped to find the budget.
  private var shownLimit: Double { budget.divergence * 1.5 }

  /// All cells of the last round on the half that they were chosen on.
  package var choosingChart: LineChart {
    let place = { (cell: TriedCell) in
      (x: cell.figures.divergence, y: cell.figures.effect, interval: Interval?.none)
    }
    return LineChart(
      title: "The half that the search chose on",
      subtitle: "\(counted(best.cell.figures.effects.count, "prompt"))", x: "nats per token",
      y: "change of p(matching)",
      series: [
        .init(
          "earlier rounds, on less data",
          Self.points(tried.filter { !$0.isWhole }.map(place), upTo: shownLimit), colour: .muted,
          isJoined: false),
        .init(
          "the last round", Self.points(tried.filter(\.isWhole).map(place), upTo: shownLimit),
          colour: .category(1), isJoined: false),
        .init(
          "the front", Self.points(front.map { place($0.cell) }, upTo: shownLimit),
          colour: .category(0)),
      ], xRange: 0...shownLimit)
  }

  /// The front on the other half, and random directions.
  package var reportingChart: LineChart {
    let own = front.map { one in
      let effect = effect(one.reported)
      return (
        x: one.reported.divergence, y: effect.value, interval: Interval?.some(effect.interval)
      )
    }
    var series = [
      LineChart.Series(
        "the front", Self.points(own, upTo: shownLimit), colour: .category(0))
    ]
    let random = controls.compactMap(\.reported).map {
      (x: $0.divergence, y: $0.effect, interval: Interval?.none)
    }
    if !random.isEmpty {
      series.append(
        .init(
          "random directions, each at its best", Self.points(random, upTo: shownLimit),
          colour: .category(1), isJoined: false))
    }
    return LineChart(
      title: "The other half",
      subtitle: "\(counted(best.reported.effects.count, "prompt")); bands are 95% intervals",
      x: "nats per token", y: "change of p(matching)", series: series, xRange: 0...shownLimit)
  }

  private var choosingText: String {
    "\(counted(tried.count { $0.isWhole }, "cell")) of \(tried.count) were measured on the whole half, the others on "
      + "a part of it. Cells with more than \(Format.fixed(shownLimit, 3)) nats are only in the table."
  }

  private var reportingText: String {
    let own =
      "The chosen cell changes matching by \(Self.text(effect(best.reported))) at "
      + "\(Self.text(divergence(best.reported))) nats per token."
    guard let controlEffect else { return own }
    return own
      + " \(counted(controls.count, "random direction")) of equal norm, which were given the same "
      + "search, change it by \(Self.text(controlEffect))."
  }

  private var textTable: Table {
    var table = Table(["prompt", "#dose", "text"])
    for text in texts {
      for (dose, continued) in zip(Self.textDoses, text.continued) {
        table.add([
          printable(text.prompt), Format.plain(dose),
          printable(continued.replacing("\n", with: " ⏎ ")),
        ])
      }
    }
    return table
  }

  /// The cells with short numbers, for people.
  private var shortCellTable: Table {
    var table = Table([
      "#round", "blocks", "sites", "positions", "#strength", "#prompts", "#effect", "#nats",
      "#nonsense", "#share of the budget",
    ])
    for cell in tried {
      table.add([
        String(cell.round), LayerSelection.text(cell.place.blocks),
        cell.place.sites.description, cell.place.positions.description,
        Format.figure(Double(cell.strength)), String(cell.figures.effects.count),
        Format.fixed(cell.figures.effect, 3), Format.figure(cell.figures.divergence),
        Format.fixed(CellFigures.mean(cell.figures.nonsense), 3), Format.fixed(cell.harm, 2),
      ])
    }
    return table
  }
}
