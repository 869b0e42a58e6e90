/// Decodes ids one at a time, for showing text while it is generated.
///
/// The joined results of `append` and the final `flush` equal `decode` of all ids; for ids that
/// continue a text, they equal the part that `decode` adds to that text. A character with
/// incomplete bytes is delayed, so that no replacement character has to be removed later.
package struct StreamingDecoder: Sendable {
  private let tokenizer: any Tokenizer
  private let dropsLeadingSpace: Bool
  private var pending: [UInt8] = []
  private var isAtStart = true

  /// Starts a text, or continues with one.
  package init(_ tokenizer: any Tokenizer, continuing: Bool = false) {
    self.tokenizer = tokenizer
    dropsLeadingSpace = tokenizer.addsLeadingSpace && !continuing
  }

  /// Takes the next id and returns the text that is complete now, which may be empty.
  package mutating func append(_ id: Int) -> String {
    guard let bytes = tokenizer.bytes(of: id) else { return "" }
    pending += bytes
    if isAtStart, !pending.isEmpty {
      if dropsLeadingSpace, pending[0] == UInt8(ascii: " ") { pending.removeFirst() }
      isAtStart = false
    }
    let held = incompleteSuffixCount(of: pending)
    let text = String(decoding: pending.dropLast(held), as: UTF8.self)
    pending.removeFirst(pending.count - held)
    return text
  }

  /// Ends the text: the delayed bytes become U+FFFD. The decoder can be used for another text.
  package mutating func flush() -> String {
    defer {
      pending = []
      isAtStart = true
    }
    return String(decoding: pending, as: UTF8.self)
  }
}

/// The count of bytes at the end that more bytes could still complete to one UTF-8 scalar: 0 to 3.
func incompleteSuffixCount(of bytes: [UInt8]) -> Int {
  for count in 1...3 where count <= bytes.count {
    let lead = bytes[bytes.count - count]
    if lead & 0xC0 == 0x80 { continue }
    let needed =
      switch lead {
      case 0xC2...0xDF: 2
      case 0xE0...0xEF: 3
      case 0xF0...0xF4: 4
      default: 1
      }
    guard needed > count else { return 0 }
    return count == 1 || isSecondByte(bytes[bytes.count - count + 1], after: lead) ? count : 0
  }
  return 0
}

/// Whether a continuation byte may follow this lead: the standard's table of well-formed sequences
/// excludes overlong forms, surrogates and values above U+10FFFF by the second byte.
private func isSecondByte(_ byte: UInt8, after lead: UInt8) -> Bool {
  switch lead {
  case 0xE0: byte >= 0xA0
  case 0xED: byte < 0xA0
  case 0xF0: byte >= 0x90
  case 0xF4: byte < 0x90
  default: true
  }
}
