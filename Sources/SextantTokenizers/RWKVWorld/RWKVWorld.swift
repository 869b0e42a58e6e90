import SextantBytes

/// The tokenizer of RWKV World (RWKV-5 to 7), read from its vocabulary, `rwkv_vocab_*.txt`.
///
/// A text is split from left to right; each step takes the longest token that matches. Every byte
/// has a token, so that every text can be encoded. The ids are the ones that the `rwkv` package
/// gives. Id 0 is in no vocabulary: models use it as the end of a text.
struct RWKVWorld: TokenizerFormat {
  private let vocabulary: WorldVocabulary
  private let matches: LongestMatches
  let digest: Digest

  /// The id that ends a text.
  private static let endOfText = 0

  /// Whether the first line starts as one of the vocabulary's: a number, a space, a literal.
  static func recognizes(_ source: TokenizerSource) -> Bool {
    let isDigit = { (byte: UInt8) in UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
    let start = source.bytes.prefix(20)
    let literal = start.drop(while: isDigit)
    guard literal.startIndex > 0, literal.first == UInt8(ascii: " ") else { return false }
    return ["'", "\"", "b'", "b\""].contains { literal.dropFirst().starts(with: $0.utf8) }
  }

  init(_ source: TokenizerSource) throws(Refusal) {
    vocabulary = try WorldVocabulary(source.bytes, file: source.file)
    matches = LongestMatches(vocabulary.tokens, in: vocabulary.blob)
    digest = source.digest
    if let (first, second) = matches.duplicate {
      throw vocabulary.refusal(
        line: second + 1, found: "the token of line \(first + 1)", expected: "each token once")
    }
    let single = Set(
      vocabulary.tokens.filter { $0.count == 1 }.map { vocabulary.blob[$0.lowerBound] })
    for byte in UInt8.min...UInt8.max where !single.contains(byte) {
      throw Refusal(
        .tokenizerUnsupported, file: source.file, found: "no token for byte \(byte)",
        expected: "a token for every byte")
    }
  }

  var vocabularySize: Int { vocabulary.places.count }

  var specialTokenIDs: Set<Int> { [Self.endOfText] }

  var endOfTextID: Int? { Self.endOfText }

  var takesLongestTokens: Bool { true }

  func encode(_ text: String) -> [Int] {
    var steps = 0
    return encode(text, steps: &steps)
  }

  /// The same, and adds the bytes that were looked at to `steps`.
  func encode(_ text: String, steps: inout Int) -> [Int] {
    let bytes = Array(text.utf8)
    var reader = LongestMatches.Reader(matches, bytes)
    var ids: [Int] = []
    ids.reserveCapacity(bytes.count / 3)
    var position = 0
    while position < bytes.count, let (place, end) = reader.match(at: position) {
      ids.append(vocabulary.ids[place])
      position = end
    }
    steps += reader.steps
    return ids
  }

  func bytes(of id: Int) -> [UInt8]? {
    vocabulary.place(of: id).map { Array(vocabulary.blob[vocabulary.tokens[$0]]) }
  }

  func token(_ id: Int) -> String? {
    vocabulary.place(of: id).map {
      String(decoding: vocabulary.file[vocabulary.literals[$0]], as: UTF8.self)
    }
  }

  func id(ofToken token: String) -> Int? {
    let text = Array(token.utf8)
    guard let literal = try? PythonLiteral(text, from: 0, to: text.count),
      literal.end == text.count, !literal.value.isEmpty
    else { return nil }
    var reader = LongestMatches.Reader(matches, literal.value)
    guard let (place, end) = reader.match(at: 0), end == literal.value.count else { return nil }
    return vocabulary.ids[place]
  }
}
