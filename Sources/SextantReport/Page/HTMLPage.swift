import SextantBytes

/// A page in one file: no script, style or picture from elsewhere, so that it can be kept, sent and
/// opened without a network.
package struct HTMLPage: Sendable {
  private let title: String
  private var body = ""
  private var styles = ""
  private var scripts = ""

  /// An empty page.
  ///
  /// - Parameter subtitle: the source of the page, in one line.
  package init(title: String, subtitle: String) {
    self.title = title
    body = """
      <header><h1>\(Markup.escaped(title))</h1><p>\(Markup.escaped(subtitle))</p></header>

      """
  }

  /// Begins a section.
  package mutating func add(heading: String) { body += "<h2>\(Markup.escaped(heading))</h2>\n" }

  /// Adds a paragraph of plain text.
  package mutating func add(paragraph: String) { body += "<p>\(Markup.escaped(paragraph))</p>\n" }

  /// Adds facts, a name and a value in each line.
  package mutating func add(facts: [(name: String, value: String)]) {
    let lines = facts.map {
      "<dt>\(Markup.escaped($0.name))</dt><dd>\(Markup.escaped($0.value))</dd>"
    }
    body += "<dl>\(lines.joined())</dl>\n"
  }

  /// Adds a chart, made with `svg(standsAlone: false)`.
  package mutating func add(figure svg: String, caption: String? = nil) {
    let text = caption.map { "<figcaption>\(Markup.escaped($0))</figcaption>" }
    body += "<figure><div class=\"scroll\">\(svg)</div>\(text ?? "")</figure>\n"
  }

  /// Adds figures next to each other, in as many columns as there is space for.
  package mutating func add(panels: [Panel]) {
    guard !panels.isEmpty else { return }
    body += "<div class=\"panels\">\n\(panels.map(\.html).joined())</div>\n"
  }

  /// Adds a table.
  ///
  /// - Parameter isFolded: whether only its caption is shown until the user opens it.
  package mutating func add(table: Table, caption: String? = nil, isFolded: Bool = false) {
    let cells = { (row: [String], tag: String) in
      let texts = row.enumerated().map { column, text in
        let style = table.numeric.contains(column) ? " class=\"number\"" : ""
        return "<\(tag)\(style)>\(Markup.escaped(text))</\(tag)>"
      }
      return "<tr>\(texts.joined())</tr>"
    }
    let text = Markup.escaped(caption ?? "Table")
    let rows = table.rows.map { cells($0, "td") }.joined(separator: "\n")
    let html = """
      <div class="scroll"><table>\(caption == nil || isFolded ? "" : "<caption>\(text)</caption>")\
      <thead>\(cells(table.heads, "th"))</thead><tbody>
      \(rows)
      </tbody></table></div>

      """
    body += isFolded ? "<details><summary>\(text)</summary>\(html)</details>\n" : html
  }

  /// Adds markup as it is. Text in it must come through `escaped`.
  package mutating func add(markup: String) { body += markup + "\n" }

  /// Adds rules of style.
  package mutating func add(style: String) { styles += style + "\n" }

  /// Adds a script, which runs when the page is complete.
  package mutating func add(script: String) { scripts += script + "\n" }

  /// Adds data for a script: `JSON.parse(document.getElementById(id).textContent)`.
  package mutating func add(data: JSONValue, id: String) {
    // "</script>" in a text would end the element.
    let text = data.canonicalText.split(separator: "<", omittingEmptySubsequences: false)
      .joined(separator: "\\u003c")
    body += "<script type=\"application/json\" id=\"\(Markup.escaped(id))\">\(text)</script>\n"
  }

  /// Text that is escaped for markup.
  package static func escaped(_ text: String) -> String { Markup.escaped(text) }

  /// The page.
  package var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; img-src data:">
    <title>\(Markup.escaped(title))</title>
    <style>
    \(Self.style)\(styles)</style>
    </head>
    <body><main>
    \(body)</main>
    \(scripts.isEmpty ? "" : "<script>\n\"use strict\";\n\(scripts)</script>\n")</body>
    </html>

    """
  }

  private static let style = """
    :root{color-scheme:light dark;\(Palette.light)}
    @media screen and (prefers-color-scheme:dark){:root{\(Palette.dark)}}
    \(text(PackageResources.page_css))

    """

  /// The text of a resource file, without the line feed at its end.
  package static func text(_ resource: [UInt8]) -> String {
    String(decoding: resource.last == 0x0A ? resource.dropLast() : resource[...], as: UTF8.self)
  }
}
