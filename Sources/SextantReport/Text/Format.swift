import SextantBytes

/// Numbers as people read them.
package enum Format {
  /// A number with `digits` digits after the point; `-` if it is not finite.
  package static func fixed(_ value: Double, _ digits: Int) -> String {
    let digits = min(max(digits, 0), 18)
    let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
    let scaled = (value * scale).rounded()
    guard scaled.isFinite, abs(scaled) < 0x1p62 else { return value.isFinite ? "\(value)" : "-" }
    let (whole, fraction) = Int(clamping: abs(scaled)).quotientAndRemainder(
      dividingBy: Int(clamping: scale))
    let sign = scaled < 0 ? "-" : ""
    if digits == 0 { return "\(sign)\(whole)" }
    return "\(sign)\(whole).\(padded(String(fraction), digits, with: "0"))"
  }

  /// A number with about four significant digits.
  package static func figure(_ value: Double) -> String {
    let size = abs(value)
    guard value.isFinite else { return "-" }
    if value == 0 { return "0" }
    if size > 1e38 || size < 1e-37 { return "\(value)" }
    if size >= 1e6 || size < 1e-4 { return "\(Float(value))" }
    return fixed(value, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 5)
  }

  /// A number as people write it: without a fraction if it has none, and else with all digits.
  package static func plain(_ value: Float) -> String {
    Int(exactly: value).map { String($0) } ?? String(value)
  }

  /// A whole number with commas between thousands.
  package static func count(_ value: Int) -> String { grouped(value) }

  /// Bytes, in decimal units.
  package static func bytes(_ count: Int) -> String {
    let units = ["kB", "MB", "GB", "TB"]
    var value = Double(count)
    if value < 1000 { return counted(count, "byte") }
    var unit = -1
    while value >= 999.95, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return "\(fixed(value, value < 100 ? 1 : 0)) \(units[unit])"
  }

  /// Seconds as `0:07` or `1:02:33`.
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "-" }
    let total = Int(clamping: max(seconds, 0).rounded())
    let seconds = padded(String(total % 60), 2, with: "0")
    guard total >= 3600 else { return "\(total / 60):\(seconds)" }
    return "\(total / 3600):\(padded(String(total / 60 % 60), 2, with: "0")):\(seconds)"
  }

  /// Text filled up on the left.
  package static func padded(_ text: String, _ width: Int, with fill: Character = " ") -> String {
    String(repeating: fill, count: max(0, width - text.count)) + text
  }

  /// A shape, such as `[192, 16]`.
  package static func shape(_ shape: [Int]) -> String {
    "[\(shape.map(String.init).joined(separator: ", "))]"
  }
}
