/// A colour of red, green and blue, each 0 to 1.
public struct Colour: Sendable, Equatable {
  /// The share of red.
  public let red: Double
  /// The share of green.
  public let green: Double
  /// The share of blue.
  public let blue: Double

  /// A colour; shares outside 0 to 1 are cut off.
  public init(red: Double, green: Double, blue: Double) {
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
  public var bytes: (red: UInt8, green: UInt8, blue: UInt8) {
    (
      UInt8((red * 255).rounded()), UInt8((green * 255).rounded()), UInt8((blue * 255).rounded())
    )
  }

  /// `#rrggbb`.
  public var css: String {
    let (red, green, blue) = bytes
    return "#"
      + [red, green, blue].map { value in
        let digits = String(value, radix: 16)
        return digits.count == 1 ? "0\(digits)" : digits
      }.joined()
  }

  /// Whether black text reads better on it than white text does, by the relative luminance of
  /// WCAG 2.
  public var prefersBlackText: Bool {
    let linear = { (share: Double) -> Double in
      // The sRGB curve within 2%: enough to choose between two.
      share * share * (0.3 * share + 0.7)
    }
    let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    return luminance > 0.18
  }

  /// The colour that lies the share `t` of the way to another.
  func mixed(with other: Colour, _ t: Double) -> Colour {
    Colour(
      red: red + (other.red - red) * t, green: green + (other.green - green) * t,
      blue: blue + (other.blue - blue) * t)
  }
}

/// How a number becomes a colour.
public enum ColourScale: Sendable, Equatable {
  /// From pale to dark, over the range given.
  case sequential(ClosedRange<Double>)
  /// Blue below zero, red above, pale at zero; full at ± the limit.
  case diverging(limit: Double)

  /// The colour of a value; values outside the range get the colour of its end.
  public func colour(_ value: Double) -> Colour {
    switch self {
    case .sequential(let range):
      let width = range.upperBound - range.lowerBound
      return Self.mix(Self.pale, at: width > 0 ? (value - range.lowerBound) / width : 0)
    case .diverging(let limit):
      return Self.mix(Self.cold, at: limit > 0 ? 0.5 + value / limit / 2 : 0.5)
    }
  }

  /// The numbers at the ends of the scale.
  public var ends: ClosedRange<Double> {
    switch self {
    case .sequential(let range): range
    case .diverging(let limit): -limit...limit
    }
  }

  private static let pale = [0xF4F7FB, 0xB9D3EE, 0x6BA6DA, 0x2B6CB0, 0x123F76, 0x071D3D]
    .map { Colour(hex: $0) }
  private static let cold = [0x1B4F9C, 0x7FA9DC, 0xF3F2F0, 0xE8977B, 0xA62B17]
    .map { Colour(hex: $0) }

  private static func mix(_ stops: [Colour], at share: Double) -> Colour {
    let place = (share.isFinite ? min(max(share, 0), 1) : 0) * Double(stops.count - 1)
    let index = min(Int(place), stops.count - 2)
    return stops[index].mixed(with: stops[index + 1], place - Double(index))
  }
}

/// What stands for a series in a chart.
public enum SeriesColour: Sendable, Equatable {
  /// One of eight colours that people with any colour vision tell apart.
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

/// The colours of pages and charts, on a light and on a dark ground.
enum Palette {
  static let light = """
    --ground:#ffffff;--ink:#1c2330;--soft:#5b6472;--rule:#d9dee5;--panel:#f5f7fa;--muted:#8a93a1;\
    --accent:#0b62a8;--series-0:#0b62a8;--series-1:#c9510c;--series-2:#0a7d5a;--series-3:#a8478a;\
    --series-4:#b07a00;--series-5:#2f8fc4;--series-6:#6b4fbb;--series-7:#7a4a2b
    """
  static let dark = """
    --ground:#12161d;--ink:#e6eaf0;--soft:#a2acba;--rule:#323a46;--panel:#1a2029;--muted:#7d8795;\
    --accent:#6cb4ee;--series-0:#5aa9e6;--series-1:#f08a4b;--series-2:#3fc495;--series-3:#de8ac4;\
    --series-4:#e5b64a;--series-5:#8fd0f5;--series-6:#a996f0;--series-7:#c79a7b
    """
}
