/// The pattern that GPT-2 and its successors split text with before they merge bytes.
///
///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
enum GPT2Pattern {
  /// The end of the match that starts at `start`, where the text ends at `end`; `start < end`.
  static func matchEnd(in bytes: [UInt8], from start: Int, to end: Int) -> Int {
    if let contraction = contractionEnd(in: bytes, from: start, to: end) { return contraction }
    guard let (kind, next) = bytes.kind(at: start, to: end) else { return end }
    guard kind == .space else { return bytes.runEnd(of: kind, from: next, to: end) }

    // One space belongs to the run of anything else that follows it.
    if bytes[start] == UInt8(ascii: " "), let second = bytes.kind(at: next, to: end),
      second.kind != .space
    {
      return bytes.runEnd(of: second.kind, from: second.end, to: end)
    }
    return bytes.spacesEnd(from: next, to: end)
  }

  @inline(__always)
  private static func contractionEnd(
    in bytes: [UInt8], from start: Int, to end: Int
  ) -> Int? {
    guard bytes[start] == UInt8(ascii: "'"), start + 1 < end else { return nil }
    switch bytes[start + 1] {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return start + 2
    case let first:
      guard start + 2 < end else { return nil }
      switch (first, bytes[start + 2]) {
      case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
        (UInt8(ascii: "l"), UInt8(ascii: "l")):
        return start + 3
      default: return nil
      }
    }
  }
}

extension [UInt8] {
  /// The end of a match of `\s+(?!\S)|\s+` whose first space ends at `next`: before something else
  /// the last space is left over, unless it is the only one.
  func spacesEnd(from next: Int, to end: Int) -> Int {
    let spacesEnd = runEnd(of: .space, from: next, to: end)
    if spacesEnd == end || spacesEnd == next { return spacesEnd }
    return spacesEnd - scalar(before: spacesEnd).byteCount
  }
}
