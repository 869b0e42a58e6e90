import SextantBytes

/// The lines of an RWKV vocabulary: `id literal byte-count`, such as `257 '\t\t' 2`.
struct WorldVocabulary: Sendable {
  /// The file's bytes.
  let file: [UInt8]
  private let path: String?
  /// The bytes of all tokens, one after the other.
  private(set) var blob: [UInt8] = []
  /// The position of each line's token in the blob.
  private(set) var tokens: [Range<Int>] = []
  /// The position of each line's literal in the file.
  private(set) var literals: [Range<Int>] = []
  /// Each line's id.
  private(set) var ids: [Int] = []
  /// The line of each id; -1 for ids without one.
  private(set) var places: [Int32] = []

  // Looking for tokens takes memory for all of their bytes. The longest that is published has 128.
  private static let tokenByteCountLimit = 256
  private static let tokensByteCountLimit = 8 << 20
  private static let highestID = 999_999_999

  /// Reads the lines, which end with a line feed or with carriage return and line feed.
  ///
  /// - Throws: `tokenizer.invalid`, `tokenizer.unsupported`, with a line number.
  init(_ bytes: [UInt8], file path: String?) throws(Refusal) {
    file = bytes
    self.path = path
    var start = 0
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
      let next = end + 1
      if end > start, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
      do throws(PythonLiteral.Mistake) {
        try readLine(start..<end)
      } catch {
        throw refusal(line: ids.count + 1, found: error.found, expected: error.expected)
      }
      try checkLimits()
      start = next
    }
    try fillPlaces()
  }

  /// The line of an id.
  func place(of id: Int) -> Int? {
    guard places.indices.contains(id), places[id] >= 0 else { return nil }
    return Int(places[id])
  }

  /// A refusal of a line, counted from 1.
  func refusal(line: Int, found: String, expected: String) -> Refusal {
    Refusal(
      .tokenizerInvalid, file: path, at: .line(line), found: found, expected: expected)
  }

  private mutating func readLine(_ line: Range<Int>) throws(PythonLiteral.Mistake) {
    var position = line.lowerBound
    let id = try number(at: &position, to: line.upperBound)
    guard id > 0 else { throw .init(found: "id 0", expected: "ids from 1: 0 ends a text") }
    try space(at: &position, to: line.upperBound)
    let literal = try PythonLiteral(file, from: position, to: line.upperBound)
    let spelling = position..<literal.end
    position = literal.end
    try space(at: &position, to: line.upperBound)
    let count = try number(at: &position, to: line.upperBound)
    guard position == line.upperBound else {
      throw .init(found: "more after the byte count", expected: "the end of the line")
    }
    guard count == literal.value.count, count > 0 else {
      throw .init(
        found: "a byte count of \(count) for \(counted(literal.value.count, "byte"))",
        expected: "the token's bytes, at least one")
    }
    ids.append(id)
    literals.append(spelling)
    tokens.append(blob.count..<blob.count + count)
    blob += literal.value
  }

  private func space(at position: inout Int, to end: Int) throws(PythonLiteral.Mistake) {
    guard position < end, file[position] == UInt8(ascii: " ") else {
      throw .init(found: "another form", expected: "an id, a literal and a byte count")
    }
    position += 1
  }

  /// A decimal number without sign and leading zeros.
  private func number(at position: inout Int, to end: Int) throws(PythonLiteral.Mistake) -> Int {
    let start = position
    var number = 0
    while position < end, UInt8(ascii: "0")...UInt8(ascii: "9") ~= file[position] {
      number = number * 10 + Int(file[position] - UInt8(ascii: "0"))
      position += 1
      guard number <= Self.highestID else {
        throw .init(found: "a huge number", expected: "at most \(Self.highestID)")
      }
    }
    let digits = position - start
    guard digits > 0, digits == 1 || file[start] != UInt8(ascii: "0") else {
      throw .init(found: "no plain number", expected: "an id, a literal and a byte count")
    }
    return number
  }

  private func checkLimits() throws(Refusal) {
    guard let token = tokens.last,
      token.count > Self.tokenByteCountLimit || blob.count > Self.tokensByteCountLimit
    else { return }
    var refusal = self.refusal(
      line: tokens.count, found: "\(counted(token.count, "byte")), \(blob.count) so far",
      expected:
        "at most \(Self.tokenByteCountLimit) in a token, \(Self.tokensByteCountLimit) in all")
    refusal.code = .tokenizerUnsupported
    refusal.remedy = refusal.code.remedy
    throw refusal
  }

  private mutating func fillPlaces() throws(Refusal) {
    let limit = Vocabulary.idLimit(count: ids.count)
    places = Array(repeating: -1, count: min(limit, (ids.max() ?? -1) + 1))
    for (index, id) in ids.enumerated() {
      guard id < limit, places[id] < 0 else {
        throw refusal(
          line: index + 1, found: "id \(id)", expected: "each id once, from 1 to \(limit - 1)")
      }
      places[id] = Int32(index)
    }
  }
}
