import SextantBytes

/// The added tokens of a `tokenizer.json`.
extension TokenizerJSON {
  // Looking for a token takes time by its length at every place of a text, and memory for all.
  private static let addedTokenByteCountLimit = 1_024
  private static let addedTokensByteCountLimit = 4 << 20

  /// The declarations.
  func addedTokens(_ nodes: [JSONNode]) throws(FormatError) -> [AddedToken] {
    var tokens: [AddedToken] = []
    var byteCount = 0
    for node in nodes {
      try node.supportOnly([
        "id", "content", "special", "single_word", "lstrip", "rstrip", "normalized",
      ])
      let content = try node.member("content").string()
      byteCount += content.utf8.count
      guard content.utf8.count <= Self.addedTokenByteCountLimit else {
        throw try node.member("content").unsupported(
          found: "\(content.utf8.count) bytes",
          expected: "at most \(Self.addedTokenByteCountLimit)")
      }
      guard byteCount <= Self.addedTokensByteCountLimit else {
        throw try node.member("content").unsupported(
          found: "added tokens of more than \(Self.addedTokensByteCountLimit) bytes together",
          expected: "fewer")
      }
      tokens.append(
        AddedToken(
          id: try node.member("id").integer(),
          content: content,
          special: try node.member("special").boolean(),
          singleWord: try node.member("single_word").boolean(),
          stripsLeft: try node.member("lstrip").boolean(),
          stripsRight: try node.member("rstrip").boolean(),
          normalized: try node.member("normalized").boolean()))
    }
    return tokens
  }

  /// Adds a token to the vocabulary, unless it is there with this id, and to its matcher.
  func add(
    _ token: AddedToken, at node: JSONNode, to tokens: inout Tokens
  ) throws(FormatError) {
    let known = tokens.vocabulary.id(of: token.content)
    if let known, known != token.id {
      throw try node.member("id").refusal(
        found: "\(token.id), but \(known) in another place", expected: "one id for each token")
    }
    if known == nil, !tokens.vocabulary.insert(token.content, id: token.id) {
      let other = tokens.vocabulary.token(token.id) ?? ""
      throw try node.member("id").refusal(
        found: "\(token.id), which is also the id of \"\(other)\"", expected: "each id once")
    }
    var spelling = Array(token.content.utf8)
    if token.normalized, let normal = tokens.added.normalizer.normalize(spelling),
      normal != spelling
    {
      spelling = normal
      tokens.vocabulary.respell(token.id, as: String(decoding: normal, as: UTF8.self))
    }
    let inserted =
      token.normalized
      ? tokens.added.normalized.insert(token, spelled: spelling)
      : tokens.added.raw.insert(token, spelled: spelling)
    guard inserted else {
      throw try node.member("content").refusal(expected: "a text that no other added token has")
    }
  }
}
