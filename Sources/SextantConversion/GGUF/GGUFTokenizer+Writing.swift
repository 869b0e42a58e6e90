import SextantBytes
import SextantCheckpoints
import SextantTokenizers

/// A model's tokenizer as the metadata that llama.cpp reads, and its file for ourselves.
struct GGUFTokenizerMetadata {
  /// The metadata.
  private(set) var values: [(key: String, value: GGUFNewValue)] = []
  /// Notes for the user.
  private(set) var notes: [String] = []

  /// - Parameters:
  ///   - file: the tokenizer's file; nil for a model without one.
  ///   - size: rows of the embedding; llama.cpp needs a token for each.
  ///   - end: the ids that end a text as the model's files name them; nil for those of the tokenizer.
  /// - Throws: `export.inexpressible` for a tokenizer that llama.cpp does not have; `tokenizer.*` for
  ///   a file that no longer reads.
  init(_ file: [UInt8]?, vocabularySize size: Int, end: [Int]? = nil) throws(Refusal) {
    if let end { values.append((GGUFDescription.endOfTextKey, .int32s(end.map { Int32($0) }))) }
    guard let file else {
      set("model", .string("none"))
      notes.append("no tokenizer: llama.cpp takes token ids only")
      return
    }
    let tokenizer = BoundedTokenizer(try Tokenizers.load(bytes: file), end: end)
    let json = try? JSONNode(
      parsing: file, limits: JSONLimits(byteCount: Tokenizers.byteCountLimit, depth: 32),
      code: .tokenizerInvalid, file: nil)
    do throws(Refusal) {
      if tokenizer.takesLongestTokens {
        addRWKV(tokenizer, size)
      } else if let pieces = try ScoredPieces(tokenizer: file) {
        try add(pieces, begins: tokenizer.beginOfTextIDs.first, end: tokenizer.endOfTextID, size)
      } else if let json, let merges = try Self.merges(json) {
        guard let pattern = try Self.pattern(json) else {
          throw Self.inexpressible("a tokenizer that splits texts by a pattern without a name")
        }
        addBytePairs(json, tokenizer, merges, pattern, size)
      } else {
        throw Self.inexpressible("a tokenizer of another kind")
      }
    } catch {
      guard error.code == .exportInexpressible else { throw error }
      var refusal = error
      refusal.remedy = "Leave it out with `leavesOutTokenizer`: llama.cpp takes token ids then."
      throw refusal
    }
    setTurnEnds(tokenizer.endOfTextIDs)
    if tokenizer.beginOfTextIDs.count > 1 {
      note(
        "llama.cpp puts one token before a text, this tokenizer \(tokenizer.beginOfTextIDs.count)")
    }
    values.append((GGUFTokenizer.fileKey, .bytes(file)))
  }

  /// The format has a key for the end of a text, which is set with the tokens, and two for other ends.
  private mutating func setTurnEnds(_ ids: [Int]) {
    for (key, id) in zip(GGUFDescription.endOfTextKeys, ids).dropFirst() {
      values.append((key, .uint32(UInt32(id))))
    }
    let count = GGUFDescription.endOfTextKeys.count
    if ids.count > count {
      note("llama.cpp gets \(count) of the \(counted(ids.count, "token")) that end a text")
    }
  }

  static func inexpressible(_ found: String) -> Refusal {
    Refusal(.exportInexpressible, found: found, expected: "one of those that llama.cpp has")
  }

  mutating func note(_ text: String) { notes.append(text) }

  mutating func set(_ key: String, _ value: GGUFNewValue) {
    values.append(("tokenizer.ggml.\(key)", value))
  }

  mutating func setTokens(_ tokens: [String], _ kinds: [GGUFTokenizer.Kind]) {
    set("tokens", .strings(tokens))
    set("token_type", .int32s(kinds.map { Int32($0.rawValue) }))
  }

  private mutating func setSpecial(_ tokenizer: any Tokenizer) {
    let begins = tokenizer.beginOfTextIDs.first
    if let end = tokenizer.endOfTextID {
      set("eos_token_id", .uint32(UInt32(end)))
      set("bos_token_id", .uint32(UInt32(begins ?? end)))
    }
    set("add_bos_token", .boolean(begins != nil))
  }

  // MARK: Byte-level byte pairs

  private static func merges(_ json: JSONNode) throws(Refusal) -> [String]? {
    guard let model = try json.optionalMember("model"),
      let merges = try model.optionalMember("merges")
    else { return nil }
    var lines: [String] = []
    for merge in try merges.elements() {
      if case .array = merge.value {
        var words: [String] = []
        for word in try merge.elements() { words.append(try word.string()) }
        lines.append(words.joined(separator: " "))
      } else {
        lines.append(try merge.string())
      }
    }
    return lines
  }

  /// The pattern that splits texts as the file does; nil if none with a name does.
  private static func pattern(_ json: JSONNode) throws(Refusal) -> GGUFTokenizer.Pattern? {
    guard let node = try json.optionalMember("pre_tokenizer") else { return nil }
    let own = try PreTokenizer(byteLevel: node)
    let flag = try json.member("model").optionalMember("ignore_merges")?.boolean() ?? false
    for pattern in GGUFTokenizer.patterns where pattern.ignoresMerges == flag {
      let named = try JSONNode(
        parsing: pattern.preTokenizer.canonicalBytes, code: .tokenizerInvalid, file: nil)
      if try PreTokenizer(byteLevel: named) == own { return pattern }
    }
    return nil
  }

  private mutating func addBytePairs(
    _ json: JSONNode, _ tokenizer: any Tokenizer, _ merges: [String],
    _ pattern: GGUFTokenizer.Pattern, _ size: Int
  ) {
    set("model", .string("gpt2"))
    set("pre", .string(pattern.names[0]))
    var tokens: [String] = []
    var kinds: [GGUFTokenizer.Kind] = []
    var added: [Int: Bool] = [:]  // whether special, by id
    for token in (try? json.optionalMember("added_tokens")?.elements()) ?? [] {
      guard let id = try? token.member("id").integer(in: 0...Int(Int32.max)) else { continue }
      added[id] = (try? token.optionalMember("special")?.boolean()) ?? false
    }
    for id in 0..<size {
      guard let token = tokenizer.token(id) else {
        tokens.append("[PAD\(id)]")
        kinds.append(.unused)
        continue
      }
      tokens.append(token)
      kinds.append(added[id].map { $0 ? .control : .userDefined } ?? .normal)
    }
    setTokens(tokens, kinds)
    set("merges", .strings(merges))
    setSpecial(tokenizer)
    if let normalizer = try? json.optionalMember("normalizer"), normalizer.value != .null {
      notes.append("llama.cpp does not normalise texts as this tokenizer does")
    }
  }

  // MARK: RWKV

  private mutating func addRWKV(_ tokenizer: any Tokenizer, _ size: Int) {
    set("model", .string("rwkv"))
    var tokens: [String] = []
    var kinds: [GGUFTokenizer.Kind] = []
    for id in 0..<size {
      if let bytes = tokenizer.bytes(of: id), !bytes.isEmpty {
        tokens.append(bytes.map(RWKVToken.escape).joined())
        kinds.append(.normal)
      } else {
        tokens.append(id == 0 ? "<s>" : "[PAD\(id)]")
        kinds.append(id == 0 ? .control : .unused)
      }
    }
    setTokens(tokens, kinds)
    set("add_bos_token", .boolean(false))
    set("bos_token_id", .uint32(0))
    set("eos_token_id", .uint32(UInt32(tokenizer.endOfTextID ?? 0)))
  }
}
