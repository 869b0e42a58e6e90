import SextantBytes

/// Tokens and their ids, each way.
struct Vocabulary: Sendable {
  private var ids: [ExactString: Int] = [:]
  private var tokens: [String?] = []
  // What an added token stands for, where normalisation changed it on its way into the text.
  private var spellings: [Int: String] = [:]

  /// One more than the highest id.
  var size: Int { tokens.count }

  /// A vocabulary with room for ids below `size`.
  init(size: Int, count: Int) {
    tokens = [String?](repeating: nil, count: size)
    ids.reserveCapacity(count)
  }

  /// Adds a token whose id is below `size`; false where the id is taken.
  mutating func insert(_ token: String, id: Int) -> Bool {
    guard tokens[id] == nil else { return false }
    tokens[id] = token
    ids[ExactString(token)] = id
    return true
  }

  /// Lets a token stand for the bytes of another spelling.
  mutating func respell(_ id: Int, as spelling: String) { spellings[id] = spelling }

  /// The id of a token.
  func id(of token: String) -> Int? { ids[ExactString(token)] }

  /// The token of an id.
  func token(_ id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }

  /// The bytes that an id stands for.
  func bytes(of id: Int) -> [UInt8]? {
    token(id).map { ByteAlphabet.bytes(of: spellings[id] ?? $0) }
  }
}
