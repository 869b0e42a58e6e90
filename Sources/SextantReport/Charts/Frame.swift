/// The common parts of all charts with axes: title, legend, axes, grid.
struct Frame {
  /// The rectangle of the data, in pixels.
  let plot: (x: Double, y: Double, width: Double, height: Double)
  private let y: Axis

  /// Draws the frame and the horizontal grid.
  ///
  /// - Parameters:
  ///   - title: nil if the page has the title.
  ///   - legend: names with their marks.
  ///   - bottom: pixels under the plot for the labels of the other axis.
  init(
    _ svg: inout SVG, width: Double, height: Double, title: String?, subtitle: String? = nil,
    yTitle: String, y: Axis, legend: [LegendEntry], bottom: Double
  ) {
    self.y = y
    var top = title == nil ? -6.0 : 28
    if let title { svg.text(title, (16, top), size: 15, bold: true) }
    if let subtitle {
      top += 18
      svg.text(subtitle, (16, top), size: 12, fill: "var(--soft)")
    }
    let labels = y.ticks.map { y.label($0) }
    let left = 40 + (labels.map { SVG.width(of: $0) }.max() ?? 0)
    top = Self.draw(legend, &svg, from: (left, top + 12), width: width - left - 16)
    plot = (left, top + 12, width - left - 20, height - top - 12 - bottom)
    for (tick, label) in zip(y.ticks, labels) {
      let place = plot.y + plot.height * (1 - y.share(tick))
      svg.line(
        (plot.x, place), (plot.x + plot.width, place),
        "stroke=\"\(tick == 0 ? "var(--muted)" : "var(--rule)")\"")
      svg.text(label, (plot.x - 8, place + 4), anchor: .end, fill: "var(--soft)")
    }
    svg.text(
      yTitle, (18, plot.y + plot.height / 2), anchor: .middle, fill: "var(--soft)", rotation: -90)
  }

  /// Names in rows; the height at which they end.
  private static func draw(
    _ legend: [LegendEntry], _ svg: inout SVG, from origin: (x: Double, y: Double), width: Double
  ) -> Double {
    guard !legend.isEmpty else { return origin.y - 6 }
    var (x, y) = (origin.x, origin.y + 8)
    for entry in legend {
      let needed = 28 + SVG.width(of: entry.name)
      if x + needed > origin.x + width, x > origin.x { (x, y) = (origin.x, y + 20) }
      svg.line(
        (x, y - 4), (x + 18, y - 4),
        "stroke=\"\(entry.colour)\" stroke-width=\"3\""
          + (entry.isDashed ? " stroke-dasharray=\"5 3\"" : ""))
      svg.text(entry.name, (x + 24, y))
      x += needed + 16
    }
    return y
  }

  /// The height of a number.
  func height(_ value: Double) -> Double { plot.y + plot.height * (1 - y.share(value)) }

  /// The title under the plot.
  func title(_ title: String, _ svg: inout SVG, below: Double) {
    svg.text(
      title, (plot.x + plot.width / 2, plot.y + plot.height + below), anchor: .middle,
      fill: "var(--soft)")
  }
}
