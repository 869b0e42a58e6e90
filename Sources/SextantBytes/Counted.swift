/// A whole number with commas between thousands: `1,200`.
package func grouped(_ value: some BinaryInteger) -> String {
  var text = ""
  for (place, digit) in String(value).reversed().enumerated() {
    if place > 0, place % 3 == 0, digit != "-" { text.append(",") }
    text.append(digit)
  }
  return String(text.reversed())
}

/// A number with a noun: `1 token`, `1,200 tokens`, `2 entries`.
///
/// - Parameters:
///   - noun: the word for one.
///   - plural: the word for any other number; nil for the noun with an s.
package func counted(
  _ count: some BinaryInteger, _ noun: String, plural: String? = nil
) -> String {
  "\(grouped(count)) \(count == 1 ? noun : plural ?? noun + "s")"
}
