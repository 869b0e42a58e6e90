import SextantBytes

/// The parts of a byte-level `tokenizer.json`.
extension ByteLevelBPE.Parts {
  /// Reads all parts.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`, with a JSON pointer.
  init(_ json: TokenizerJSON) throws(Refusal) {
    let ignoresMerges = try json.checkModel(byteFallback: false)
    let normalizer = try json.normalizer()
    preTokenizer = try json.byteLevelPreTokenizer()
    try json.checkByteLevelDecoder()
    beginOfTextIDs = try json.beginOfTextIDs()
    let tokens = try json.tokens(normalizer: normalizer)
    try json.check(beginOfTextIDs: beginOfTextIDs, in: tokens.vocabulary)
    vocabulary = tokens.vocabulary
    byteIDs = try Self.byteIDs(of: tokens.words, in: json.model)
    merges = MergeTable(tokens.merges, symbolCount: tokens.words.size)
    wholeWords = ignoresMerges ? tokens.words : nil
    added = tokens.added
  }

  /// The ids of single bytes; -1 for those that are passed over.
  private static func byteIDs(
    of vocabulary: Vocabulary, in model: JSONNode
  ) throws(Refusal) -> [Int32] {
    // If there is an unknown token, the package puts it in the place of such a byte.
    let passesOver = try model.optionalMember("unk_token") == nil
    var ids: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      let token = ByteAlphabet.token(of: [byte])
      switch (vocabulary.id(of: token), byte) {
      case (let id?, _): ids.append(Int32(id))
      case (nil, 0xC0...0xC1), (nil, 0xF5...0xFF): ids.append(-1)  // never in UTF-8
      case (nil, 0x00...0x08) where passesOver, (nil, 0x0E...0x1F) where passesOver,
        (nil, 0x7F) where passesOver, (nil, 0xF1...0xF2) where passesOver:
        // Control characters and planes without characters: vocabularies learnt from clean text
        // (SmolLM) lack some of them, and the package passes over them.
        ids.append(-1)
      case (nil, _):
        // The package drops such bytes silently, or puts an unknown token in their place. A
        // vocabulary without an ordinary byte is not one that text can be written in.
        throw try model.member("vocab").unsupported(
          found: "no token \"\(token)\" for byte \(byte)", expected: "a token for every byte")
      }
    }
    return ids
  }
}

extension TokenizerJSON {
  fileprivate func byteLevelPreTokenizer() throws(Refusal) -> PreTokenizer {
    guard let node = try root.optionalMember("pre_tokenizer") else {
      throw root.unsupported(found: "no pre_tokenizer", expected: "one with \"ByteLevel\"")
    }
    return try PreTokenizer(byteLevel: node)
  }

  /// Checks that ids are decoded by joining the bytes of their tokens.
  fileprivate func checkByteLevelDecoder() throws(Refusal) {
    guard let node = try root.optionalMember("decoder") else {
      throw root.unsupported(found: "no decoder", expected: "\"ByteLevel\"")
    }
    try node.member("type").supportText("ByteLevel")
    try node.supportOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
  }
}
