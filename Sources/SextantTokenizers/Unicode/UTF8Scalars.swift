/// Reading scalars from bytes that are known to be UTF-8, because they came from a `String`.
extension [UInt8] {
  /// The scalar value that starts at `position`, and the count of its bytes.
  @inline(__always)
  func scalar(at position: Int) -> (value: UInt32, byteCount: Int) {
    let lead = UInt32(self[position])
    switch lead {
    case 0..<0x80: return (lead, 1)
    case 0x80..<0xE0: return ((lead & 0x1F) << 6 | tail(position + 1), 2)
    case 0xE0..<0xF0:
      return ((lead & 0x0F) << 12 | tail(position + 1) << 6 | tail(position + 2), 3)
    default:
      let high = (lead & 0x07) << 18 | tail(position + 1) << 12
      return (high | tail(position + 2) << 6 | tail(position + 3), 4)
    }
  }

  /// The scalar value that ends before `position`, and the count of its bytes.
  func scalar(before position: Int) -> (value: UInt32, byteCount: Int) {
    var start = position - 1
    while self[start] & 0xC0 == 0x80 { start -= 1 }
    return scalar(at: start)
  }

  @inline(__always)
  private func tail(_ position: Int) -> UInt32 { UInt32(self[position] & 0x3F) }
}
