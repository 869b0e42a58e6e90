import SextantBytes
import SextantReport

extension ModelComparison {
  /// The page in one file: a row of figures for each experiment, a column for each model.
  package var page: HTMLPage {
    let names = members.map(\.name).joined(separator: ", ")
    var page = HTMLPage(
      title: "Does interpretability transfer?",
      subtitle: "\(names): the experiments of arXiv 2404.05971 on the same data")
    page.add(
      paragraph: """
        The paper asks whether methods that were made for transformers also work on recurrent models. Each of \
        its claims is tested here on every model. A claim is written as a difference that must be above zero. \
        It holds if the whole 95% interval is above zero, and does not hold if the whole interval is below. \
        Otherwise the data cannot tell.
        """)
    page.add(paragraph: answer)
    let tables = tables  // computed once
    let (steering, models, lenses, probes, claims) = (
      tables[0], tables[1], tables[2], tables[3], tables[4]
    )
    page.add(table: claims.table, caption: claims.title)
    page.add(heading: "1. Steering")
    page.add(panels: members.map(steeringPanel))
    page.add(table: steering.table, caption: steering.title)
    page.add(heading: "2. Lenses")
    for quantity in LensQuantity.allCases {
      page.add(panels: members.map { lensPanel($0, quantity) })
    }
    page.add(table: models.table, caption: models.title)
    page.add(table: lenses.table, caption: lenses.title)
    page.add(heading: "3. Latent knowledge")
    page.add(panels: members.map(probePanel))
    page.add(table: probes.table, caption: probes.title)
    page.add(heading: "How the numbers were made")
    for paragraph in method { page.add(paragraph: paragraph) }
    var measures = Table(["", "what must be above zero"])
    for claim in Claim.all { measures.add([String(claim.number), claim.measure]) }
    page.add(table: measures, caption: "The difference of each claim", isFolded: true)
    return page
  }

  /// Which claims of an experiment hold for a model.
  private func verdicts(_ member: ComparisonMember, _ experiment: Claim.Experiment) -> String {
    Claim.sentence(
      Claim.all.filter { $0.experiment == experiment }.compactMap { claim in
        claim.result(of: member).map { (claim.number, $0.verdict) }
      })
  }

  // MARK: Steering

  private func steeringPanel(_ member: ComparisonMember) -> Panel {
    var chart = member.steering.mainFigure
    chart.title = "\(member.name): matching by strength"
    chart.yRange = 0...1
    let texts = member.steering.summary.curves.map { curve in
      let control = member.steering.control(of: curve)?.contrast.interval.high
      return
        "\(SteeringEvaluation.text(curve.contrast, digits: 2)) through \(Self.text(curve.sites))"
        + (control.map { " (95% of random directions: below \(Format.fixed($0, 2)))" } ?? "")
    }
    return Panel(
      chart,
      "From strength −3 to +3 matching changes by \(Self.joined(texts)): "
        + "\(verdicts(member, .steering)).")
  }

  private static func text(_ sites: SteeredSites) -> String {
    switch sites {
    case .residual: "the stream"
    case .state: "the state"
    case .both: "both"
    case .component(let name): name
    }
  }

  private static func joined(_ texts: [String]) -> String {
    guard let last = texts.last, texts.count > 1 else { return texts.first ?? "nothing" }
    return "\(texts.dropLast().joined(separator: ", ")) and \(last)"
  }

  // MARK: Lenses

  /// The ends of the axis of all models: the logit lens may have values that are too large for a
  /// readable figure.
  private func range(_ quantity: LensQuantity) -> ClosedRange<Double> {
    let trained = members.flatMap { member in
      member.lenses.results.dropFirst().flatMap { result in
        result.layers.map { quantity.value($0).mean * member.lenses.bitsPerByteFactor }
      }
    }
    let low = quantity == .divergence ? 0 : (trained.min() ?? 0) * 0.9
    return low...max(1.5 * (trained.max() ?? 1), low + 1e-3)
  }

  private func lensPanel(_ member: ComparisonMember, _ quantity: LensQuantity) -> Panel {
    let (range, factor) = (range(quantity), member.lenses.bitsPerByteFactor)
    var hidden = 0
    var series = member.lenses.results.enumerated().map { index, result in
      let points = result.layers.compactMap { layer -> LineChart.Point? in
        let mean = quantity.value(layer)
        guard mean.mean * factor <= range.upperBound else {
          hidden += 1
          return nil
        }
        return LineChart.Point(
          member.depth(layer), mean.mean * factor,
          interval: mean.interval.scaled(by: factor).range?.clamped(to: range))
      }
      return LineChart.Series("\(result.name) lens", points, colour: .category(index))
    }
    if quantity == .crossEntropy {
      let own = member.lenses.crossEntropy.mean * factor
      series.append(
        LineChart.Series(
          "the model", [0, 1].map { LineChart.Point($0, own) }, colour: .muted, isDashed: true))
    }
    let chart = LineChart(
      title:
        "\(member.name): \(quantity == .crossEntropy ? "cross-entropy" : "divergence from the model")",
      subtitle: "bands are 95% intervals"
        + (hidden == 0
          ? ""
          : "; \(counted(hidden, "value")) above \(Format.fixed(range.upperBound, 1)) left out"),
      x: "share of the blocks passed (0: the embedding)", y: "bits per byte", series: series,
      xRange: 0...1, yRange: range)
    return Panel(chart, lensText(member, quantity))
  }

