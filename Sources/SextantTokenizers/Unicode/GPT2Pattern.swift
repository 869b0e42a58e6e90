/// The pattern that GPT-2 and its successors split text with before they merge bytes.
///
///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///
/// Every position of a text is covered by a match, so that splitting is repeated matching.
enum GPT2Pattern {
  /// The spellings under which files name the pattern.
  static let spellings = [
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
    #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
  ]

  /// The end of the match that starts at `start`, where the text ends at `end`; `start < end`.
  static func matchEnd(in bytes: [UInt8], from start: Int, to end: Int) -> Int {
    if let contraction = contractionEnd(in: bytes, from: start, to: end) { return contraction }
    let first = bytes.scalar(at: start)
    let kind = ScalarClass.of(first.value).kind
    let next = start + first.byteCount
    guard kind == .space else { return runEnd(of: kind, in: bytes, from: next, to: end) }

    if bytes[start] == UInt8(ascii: " "), next < end {
      // One space belongs to the run of anything else that follows it.
      let second = bytes.scalar(at: next)
      let kind = ScalarClass.of(second.value).kind
      if kind != .space {
        return runEnd(of: kind, in: bytes, from: next + second.byteCount, to: end)
      }
    }
    let spacesEnd = runEnd(of: .space, in: bytes, from: next, to: end)
    // `\s+(?!\S)`: before something else the last space is left over, unless it is the only one.
    if spacesEnd == end || spacesEnd == next { return spacesEnd }
    return spacesEnd - bytes.scalar(before: spacesEnd).byteCount
  }

  @inline(__always)
  private static func runEnd(
    of kind: ScalarClass.Kind, in bytes: [UInt8], from start: Int, to end: Int
  ) -> Int {
    var position = start
    while position < end {
      let scalar = bytes.scalar(at: position)
      guard ScalarClass.of(scalar.value).kind == kind else { break }
      position += scalar.byteCount
    }
    return position
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
