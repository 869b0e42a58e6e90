import SextantBytes

/// Builds an SVG picture.
struct SVG {
  private let width: Double
  private let height: Double
  private let title: String
  private var body = ""

  /// An image of a size in pixels; the title is for screen readers.
  init(width: Double, height: Double, title: String) {
    (self.width, self.height, self.title) = (width, height, title)
  }

  /// The anchor of a text relative to its point.
  enum Anchor: String { case start, middle, end }

  mutating func line(
    _ from: (x: Double, y: Double), _ to: (x: Double, y: Double), _ style: String
  ) {
    body += """
      <line x1="\(Self.number(from.x))" y1="\(Self.number(from.y))" x2="\(Self.number(to.x))" \
      y2="\(Self.number(to.y))" \(style)/>

      """
  }

  mutating func text(
    _ text: String, _ at: (x: Double, y: Double), anchor: Anchor = .start, size: Double = 12,
    fill: String = "var(--ink)", bold: Bool = false, rotation: Double = 0
  ) {
    let turn =
      rotation == 0
      ? ""
      : " transform=\"rotate(\(Self.number(rotation)) \(Self.number(at.x)) \(Self.number(at.y)))\""
    body += """
      <text x="\(Self.number(at.x))" y="\(Self.number(at.y))" text-anchor="\(anchor.rawValue)" \
      font-size="\(Self.number(size))" fill="\(fill)"\(bold ? " font-weight=\"600\"" : "")\(turn)>\
      \(Markup.escaped(text))</text>

      """
  }

  mutating func rectangle(
    x: Double, y: Double, width: Double, height: Double, fill: String, extra: String = "",
    hover: String? = nil
  ) {
    body += """
      <rect x="\(Self.number(x))" y="\(Self.number(y))" width="\(Self.number(max(width, 0)))" \
      height="\(Self.number(max(height, 0)))" fill="\(fill)"\(extra.isEmpty ? "" : " \(extra)")
      """
    body += hover.map { "><title>\(Markup.escaped($0))</title></rect>\n" } ?? "/>\n"
  }

  mutating func circle(_ at: (x: Double, y: Double), radius: Double, fill: String, hover: String) {
    body += """
      <circle cx="\(Self.number(at.x))" cy="\(Self.number(at.y))" r="\(Self.number(radius))" \
      fill="\(fill)"><title>\(Markup.escaped(hover))</title></circle>

      """
  }

  /// A line through points, or the polygon that they enclose.
  mutating func path(_ points: [(x: Double, y: Double)], closed: Bool = false, _ style: String) {
    guard !points.isEmpty else { return }
    let steps = points.enumerated().map { place, point in
      "\(place == 0 ? "M" : "L")\(Self.number(point.x)) \(Self.number(point.y))"
    }
    body += "<path d=\"\(steps.joined())\(closed ? "Z" : "")\" \(style)/>\n"
  }

  /// The picture.
  ///
  /// - Parameter standsAlone: with its own colours on a white ground, as a file needs them that any
  ///   program can open; in a page they are the page's.
  func text(standsAlone: Bool) -> String {
    let (width, height) = (Self.number(width), Self.number(height))
    let ground =
      "<rect class=\"ground\" width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>\n"
    return """
      <svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" \
      viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" \
      font-family="system-ui, sans-serif">
      <title>\(Markup.escaped(title))</title>
      \(standsAlone ? ground + Palette.resolved(body) : body)</svg>
      """
  }

  /// Pictures one below the other, as one that can stand alone.
  static func stacked(_ pictures: [SVG], title: String) -> String {
    var whole = SVG(
      width: pictures.map(\.width).max() ?? 0, height: pictures.reduce(0) { $0 + $1.height },
      title: title)
    var top = 0.0
    for picture in pictures {
      whole.body += "<g transform=\"translate(0 \(number(top)))\">\n\(picture.body)</g>\n"
      top += picture.height
    }
    return whole.text(standsAlone: true)
  }

  /// A coordinate with two digits, the same on every machine.
  static func number(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e9 else { return "0" }
    let cents = Int(clamping: (value * 100).rounded())
    if cents % 100 == 0 { return "\(cents / 100)" }
    let (whole, fraction) = abs(cents).quotientAndRemainder(dividingBy: 100)
    let digits =
      fraction % 10 == 0 ? "\(fraction / 10)" : fraction < 10 ? "0\(fraction)" : "\(fraction)"
    return "\(cents < 0 ? "-" : "")\(whole).\(digits)"
  }

  /// The approximate width of a text in pixels, for layouts without overlaps.
  static func width(of text: String, size: Double = 12) -> Double {
    text.unicodeScalars.reduce(0) { width, scalar in
      width + (scalar.value < 0x1100 ? 0.56 : 1.0) * size
    }
  }
}

/// Text inside markup.
enum Markup {
  /// Text that is escaped for content and quoted attributes; control characters, which XML forbids,
  /// are replaced.
  static func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
      case "'": result.append(contentsOf: "&#39;".unicodeScalars)
      case "\t", "\n": result.append(scalar)
      case "\u{FFFE}", "\u{FFFF}": result.append("\u{FFFD}")
      default:
        result.append(scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar)
      }
    }
    return String(result)
  }
}
