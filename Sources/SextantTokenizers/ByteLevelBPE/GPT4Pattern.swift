/// The pattern that GPT-4 (cl100k), Llama 3 and, with single numbers, Qwen 2 split text with.
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
///     | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
enum GPT4Pattern {
  /// The end of the match that starts at `start`, where the text ends at `end`; `start < end`.
  ///
  /// - Parameter numbers: how many numbers one match takes at most.
  static func matchEnd(in bytes: [UInt8], from start: Int, to end: Int, numbers: Int) -> Int {
    if let contraction = contractionEnd(in: bytes, from: start, to: end) { return contraction }
    guard let (kind, next) = bytes.kind(at: start, to: end) else { return end }
    let second = bytes.kind(at: next, to: end)
    switch kind {
    case .letter: return bytes.runEnd(of: .letter, from: next, to: end)
    case .number: return numbersEnd(in: bytes, from: next, to: end, count: numbers - 1)
    case .other, .space:
      // One character of another kind belongs to the letters that follow it, but no line break.
      if let second, second.kind == .letter, !isLineBreak(bytes[start]) {
        return bytes.runEnd(of: .letter, from: second.end, to: end)
      }
    }
    if kind == .other { return othersEnd(in: bytes, from: next, to: end) }
    if bytes[start] == UInt8(ascii: " "), let second, second.kind == .other {
      return othersEnd(in: bytes, from: second.end, to: end)
    }
    let spacesEnd = bytes.runEnd(of: .space, from: next, to: end)
    if let lineBreak = bytes[start..<spacesEnd].lastIndex(where: isLineBreak) {
      return lineBreak + 1
    }
    return bytes.spacesEnd(from: next, to: end)
  }

  private static func isLineBreak(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
  }

  /// The end of `[^\s\p{L}\p{N}]*[\r\n]*`.
  private static func othersEnd(in bytes: [UInt8], from start: Int, to end: Int) -> Int {
    var position = bytes.runEnd(of: .other, from: start, to: end)
    while position < end, isLineBreak(bytes[position]) { position += 1 }
    return position
  }

  private static func numbersEnd(
    in bytes: [UInt8], from start: Int, to end: Int, count: Int
  ) -> Int {
    var position = start
    for _ in 0..<count {
      guard let next = bytes.kind(at: position, to: end), next.kind == .number else { break }
      position = next.end
    }
    return position
  }

  private static func contractionEnd(
    in bytes: [UInt8], from start: Int, to end: Int
  ) -> Int? {
    guard bytes[start] == UInt8(ascii: "'"), start + 1 < end else { return nil }
    // In ASCII, the bit 0x20 changes only letters, into small letters, and bytes above ASCII do not
    // change.
    switch bytes[start + 1] | 0x20 {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return start + 2
    case let first:
      guard start + 2 < end else { return nil }
      switch (first, bytes[start + 2] | 0x20) {
      case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
        (UInt8(ascii: "l"), UInt8(ascii: "l")):
        return start + 3
      default:
        // U+017F, the long s, is an s to an engine that ignores case.
        return bytes[start + 1] == 0xC5 && bytes[start + 2] == 0xBF ? start + 3 : nil
      }
    }
  }
}
