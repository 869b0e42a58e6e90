import SextantBytes

/// A `tokenizer.json` of the `tokenizers` package, version 1.0, in the subset that byte-level BPE
/// tokenizers use. Whatever would change ids and is not done here is refused.
///
/// `truncation` and `padding` are passed over: they say how a batch is cut and filled, not what
/// the ids of a text are.
struct TokenizerJSON {
  /// The root object.
  let root: JSONNode

  /// Reads all parts.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`, with a JSON pointer.
  func parts() throws(FormatError) -> ByteLevelBPE.Parts {
    // Kinds first, data after: what is refused for its kind should not wait for the vocabulary.
    try root.supportOnly([
      "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
      "post_processor", "decoder", "model",
    ])
    let version = try root.member("version")
    guard try version.string() == "1.0" else { throw version.unsupported(expected: "\"1.0\"") }
    let model = try root.member("model")
    let ignoresMerges = try checkModel(model)
    let usesNFC = try self.usesNFC(root.optionalMember("normalizer"))
    let preTokenizer = try self.preTokenizer()
    try checkDecoder()
    try checkPostProcessor(root.optionalMember("post_processor"))

    let addedNodes = try root.optionalMember("added_tokens")?.elements() ?? []
    let addedTokens = try self.addedTokens(addedNodes)
    let words = try vocabulary(model.member("vocab"), addedTokens: addedTokens)
    var parts = ByteLevelBPE.Parts(
      vocabulary: words,
      byteIDs: try byteIDs(of: words, at: model.member("vocab")),
      merges: try merges(model.member("merges"), of: words),
      wholeWords: ignoresMerges ? words : nil,
      usesNFC: usesNFC,
      preTokenizer: preTokenizer,
      addedTokens: addedTokens,
      rawMatcher: AddedTokenMatcher(),
      normalizedMatcher: AddedTokenMatcher())
    for (token, node) in zip(addedTokens, addedNodes) { try add(token, at: node, to: &parts) }
    return parts
  }

  // MARK: Vocabulary

  private func vocabulary(
    _ node: JSONNode, addedTokens: [AddedToken]
  ) throws(FormatError) -> Vocabulary {
    let members = try node.object().members
    let count = members.count + addedTokens.count
    // A table by id must not be larger than the file that asks for it suggests: some gaps are
    // normal, an id of two thousand millions is not.
    let idLimit = 2 * count + 65_536
    var ids: [Int] = []
    ids.reserveCapacity(members.count)
    for (index, member) in members.enumerated() {
      guard case .integer(let id) = member.value, 0..<Int64(idLimit) ~= id else {
        throw try node.members()[index].node.refusal(expected: "an id from 0 to \(idLimit - 1)")
      }
      ids.append(Int(id))
    }
    for (index, token) in addedTokens.enumerated() where token.id >= idLimit {
      throw try root.member("added_tokens").elements()[index].member("id").refusal(
        expected: "an id from 0 to \(idLimit - 1)")
    }
    let highest = max(ids.max() ?? -1, addedTokens.map(\.id).max() ?? -1)
    var vocabulary = Vocabulary(size: highest + 1, count: count)
    for (id, member) in zip(ids, members) where !vocabulary.insert(member.key, id: id) {
      let other = vocabulary.token(id) ?? ""
      throw try node.member(member.key).refusal(
        found: "id \(id), which is also the id of \"\(other)\"", expected: "each id once")
    }
    return vocabulary
  }

  /// The ids of single bytes.
  private func byteIDs(
    of vocabulary: Vocabulary, at node: JSONNode
  ) throws(FormatError) -> [Int32] {
    var ids: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      let token = ByteAlphabet.token(of: [byte])
      switch (vocabulary.id(of: token), byte) {
      case (let id?, _): ids.append(Int32(id))
      case (nil, 0xC0...0xC1), (nil, 0xF5...0xFF): ids.append(-1)  // never in UTF-8
      case (nil, _):
        // The package drops such bytes silently, or puts an unknown token in their place.
        throw node.unsupported(
          found: "no token \"\(token)\" for byte \(byte)", expected: "a token for every byte")
      }
    }
    return ids
  }

  private func merges(
    _ node: JSONNode, of vocabulary: Vocabulary
  ) throws(FormatError) -> MergeTable {
    guard case .array(let elements) = node.value else {
      throw node.refusal(expected: "an array")
    }
    var merges: [(left: Int32, right: Int32, result: Int32)] = []
    merges.reserveCapacity(elements.count)
    var pairs: Set<UInt64> = []
    for (index, element) in elements.enumerated() {
      func refusal(found: String? = nil, expected: String) throws(FormatError) -> FormatError {
        try node.elements()[index].refusal(found: found, expected: expected)
      }
      let pair: (left: String, right: String)
      switch element {
      case .string(let line) where line.utf8.starts(with: "#version".utf8):
        continue  // the first line of a merges.txt, copied along by old converters
      case .string(let line):
        let words = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 2 else { throw try refusal(expected: "two tokens and a space") }
        pair = (String(Substring(words[0])), String(Substring(words[1])))
      case .array(let words):
        guard words.count == 2, case .string(let left) = words[0],
          case .string(let right) = words[1]
        else { throw try refusal(expected: "two tokens") }
        pair = (left, right)
      default: throw try refusal(expected: "two tokens")
      }
      func id(_ token: String) throws(FormatError) -> Int32 {
        if let id = vocabulary.id(of: token) { return Int32(id) }
        throw try refusal(found: "\"\(token)\"", expected: "tokens of the vocabulary")
      }
      let left = try id(pair.left)
      let right = try id(pair.right)
      let result = try id(pair.left + pair.right)
      guard pairs.insert(UInt64(left) << 32 | UInt64(right)).inserted else {
        throw try refusal(found: "a pair that has come before", expected: "each pair once")
      }
      merges.append((left, right, result))
    }
    return MergeTable(merges, vocabularySize: vocabulary.size)
  }

  // MARK: Added tokens

  // Looking for a token takes time by its length at every place of a text, and memory for all.
  private static let addedTokenByteCountLimit = 1_024
  private static let addedTokensByteCountLimit = 4 << 20

  private func addedTokens(_ nodes: [JSONNode]) throws(FormatError) -> [AddedToken] {
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
  private func add(
    _ token: AddedToken, at node: JSONNode, to parts: inout ByteLevelBPE.Parts
  ) throws(FormatError) {
    let known = parts.vocabulary.id(of: token.content)
    if let known, known != token.id {
      throw try node.member("id").refusal(
        found: "\(token.id), but \(known) in another place", expected: "one id for each token")
    }
    if known == nil, !parts.vocabulary.insert(token.content, id: token.id) {
      let other = parts.vocabulary.token(token.id) ?? ""
      throw try node.member("id").refusal(
        found: "\(token.id), which is also the id of \"\(other)\"", expected: "each id once")
    }
    var spelling = Array(token.content.utf8)
    if token.normalized, parts.usesNFC, let composed = NFC.normalize(spelling),
      composed != spelling
    {
      spelling = composed
      parts.vocabulary.respell(token.id, as: String(decoding: composed, as: UTF8.self))
    }
    let inserted =
      token.normalized
      ? parts.normalizedMatcher.insert(token, spelled: spelling)
      : parts.rawMatcher.insert(token, spelled: spelling)
    guard inserted else {
      throw try node.member("content").refusal(expected: "a text that no other added token has")
    }
  }
}
