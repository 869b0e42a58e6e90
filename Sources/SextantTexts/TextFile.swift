import SextantBytes

/// A file of text: prompts, records, a corpus, a template. It is read once, from a path, a pipe or
/// standard input, as it is or packed with gzip.
package struct TextFile: Sendable {
  /// Bytes that a file of text may have, packed and unpacked.
  package static let byteCountLimit = 1 << 30

  /// The name of the file in refusals: the path from the user, or "standard input".
  package let path: String
  /// SHA-256 of the bytes of the file, unpacked: the same text has one digest, however it came.
  package let digest: Digest
  /// The text: valid UTF-8 without byte-order mark and NUL, with line feeds alone between lines.
  package let bytes: [UInt8]

  /// Reads a file.
  ///
  /// - Parameter path: a path; `-` is standard input.
  /// - Throws: `file.*`, `limit.file`, `text.*`; `usage.option` if standard input was read before.
  package init(reading path: String, limit: Int = byteCountLimit) throws(Refusal) {
    let input = try InputBytes(reading: path, limit: limit)
    try self.init(input.bytes, path: input.name, limit: limit)
  }

  /// A file that was read elsewhere.
  ///
  /// - Throws: `limit.file`, `text.*`, `file.html`.
  package init(
    _ stored: [UInt8], path: String, limit: Int = byteCountLimit
  ) throws(Refusal) {
    let unpacked =
      Gzip.isPacked(stored) ? try Gzip.unpack(stored, limit: limit, path: path) : stored
    self.path = path
    digest = SHA256.digest(unpacked)
    bytes = try TextEncoding.text(of: unpacked, path: path)
  }

  /// The whole text.
  package var text: String { String(decoding: bytes, as: UTF8.self) }

  /// The whole text, without the line feed at its end: editors add one.
  package var textWithoutLastLineFeed: String {
    String(
      decoding: bytes.last == TextBytes.lineFeed ? bytes.dropLast() : bytes[...], as: UTF8.self)
  }

  /// Whether the file contains only white space.
  package var isBlank: Bool { TextBytes.isBlank(bytes[...]) }

  /// The lines that are not blank, with their numbers from 1.
  var lines: Lines { Lines(bytes) }

  /// Walks through the lines of a text that are not blank.
  struct Lines: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    private var position = 0
    private var number = 0

    init(_ bytes: [UInt8]) {
      self.bytes = bytes
    }

    mutating func next() -> (number: Int, range: Range<Int>)? {
      while position < bytes.count {
        let start = position
        let end = TextBytes.lineEnd(of: bytes, from: start)
        position = end + 1
        number += 1
        if !TextBytes.isBlank(bytes[start..<end]) { return (number, start..<end) }
      }
      return nil
    }
  }
}

/// The definition of white space and line ends, the same for every reader of text.
enum TextBytes {
  static let lineFeed = UInt8(ascii: "\n")

  /// White space of ASCII.
  static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
  }

  /// Whether there is only white space.
  static func isBlank(_ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.allSatisfy(isSpace)
  }

  /// A text without the white space of ASCII around it.
  static func trimmed(_ text: String) -> String {
    let bytes = Array(text.utf8)
    guard let first = bytes.firstIndex(where: { !isSpace($0) }),
      let last = bytes.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(decoding: bytes[first...last], as: UTF8.self)
  }

  /// The place of the next line feed, or the end of the text.
  static func lineEnd(of bytes: [UInt8], from start: Int) -> Int {
    bytes[start...].firstIndex(of: lineFeed) ?? bytes.count
  }

  /// The number of the line, from 1, that contains a byte, and the byte's column, from 1.
  static func place(of offset: Int, in bytes: [UInt8]) -> (line: Int, column: Int) {
    let before = bytes[..<Swift.min(offset, bytes.count)]
    let start = before.lastIndex(of: lineFeed).map { $0 + 1 } ?? 0
    return (before.count { $0 == lineFeed } + 1, before.count - start + 1)
  }
}
