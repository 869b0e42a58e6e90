import SextantBytes

/// The declarations of added tokens, as a `tokenizer.json` has them.
extension AddedToken {
  // Looking for tokens takes memory for all of their bytes.
  private static let byteCountLimit = 1_024
  private static let totalByteCountLimit = 4 << 20

  /// Reads the declarations.
  ///
  /// - Throws: `tokenizer.unsupported` for tokens that are too long, `tokenizer.invalid`.
  static func read(_ nodes: [JSONNode]) throws(Refusal) -> [AddedToken] {
    var tokens: [AddedToken] = []
    var byteCount = 0
    for node in nodes {
      let token = try AddedToken(node)
      byteCount += token.content.utf8.count
      guard token.content.utf8.count <= byteCountLimit else {
        throw try node.member("content").unsupported(
          found: counted(token.content.utf8.count, "byte"), expected: "at most \(byteCountLimit)")
      }
      guard byteCount <= totalByteCountLimit else {
        throw try node.member("content").unsupported(
          found: "added tokens of more than \(counted(totalByteCountLimit, "byte")) together",
          expected: "fewer")
      }
      tokens.append(token)
    }
    return tokens
  }

  private init(_ node: JSONNode) throws(Refusal) {
    try node.supportOnly([
      "id", "content", "special", "single_word", "lstrip", "rstrip", "normalized",
    ])
    self.init(
      id: try node.member("id").integer(),
      content: try node.member("content").string(),
      special: try node.member("special").boolean(),
      singleWord: try node.member("single_word").boolean(),
      stripsLeft: try node.member("lstrip").boolean(),
      stripsRight: try node.member("rstrip").boolean(),
      normalized: try node.member("normalized").boolean())
  }
}

/// The added tokens of a `tokenizer.json`.
extension TokenizerJSON {
  /// Adds the tokens to the vocabulary, unless they are there with their ids.
  ///
  /// - Returns: the tokens with the spellings by which they are looked for.
  func add(
    _ tokens: [AddedToken], at nodes: [JSONNode], normalizer: TextNormalizer,
    to vocabulary: inout Vocabulary
  ) throws(Refusal) -> [AddedTokenMatcher.Entry] {
    var entries: [AddedTokenMatcher.Entry] = []
    var spellings: (raw: Set<[UInt8]>, normalized: Set<[UInt8]>) = ([], [])
    for (token, node) in zip(tokens, nodes) {
      try add(token, at: node, to: &vocabulary)
      var spelling = Array(token.content.utf8)
      if token.normalized, let normal = normalizer.normalize(spelling), normal != spelling {
        spelling = normal
        vocabulary.respell(token.id, as: String(decoding: normal, as: UTF8.self))
      }
      let isNew =
        token.normalized
        ? spellings.normalized.insert(spelling).inserted
        : spellings.raw.insert(spelling).inserted
      guard isNew, !spelling.isEmpty else {
        throw try node.member("content").refusal(expected: "a text that no other added token has")
      }
      entries.append(AddedTokenMatcher.Entry(token: token, spelling: spelling))
    }
    return entries
  }

  private func add(
    _ token: AddedToken, at node: JSONNode, to vocabulary: inout Vocabulary
  ) throws(Refusal) {
    let known = vocabulary.id(of: token.content)
    if let known, known != token.id {
      throw try node.member("id").refusal(
        found: "\(token.id), and \(known) in another place", expected: "one id for each token")
    }
    if known == nil, !vocabulary.insert(token.content, id: token.id) {
      let other = vocabulary.token(token.id) ?? ""
      throw try node.member("id").refusal(
        found: "\(token.id), which is also the id of \"\(other)\"", expected: "each id once")
    }
  }
}
