import SextantBytes

/// Tokens and their ids, each way.
struct Vocabulary: Sendable {
  private var ids: [ExactString: Int] = [:]
  private var tokens: [String?] = []
  // The text of an added token, if normalisation changed it before encoding.
  private var spellings: [Int: String] = [:]

  /// One more than the highest id.
  var size: Int { tokens.count }

  /// The upper bound of the ids of this number of tokens.
  ///
  /// A table by id must not be larger than the file that asks for it suggests: some gaps are normal,
  /// an id of two thousand millions is not.
  static func idLimit(count: Int) -> Int { 2 * count + 65_536 }

  /// A vocabulary with room for ids below `size`.
  init(size: Int, count: Int) {
    tokens = [String?](repeating: nil, count: size)
    ids.reserveCapacity(count)
  }

  /// Adds a token whose id is below `size`; false if the id is taken.
  mutating func insert(_ token: String, id: Int) -> Bool {
    guard tokens[id] == nil else { return false }
    tokens[id] = token
    ids[ExactString(token)] = id
    return true
  }

  /// Assigns the bytes of another spelling to a token.
  mutating func respell(_ id: Int, as spelling: String) { spellings[id] = spelling }

  /// The id of a token.
  func id(of token: String) -> Int? { ids[ExactString(token)] }

  /// The token of an id.
  func token(_ id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }

  /// The text of an id, in the spelling of tokens.
  func spelling(of id: Int) -> String? { spellings[id] ?? token(id) }
}
