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
  /// The pre-tokenizer, whose last step must be ByteLevel.
  fileprivate func byteLevelPreTokenizer() throws(Refusal) -> PreTokenizer {
    guard let node = try root.optionalMember("pre_tokenizer") else {
      throw root.unsupported(
        found: "no pre_tokenizer", expected: "one that ends with \"ByteLevel\"")
    }
    var steps: [PreTokenizer.Step] = []
    var mapsBytes = false
    try appendSteps(of: node, to: &steps, mapsBytes: &mapsBytes)
    guard mapsBytes else {
      throw node.unsupported(
        found: "no \"ByteLevel\"", expected: "a pre_tokenizer that ends with \"ByteLevel\"")
    }
    guard steps.count <= Self.stepLimit else {
      throw node.unsupported(
        found: counted(steps.count, "step"), expected: "at most \(Self.stepLimit)")
    }
    return PreTokenizer(steps: steps)
  }

  private func appendSteps(
    of node: JSONNode, to steps: inout [PreTokenizer.Step], mapsBytes: inout Bool
  ) throws(Refusal) {
    // After ByteLevel a step would read the characters that represent bytes instead of the text.
    guard !mapsBytes else {
      throw node.unsupported(found: "a step after \"ByteLevel\"", expected: "none")
    }
    let type = try node.member("type")
    switch try type.string() {
    case "Sequence":
      try node.supportOnly(["type", "pretokenizers"])
      for child in try node.member("pretokenizers").elements() {
        try appendSteps(of: child, to: &steps, mapsBytes: &mapsBytes)
      }
    case "Digits":
      try node.supportOnly(["type", "individual_digits"])
      let individual = try node.member("individual_digits").boolean()
      steps.append(.digits(individual: individual))
    case "Split":
      steps.append(.split(try pattern(of: node)))
    case "ByteLevel":
      try node.supportOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
      if try node.member("add_prefix_space").boolean() { steps.append(.prefixSpace) }
      if try node.optionalMember("use_regex")?.boolean() ?? true { steps.append(.split(.gpt2)) }
      mapsBytes = true
    default:
      throw type.unsupported(
        expected: "\"ByteLevel\", \"Digits\", \"Split\" by a known pattern, or \"Sequence\"")
    }
  }

  private func pattern(of node: JSONNode) throws(Refusal) -> SplitPattern {
    try node.supportOnly(["type", "pattern", "behavior", "invert"])
    let container = try node.member("pattern")
    try container.supportOnly(["Regex"])
    let regex = try container.member("Regex")
    guard let pattern = SplitPattern(spelling: try regex.string()) else {
      throw regex.unsupported(expected: "the pattern of GPT-2, GPT-4, Llama 3 or Qwen 2")
    }
    try node.member("behavior").supportText("Isolated")
    if let invert = try node.optionalMember("invert"), try invert.boolean() {
      throw invert.unsupported(expected: "false")
    }
    return pattern
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