  private func lensText(_ member: ComparisonMember, _ quantity: LensQuantity) -> String {
    let factor = member.lenses.bitsPerByteFactor
    let texts = member.lenses.results.compactMap { result -> String? in
      let half = result.layers.last { member.depth($0) <= 0.5 }
      return half.map {
        "\(Format.fixed(quantity.value($0).mean * factor, 2)) through the \(result.name) lens"
      }
    }
    let own = Format.fixed(member.lenses.crossEntropy.mean * factor, 2)
    let number = quantity == .crossEntropy ? 7 : 6
    let result = Claim.all.first { $0.number == number }?.result(of: member)
    let verdict = result.map { Claim.sentence([(number, $0.verdict)]) } ?? "nothing was compared"
    return "Half of the way through the model, "
      + (quantity == .crossEntropy
        ? "the cross-entropy is \(Self.joined(texts)), and that of the model itself is \(own): "
        : "the divergence is \(Self.joined(texts)): ") + "\(verdict)."
  }

  // MARK: Probes

  private func probePanel(_ member: ComparisonMember) -> Panel {
    let blocks = Double(max(member.description.layerCount, 1))
    let place = { (layer: Int) in Double(layer + 1) / blocks }
    var series = member.families.enumerated().compactMap { index, family -> LineChart.Series? in
      guard let own = member.transfer(to: "B", family) else { return nil }
      let points = member.probes.curve(own.source, own.target, family, own.method).compactMap {
        row in
        row.measured.roc.map {
          LineChart.Point(
            place(row.probe.layer ?? 0), $0.area, interval: $0.interval.range)
        }
      }
      return LineChart.Series(Self.siteName(family), points, colour: .category(index))
    }
    if let output = member.output(on: "B") {
      series.append(
        LineChart.Series(
          "the model's output", [0, 1].map { LineChart.Point($0, output.area) }, colour: .muted,
          isDashed: true))
    }
    let chart = LineChart(
      title: "\(member.name): the truth on Bob's statements, by block",
      subtitle: "logistic regressions that learned from Alice's; bands are 95% intervals",
      x: "share of the blocks passed", y: "AUROC against the truth", series: series, xRange: 0...1,
      yRange: 0...1)
    return Panel(chart, probeText(member))
  }

  private func probeText(_ member: ComparisonMember) -> String {
    let texts = ["output", member.memory].compactMap { $0 }.compactMap { family -> String? in
      member.transfer(to: "B", family).map { own in
        "\(SteeringEvaluation.text(Figure(own.roc.area, own.roc.interval), digits: 2)) at block "
          + "\(own.layer) in the \(Self.siteName(family))"
      }
    }
    let output = member.output(on: "B").map {
      ", and the model's own answers have "
        + SteeringEvaluation.text(Figure($0.area, $0.interval), digits: 2)
    }
    return "At the earliest informative block, the area is \(Self.joined(texts))\(output ?? ""): "
      + "\(verdicts(member, .probes))."
  }

  // MARK: How

  private var method: [String] {
    [
      "A second run with the same models and data gives the same bytes.",
      """
      Steering: one vector for each site, the mean difference of the contrast pairs at the last token, is \
      added at one block before the answer. Matching is p(matching) / (p(matching) + p(other)). The block is \
      chosen on one half of the prompts and shown on the other. The control is \
      \(counted(experiment.controlCount, "random direction")) of equal norm at the same block.
      """,
      """
      Lenses: the ridge lens is a regression on \(Format.count(experiment.trainingTokens)) tokens, whose result \
      is fitted on \(Format.count(experiment.calibrationTokens)) tokens. The tuned lens starts as the logit \
      lens and is trained with the published optimiser (SGD) for \(experiment.tunedSteps) steps of \
      \(Format.count(experiment.tokensPerStep)) tokens. That is much less than the published recipe. The texts \
      were written by the first of the models. Cross-entropies of different models on them must therefore not \
      be compared; the table of the models themselves is for that.
      """,
      """
      Latent knowledge: the models were trained to judge sums as two persons do. Alice is right, and Bob accepts \
      sums whose first digit is one too high. A probe learns the truth from Alice's statements and is measured on \
      Bob's held-out ones. The block is the earliest informative one on Alice's held-out statements. PGR is the \
      share of the gap between a probe that learned from Bob and one that learned from Alice, on the hardest \
      statements. The control is \(counted(experiment.randomDirections, "random direction")), each in its better \
      sense.
      """,
      """
      Intervals are bootstraps over prompts (steering) and over chunks of text (lenses), and those of DeLong \
      (areas). Differences on the same prompts or chunks are resampled together. The interval of a difference of \
      two areas is wider than needed, because it does not use that both are of the same statements. Every model \
      was trained once: the intervals do not contain the variation between training runs.
      """,
    ]
  }
}
