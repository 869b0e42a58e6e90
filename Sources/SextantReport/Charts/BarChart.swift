/// Groups of bars, with intervals if they are known.
package struct BarChart: Chart {
  /// One bar.
  package struct Bar: Sendable, Equatable {
    /// The number; none is drawn if it is not finite.
    package var value: Double
    /// An interval around the number.
    package var interval: ClosedRange<Double>?

    /// A bar.
    package init(_ value: Double, interval: ClosedRange<Double>? = nil) {
      (self.value, self.interval) = (value, interval)
    }
  }

  /// The title.
  package var title: String
  /// A line under the title.
  package var subtitle: String?
  /// The quantity of the bars, with its unit.
  package var yTitle: String
  /// The names of the groups, from left to right.
  package var groups: [String]
  /// Bars of one colour, one for each group.
  package var series: [(name: String, bars: [Bar], colour: SeriesColour)]

  /// A chart; each series has one bar for each group.
  package init(
    title: String, subtitle: String? = nil, y: String, groups: [String],
    series: [(name: String, bars: [Bar], colour: SeriesColour)]
  ) {
    precondition(series.allSatisfy { $0.bars.count == groups.count })
    (self.title, self.subtitle, yTitle) = (title, subtitle, y)
    (self.groups, self.series) = (groups, series)
  }

  package var legend: [LegendEntry] {
    series.count > 1
      ? series.map { LegendEntry(name: $0.name, colour: $0.colour.css, isDashed: false) } : []
  }

  package var panel: String {
    svg(width: PanelSize.width, height: PanelSize.height, standsAlone: false, isPanel: true)
  }

  /// The chart as SVG, of a size in pixels.
  ///
  /// - Parameter isPanel: without title and legend, for a page that has them as text.
  package func svg(
    width: Double = 720, height: Double = 400, standsAlone: Bool = true, isPanel: Bool = false
  ) -> String {
    var svg = SVG(width: width, height: height, title: title)
    let bars = series.flatMap(\.bars)
    let y = Axis(
      showing: [0]
        + bars.flatMap { [$0.value] + ($0.interval.map { [$0.lowerBound, $0.upperBound] } ?? []) })
    let slots = Double(max(groups.count, 1))
    // Names that don't fit next to each other are slanted.
    let leans = groups.contains { SVG.width(of: $0) > (width - 80) / slots - 8 }
    let longest = groups.map { SVG.width(of: $0) }.max() ?? 0
    let frame = Frame(
      &svg, width: width, height: height, title: isPanel ? nil : title,
      subtitle: isPanel ? nil : subtitle, yTitle: yTitle, y: y, legend: isPanel ? [] : legend,
      bottom: leans ? min(36 + longest * 0.55, height / 2) : 36)
    let slot = frame.plot.width / slots
    let barWidth = min(slot * 0.76 / Double(max(series.count, 1)), 56)
    for (index, group) in groups.enumerated() {
      let centre = frame.plot.x + slot * (Double(index) + 0.5)
      svg.text(
        group, (centre, frame.plot.y + frame.plot.height + 18), anchor: leans ? .end : .middle,
        rotation: leans ? -32 : 0)
      for (place, line) in series.enumerated() where line.bars[index].value.isFinite {
        let bar = line.bars[index]
        let x = centre + (Double(place) - Double(series.count) / 2) * barWidth
        let (top, bottom) = (frame.height(max(bar.value, 0)), frame.height(min(bar.value, 0)))
        let interval = bar.interval.map {
          " [\(Format.figure($0.lowerBound)), \(Format.figure($0.upperBound))]"
        }
        svg.rectangle(
          x: x + 1, y: top, width: barWidth - 2, height: bottom - top, fill: line.colour.css,
          hover: "\(group), \(line.name): \(Format.figure(bar.value))\(interval ?? "")")
        if let range = bar.interval {
          let middle = x + barWidth / 2
          svg.line(
            (middle, frame.height(range.lowerBound)), (middle, frame.height(range.upperBound)),
            "stroke=\"var(--ink)\" stroke-width=\"1.5\"")
        }
      }
    }
    return svg.text(standsAlone: standsAlone)
  }
}
