import SextantBytes

/// A colour of red, green and blue, each 0 to 1.
package struct Colour: Sendable, Equatable {
  /// The share of red.
  package let red: Double
  /// The share of green.
  package let green: Double
  /// The share of blue.
  package let blue: Double

  /// A colour; shares outside 0 to 1 are cut off.
  package init(red: Double, green: Double, blue: Double) {
    (self.red, self.green, self.blue) = (
      min(max(red, 0), 1), min(max(green, 0), 1), min(max(blue, 0), 1)
    )
  }

  /// The colour of six hexadecimal digits.
  init(hex: UInt32) {
    self.init(
      red: Double(hex >> 16 & 0xFF) / 255, green: Double(hex >> 8 & 0xFF) / 255,
      blue: Double(hex & 0xFF) / 255)
  }

  /// The channels as bytes.
  package var bytes: (red: UInt8, green: UInt8, blue: UInt8) {
    (
      UInt8(clamping: (red * 255).rounded()), UInt8(clamping: (green * 255).rounded()),
      UInt8(clamping: (blue * 255).rounded())
    )
  }

  /// `#rrggbb`.
  package var css: String {
    let (red, green, blue) = bytes
    return "#"
      + [red, green, blue].map { value in
        let digits = String(value, radix: 16)
        return digits.count == 1 ? "0\(digits)" : digits
      }.joined()
  }

  /// Whether black text reads better on it than white text does, by the relative luminance of
  /// WCAG 2.
  package var prefersBlackText: Bool {
    let linear = { (share: Double) -> Double in
      // The sRGB curve within 2%: enough to choose between two.
      share * share * (0.3 * share + 0.7)
    }
    let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    return luminance > 0.18
  }

  /// The colour at the share `t` of the way to another.
  func mixed(with other: Colour, _ t: Double) -> Colour {
    Colour(
      red: red + (other.red - red) * t, green: green + (other.green - green) * t,
      blue: blue + (other.blue - blue) * t)
  }
}

/// How a number becomes a colour.
package enum ColourScale: Sendable, Equatable {
  /// From pale to dark, over the given range.
  case sequential(ClosedRange<Double>)
  /// Blue below zero, red above, pale at zero; full at ± the limit.
  case diverging(limit: Double)

  /// The colour of a value; values outside the range get the colour of its end.
  package func colour(_ value: Double) -> Colour {
    switch self {
    case .sequential(let range):
      let width = range.upperBound - range.lowerBound
      return Self.mix(Self.pale, at: width > 0 ? (value - range.lowerBound) / width : 0)
    case .diverging(let limit):
      return Self.mix(Self.cold, at: limit > 0 ? 0.5 + value / limit / 2 : 0.5)
    }
  }

  /// The numbers at the ends of the scale.
  package var ends: ClosedRange<Double> {
    switch self {
    case .sequential(let range): range
    case .diverging(let limit): limit >= 0 ? -limit...limit : 0...0
    }
  }

  private static let pale = [0xF4F7FB, 0xB9D3EE, 0x6BA6DA, 0x2B6CB0, 0x123F76, 0x071D3D]
    .map { Colour(hex: $0) }
  private static let cold = [0x1B4F9C, 0x7FA9DC, 0xF3F2F0, 0xE8977B, 0xA62B17]
    .map { Colour(hex: $0) }

  private static func mix(_ stops: [Colour], at share: Double) -> Colour {
    let place = (share.isFinite ? min(max(share, 0), 1) : 0) * Double(stops.count - 1)
    let index = min(Int(clamping: place), stops.count - 2)
    return stops[index].mixed(with: stops[index + 1], place - Double(index))
  }
}

/// The style of a series in a chart.
package enum SeriesColour: Sendable, Equatable {
  /// One of eight colours that people with any colour vision can distinguish.
  case category(Int)
  /// A place between -1 (blue) and 1 (red), for series that are ordered around zero.
  case diverging(Double)
  /// Grey: a control, a baseline.
  case muted

  var css: String {
    switch self {
    case .category(let index): return "var(--series-\(((index % 8) + 8) % 8))"
    case .diverging(let place):
      // Zero itself would be pale on a pale page.
      let size = 0.4 + 0.6 * min(abs(place), 1)
      return ColourScale.diverging(limit: 1).colour(place < 0 ? -size : size).css
    case .muted: return "var(--muted)"
    }
  }
}

/// The colours of pages and charts, by the names of CSS variables, on a light and on a dark ground.
enum Palette {
  private static let colours: [(name: String, light: UInt32, dark: UInt32)] = [
    ("ground", 0xFFFFFF, 0x12161D), ("ink", 0x1C2330, 0xE6EAF0), ("soft", 0x5B6472, 0xA2ACBA),
    ("rule", 0xD9DEE5, 0x323A46), ("panel", 0xF5F7FA, 0x1A2029), ("muted", 0x8A93A1, 0x7D8795),
    ("accent", 0x0B62A8, 0x6CB4EE), ("series-0", 0x0B62A8, 0x5AA9E6),
    ("series-1", 0xC9510C, 0xF08A4B), ("series-2", 0x0A7D5A, 0x3FC495),
    ("series-3", 0xA8478A, 0xDE8AC4), ("series-4", 0xB07A00, 0xE5B64A),
    ("series-5", 0x2F8FC4, 0x8FD0F5), ("series-6", 0x6B4FBB, 0xA996F0),
    ("series-7", 0x7A4A2B, 0xC79A7B),
  ]

  /// The variables on a light ground, as declarations of CSS.
  static let light = declarations { $0.light }

  /// The variables on a dark ground, as declarations of CSS.
  static let dark = declarations { $0.dark }

  private static func declarations(
    _ shade: ((name: String, light: UInt32, dark: UInt32)) -> UInt32
  ) -> String {
    colours.map { "--\($0.name):\(Colour(hex: shade($0)).css)" }.joined(separator: ";")
  }

  /// Markup with the light colours instead of the variables, for programs that do not support
  /// variables.
  static func resolved(_ markup: String) -> String {
    let parts = markup.split(separator: "var(--", omittingEmptySubsequences: false)
    return parts.dropFirst().reduce(into: String(parts[0])) { result, part in
      let end = part.firstIndex(of: ")") ?? part.endIndex
      let colour = colours.first { $0.name == part[..<end] }
      result += colour.map { Colour(hex: $0.light).css } ?? "#000000"
      result += part[end...].dropFirst()
    }
  }
}
