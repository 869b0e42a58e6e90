/// A figure among others on a page, with a text that explains it. Title, legend and explanation are
/// text of the page, so that they can be read at any width.
package struct Panel: Sendable {
  private let chart: any Chart
  private let caption: String

  /// A figure.
  ///
  /// - Parameter caption: what it shows.
  package init(_ chart: any Chart, _ caption: String) {
    (self.chart, self.caption) = (chart, caption)
  }

  /// The figure as HTML: always four parts, which are aligned with those of its neighbours.
  var html: String {
    let subtitle = chart.subtitle.map { "<p>\(Markup.escaped($0))</p>" } ?? ""
    let names = chart.legend.map { entry in
      let line = "border-top:3px \(entry.isDashed ? "dashed" : "solid") \(entry.colour)"
      return "<li><i style=\"\(line)\"></i>\(Markup.escaped(entry.name))</li>"
    }
    return """
      <figure><div class="head"><h3>\(Markup.escaped(chart.title))</h3>\(subtitle)</div>
      <ul class="legend">\(names.joined())</ul>
      <div>\(chart.panel)</div>
      <figcaption>\(Markup.escaped(caption))</figcaption></figure>

      """
  }
}
