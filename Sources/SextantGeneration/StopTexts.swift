import SextantBytes

/// Finds the first of some texts in a text that arrives in pieces, and delays output that may
/// become one of them.
///
/// Each text is found by the algorithm of Knuth, Morris and Pratt, so that a byte takes constant
/// time on average for any texts.
package struct StopTexts: Sendable {
  private struct Pattern: Sendable {
    let bytes: [UInt8]
    /// For each count of bytes that match, the longest shorter count that matches too.
    let shorter: [Int]
    var matched = 0

    init(_ text: String) {
      let bytes = Array(text.utf8)
      var shorter = [0, 0]
      var matched = 0
      for byte in bytes.dropFirst() {
        while matched > 0, bytes[matched] != byte { matched = shorter[matched] }
        if bytes[matched] == byte { matched += 1 }
        shorter.append(matched)
      }
      (self.bytes, self.shorter) = (bytes, shorter)
    }

    /// Takes a byte; whether the pattern ends with it.
    mutating func take(_ byte: UInt8) -> Bool {
      while matched > 0, bytes[matched] != byte { matched = shorter[matched] }
      if bytes[matched] == byte { matched += 1 }
      return matched == bytes.count
    }
  }

  private var patterns: [Pattern] = []
  /// The delayed output, which may be the start of a pattern.
  private var held: [UInt8] = []

  /// No texts.
  package init() {}

  /// Looks for these texts.
  ///
  /// - Throws: `usage.option` for an empty text, which every text begins with.
  package init(_ texts: [String]) throws(Refusal) {
    guard !texts.contains(where: \.isEmpty) else {
      throw Refusal(
        .usageOption, at: .parameter("stop"), found: "an empty text", expected: "a text to stop at")
    }
    patterns = texts.map { Pattern($0) }
  }

  /// Takes the next piece of a text.
  ///
  /// - Returns: the text that can be output now, and whether one of the texts was found, which ends
  ///   the text before it. If several texts end at one place, the longest counts.
  mutating func append(_ piece: String) -> (text: String, isFound: Bool) {
    guard !patterns.isEmpty else { return (piece, false) }
    for byte in piece.utf8 {
      held.append(byte)
      var found = 0
      for index in patterns.indices where patterns[index].take(byte) {
        found = max(found, patterns[index].bytes.count)
      }
      if found > 0 {
        held.removeLast(found)
        return (finish(), true)
      }
    }
    // A pattern starts with the first byte of a character, so that none is cut.
    let kept = patterns.map(\.matched).max() ?? 0
    let text = String(decoding: held.dropLast(kept), as: UTF8.self)
    held.removeFirst(held.count - kept)
    return (text, false)
  }

  /// Ends the text: the delayed output belongs to it.
  mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }
}
