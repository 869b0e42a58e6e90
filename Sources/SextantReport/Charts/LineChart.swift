import SextantBytes

/// Series of numbers over a common axis, with intervals if they are known.
package struct LineChart: Chart {
  /// A number and its interval.
  package struct Point: Sendable, Equatable {
    /// The place on the horizontal axis.
    package var x: Double
    /// The number; one that is not finite interrupts the line.
    package var y: Double
    /// An interval around the number.
    package var interval: ClosedRange<Double>?

    /// A point.
    package init(_ x: Double, _ y: Double, interval: ClosedRange<Double>? = nil) {
      (self.x, self.y, self.interval) = (x, y, interval)
    }

    /// Whether there is a place for it.
    fileprivate var isDrawn: Bool { x.isFinite && y.isFinite }
  }

  /// The points of one series.
  package struct Series: Sendable, Equatable {
    /// The name in the legend.
    package var name: String
    /// The points, in the order in which they are joined.
    package var points: [Point]
    /// The style of the line.
    package var colour: SeriesColour
    /// Whether the line is broken: a control, a prediction.
    package var isDashed: Bool
    /// Whether the points are joined by a line.
    package var isJoined: Bool

    /// A series.
    package init(
      _ name: String, _ points: [Point], colour: SeriesColour, isDashed: Bool = false,
      isJoined: Bool = true
    ) {
      (self.name, self.points, self.colour) = (name, points, colour)
      (self.isDashed, self.isJoined) = (isDashed, isJoined)
    }
  }

  /// The title.
  package var title: String
  /// A line under the title.
  package var subtitle: String?
  /// The quantity of the horizontal axis, with its unit.
  package var xTitle: String
  /// The quantity of the vertical axis, with its unit.
  package var yTitle: String
  /// The series, drawn in this order.
  package var series: [Series]
  /// The ends of the horizontal axis, if they are known.
  package var xRange: ClosedRange<Double>?
  /// The ends of the vertical axis, if they are known.
  package var yRange: ClosedRange<Double>?
  /// Whether the horizontal axis is a count, such as of blocks.
  package var countsWhole: Bool

  /// A chart.
  package init(
    title: String, subtitle: String? = nil, x: String, y: String, series: [Series],
    xRange: ClosedRange<Double>? = nil, yRange: ClosedRange<Double>? = nil,
    countsWhole: Bool = false
  ) {
    (self.title, self.subtitle, xTitle, yTitle) = (title, subtitle, x, y)
    (self.series, self.xRange, self.yRange) = (series, xRange, yRange)
    self.countsWhole = countsWhole
  }

  package var legend: [LegendEntry] {
    series.count > 1
      ? series.map { LegendEntry(name: $0.name, colour: $0.colour.css, isDashed: $0.isDashed) } : []
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
    let points = series.flatMap(\.points)
    let xValues = points.map(\.x)
    let x = Axis(
      showing: xValues, fixed: xRange ?? Self.ends(xValues), tickCount: Int(clamping: width / 80),
      isWhole: countsWhole)
    let y = Axis(
      showing: points.flatMap {
        [$0.y] + ($0.interval.map { [$0.lowerBound, $0.upperBound] } ?? [])
      },
      fixed: yRange)
    let frame = Frame(
      &svg, width: width, height: height, title: isPanel ? nil : title,
      subtitle: isPanel ? nil : subtitle, yTitle: yTitle, y: y, legend: isPanel ? [] : legend,
      bottom: 52)
    let place = { (value: Double) in frame.plot.x + frame.plot.width * x.share(value) }
    for tick in x.ticks {
      svg.text(
        x.label(tick), (place(tick), frame.plot.y + frame.plot.height + 18), anchor: .middle,
        fill: "var(--soft)")
    }
    frame.title(xTitle, &svg, below: 40)
    for line in series where line.isJoined {
      let known = line.points.filter(\.isDrawn)
      let band = known.compactMap { point in
        point.interval.map { (point.x, frame.height($0.lowerBound), frame.height($0.upperBound)) }
      }
      if band.count > 1 {
        svg.path(
          band.map { (place($0.0), $0.2) } + band.reversed().map { (place($0.0), $0.1) },
          closed: true, "fill=\"\(line.colour.css)\" fill-opacity=\"0.14\"")
      }
    }
    for line in series {
      for run in line.points.split(whereSeparator: { !$0.isDrawn }) where line.isJoined {
        svg.path(
          run.map { (place($0.x), frame.height($0.y)) },
          "fill=\"none\" stroke=\"\(line.colour.css)\" stroke-width=\"2\""
            + (line.isDashed ? " stroke-dasharray=\"5 3\"" : ""))
      }
      for point in line.points where point.isDrawn {
        let interval = point.interval.map {
          " [\(Format.figure($0.lowerBound)), \(Format.figure($0.upperBound))]"
        }
        svg.circle(
          (place(point.x), frame.height(point.y)), radius: 3, fill: line.colour.css,
          hover:
            "\(line.name) at \(Format.figure(point.x)): \(Format.figure(point.y))\(interval ?? "")")
      }
    }
    return svg.text(standsAlone: standsAlone)
  }

  /// The smallest and the largest number; nil if there is no room between.
  private static func ends(_ values: [Double]) -> ClosedRange<Double>? {
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max(), low < high else { return nil }
    return low...high
  }
}
