/// A figure that can stand alone, with title and legend in the picture, or on a page, which writes
/// both as text.
package protocol Chart: Sendable {
  /// The title.
  var title: String { get }
  /// A line under the title.
  var subtitle: String? { get }
  /// The names of the series with their marks; empty if there is only one series.
  var legend: [LegendEntry] { get }
  /// Axes and data as SVG for a page, without title and legend.
  var panel: String { get }
}

/// The size of the pictures of panels in pixels: text keeps its size in columns of about this width.
enum PanelSize {
  static let width = 420.0
  static let height = 300.0
}

/// A name in a legend, with its mark.
package struct LegendEntry: Sendable, Equatable {
  /// The name.
  let name: String
  /// The colour, as CSS.
  let colour: String
  /// Whether the line is broken.
  let isDashed: Bool
}
