import SextantBytes

/// A `tokenizer.json` of the `tokenizers` package, version 1.0, in the subset that byte-pair
/// encodings use. Features that would change ids and are not supported are refused.
///
/// `truncation` and `padding` are ignored: they define how a batch is cut and filled, not the ids
/// of a text.
struct TokenizerJSON {
  /// The root object.
  let root: JSONNode
  /// The model.
  let model: JSONNode

  /// Takes a file whose parts will be read one by one: kinds first, data after, so that a refusal
  /// of a kind does not wait for the vocabulary.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`, with a JSON pointer, as all methods.
  init(_ source: TokenizerSource) throws(Refusal) {
    guard let root = source.json else {
      throw Refusal(
        .tokenizerInvalid, file: source.file, found: "no JSON object", expected: "a tokenizer.json")
    }
    self.root = root
    try root.supportOnly([
      "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
      "post_processor", "decoder", "model",
    ])
    let version = try root.member("version")
    guard try version.string() == "1.0" else { throw version.unsupported(expected: "\"1.0\"") }
    model = try root.member("model")
  }

  /// The tokens of the model and the added ones, with the merges of the former.
  struct Tokens {
    /// All tokens.
    var vocabulary: Vocabulary
    /// The tokens of the model, without added ones.
    var words: Vocabulary
    /// The merges, in the order of their ranks.
    var merges: [Merge]
    /// The added tokens.
    var added: AddedTokens
  }

  /// Reads vocabulary, merges and added tokens.
  func tokens(normalizer: TextNormalizer) throws(Refusal) -> Tokens {
    let nodes = try root.optionalMember("added_tokens")?.elements() ?? []
    let addedTokens = try AddedToken.read(nodes)
    let words = try vocabulary(model.member("vocab"), addedTokens: addedTokens)
    let merges = try merges(model.member("merges"), of: words)
    var all = words
    let entries = try add(addedTokens, at: nodes, normalizer: normalizer, to: &all)
    return Tokens(
      vocabulary: all, words: words, merges: merges,
      added: AddedTokens(entries, normalizer: normalizer))
  }

  private func vocabulary(
    _ node: JSONNode, addedTokens: [AddedToken]
  ) throws(Refusal) -> Vocabulary {
    let members = try node.object().members
    let count = members.count + addedTokens.count
    let idLimit = Vocabulary.idLimit(count: count)
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

  private func merges(
    _ node: JSONNode, of vocabulary: Vocabulary
  ) throws(Refusal) -> [Merge] {
    guard case .array(let elements) = node.value else {
      throw node.refusal(expected: "an array")
    }
    var merges: [Merge] = []
    merges.reserveCapacity(elements.count)
    var pairs: Set<UInt64> = []
    for (index, element) in elements.enumerated() {
      func refusal(found: String? = nil, expected: String) throws(Refusal) -> Refusal {
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
      func id(_ token: String) throws(Refusal) -> Int32 {
        if let id = vocabulary.id(of: token) { return Int32(id) }
        throw try refusal(found: "\"\(token)\"", expected: "tokens of the vocabulary")
      }
      let left = try id(pair.left)
      let right = try id(pair.right)
      let result = try id(pair.left + pair.right)
      guard pairs.insert(UInt64(left) << 32 | UInt64(right)).inserted else {
        throw try refusal(found: "a pair that has come before", expected: "each pair once")
      }
      merges.append(Merge(left: left, right: right, result: result, rank: merges.count))
    }
    return merges
  }
}
