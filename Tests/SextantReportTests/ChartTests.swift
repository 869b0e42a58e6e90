import SextantReport
import Testing

/// People look at charts. A test can only check that every number is in its place.
struct ChartTests {
  /// The values of an attribute of all elements of a kind.
  private func values(_ attribute: String, of element: String, in svg: String) -> [Double] {
    svg.split(separator: "<").filter { $0.hasPrefix(element + " ") && !$0.contains("ground") }
      .compactMap { text in
        text.split(separator: " \(attribute)=\"").dropFirst().first?
          .split(separator: "\"").first.flatMap { Double($0) }
      }
  }

  @Test func pointsLieWhereTheAxesSay() {
    let chart = LineChart(
      title: "t", x: "x", y: "y",
      series: [.init("s", [.init(0, 0), .init(1, 5), .init(2, 10)], colour: .category(0))])
    let svg = chart.svg()
    let (x, y) = (values("cx", of: "circle", in: svg), values("cy", of: "circle", in: svg))
    #expect(x.count == 3 && y.count == 3)
    #expect(abs(x[1] - (x[0] + x[2]) / 2) < 0.02)
    #expect(abs(y[1] - (y[0] + y[2]) / 2) < 0.02)
    #expect(x[0] < x[2] && y[0] > y[2])
  }

  @Test func missingNumbersInterruptALine() {
    let chart = LineChart(
      title: "t", x: "x", y: "y",
      series: [
        .init("s", [.init(0, 0), .init(1, 1), .init(2, .nan), .init(3, 1)], colour: .muted)
      ])
    let svg = chart.svg()
    #expect(svg.split(separator: "<path").count - 1 == 2)
    #expect(svg.split(separator: "<circle").count - 1 == 3)
    #expect(!svg.contains("nan"))
  }

  @Test(arguments: [
    [LineChart.Point](), [.init(0, 0)], [.init(3, .nan)], [.init(0, 1e300), .init(1, -1e300)],
    [.init(0, 0), .init(0, 0)], [.init(0, 1e-300), .init(1, 2e-300)],
    [.init(0, .infinity), .init(1, 2)], [.init(.nan, 1), .init(.infinity, 2), .init(1, 3)],
    [.init(-1.7e308, 1.7e308), .init(1.7e308, -1.7e308)],
    [.init(0, .leastNonzeroMagnitude), .init(.leastNonzeroMagnitude, 0)],
    [.init(1e20, 1e20), .init(1e20, 1e20)],
    [.init(0, 1, interval: -Double.infinity...Double.infinity), .init(1, 2, interval: 2...2)],
  ])
  func anyNumbersMakeAPicture(_ points: [LineChart.Point]) {
    for range in [nil, 0...0, -Double.infinity...Double.infinity, 1.7e308...1.7e308] {
      let chart = LineChart(
        title: "t", x: "x", y: "y", series: [.init("s", points, colour: .category(1))],
        yRange: range, countsWhole: true)
      let svg = chart.svg()
      #expect(svg.hasSuffix("</svg>"))
      #expect(!svg.contains("nan") && !svg.contains("inf"))
    }
    let bars = BarChart(
      title: "t", y: "y", groups: points.map { "\($0.x.isFinite)" },
      series: [
        (name: "s", bars: points.map { .init($0.y, interval: $0.interval) }, colour: .muted)
      ]
    ).svg()
    #expect(bars.hasSuffix("</svg>") && !bars.contains("nan") && !bars.contains("inf"))
    for scale in [
      .sequential(0...0), .sequential(-1.7e308...1.7e308), .diverging(limit: .nan),
      .diverging(limit: -1), .diverging(limit: .infinity),
    ] as [ColourScale] {
      let map = HeatMap(
        title: "t", rowTitle: "r", columnTitle: "c", rows: ["a"], columns: points.map { _ in "b" },
        cells: [points.map { .init($0.y) }], scale: scale
      ).svg()
      #expect(map.hasSuffix("</svg>") && !map.contains("nan") && !map.contains("inf"))
    }
  }

  /// Inkscape, ImageMagick and librsvg do not support variables of CSS.
  @Test func filesNeedNoVariables() {
    let chart = LineChart(
      title: "t", x: "x", y: "y", series: [.init("s", [.init(0, 1)], colour: .category(2))])
    #expect(!chart.svg().contains("var("))
    #expect(chart.svg().contains("#0a7d5a"))
    #expect(chart.svg(standsAlone: false).contains("var(--series-2)"))
  }

  @Test func barsStartAtZero() {
    let chart = BarChart(
      title: "t", y: "y", groups: ["a", "b"],
      series: [(name: "s", bars: [.init(2), .init(-2)], colour: .category(0))])
    let svg = chart.svg()
    let (tops, heights) = (
      values("y", of: "rect", in: svg), values("height", of: "rect", in: svg)
    )
    #expect(heights.count == 2 && heights[0] == heights[1])
    #expect(abs(tops[0] + heights[0] - tops[1]) < 0.02)
  }

  @Test func textFromAModelCannotBreakOut() {
    let evil = "</title><script>alert(\"1\")</script>&\u{0}"
    let map = HeatMap(
      title: evil, rowTitle: evil, columnTitle: evil, rows: [evil], columns: [evil],
      cells: [[.init(1, text: evil, hover: evil)]], scale: .sequential(0...1))
    let svg = map.svg(width: 8000)
    #expect(!svg.contains("<script"))
    #expect(!svg.contains("\u{0}"))
    var page = HTMLPage(title: evil, subtitle: evil)
    page.add(heading: evil)
    page.add(paragraph: evil)
    page.add(facts: [(evil, evil)])
    page.add(data: .string(evil), id: "d")
    var table = Table([evil])
    table.add([evil])
    page.add(table: table, caption: evil, isFolded: true)
    #expect(!page.html.contains("<script>"))
    #expect(page.html.split(separator: "<script").count - 1 == 1)
  }

  @Test func colourScalesRunBetweenTheirEnds() {
    let pale = ColourScale.sequential(0...1)
    #expect(pale.colour(0).prefersBlackText)
    #expect(!pale.colour(1).prefersBlackText)
    #expect(pale.colour(-5) == pale.colour(0) && pale.colour(9) == pale.colour(1))
    #expect(pale.colour(.nan) == pale.colour(0))
    let diverging = ColourScale.diverging(limit: 2)
    #expect(diverging.colour(-2).blue > diverging.colour(-2).red)
    #expect(diverging.colour(2).red > diverging.colour(2).blue)
    #expect(diverging.colour(0).prefersBlackText)
  }
}
