import SextantBytes

/// The components of a `tokenizer.json`: each is one of those that byte-level BPE tokenizers use,
/// with options that are understood, or it is refused by its name.
extension TokenizerJSON {
  // MARK: Model

  /// Checks the model's kind and options, and returns whether it ignores merges for whole words.
  func checkModel(_ model: JSONNode) throws(FormatError) -> Bool {
    if let type = try model.optionalMember("type"), try type.string() != "BPE" {
      throw type.unsupported(expected: "\"BPE\"")
    }
    // `unk_token` and `fuse_unk` do not matter, because every byte must have a token.
    try model.supportOnly([
      "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
      "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges",
    ])
    if let dropout = try model.optionalMember("dropout"), try dropout.number() != 0 {
      throw dropout.unsupported(expected: "null: ids must not depend on chance")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = try model.optionalMember(key), try !affix.string().isEmpty {
        throw affix.unsupported(expected: "null or \"\"")
      }
    }
    if let fallback = try model.optionalMember("byte_fallback"), try fallback.boolean() {
      throw fallback.unsupported(expected: "false")
    }
    return try model.optionalMember("ignore_merges")?.boolean() ?? false
  }

  // MARK: Normalizer

  /// Whether the normalizer is NFC rather than none.
  func usesNFC(_ node: JSONNode?) throws(FormatError) -> Bool {
    guard let node else { return false }
    let type = try node.member("type")
    switch try type.string() {
    case "NFC":
      try node.supportOnly(["type"])
      return true
    case "Sequence":
      try node.supportOnly(["type", "normalizers"])
      var uses = false
      for child in try node.member("normalizers").elements() where try usesNFC(child) {
        uses = true
      }
      return uses
    default: throw type.unsupported(expected: "\"NFC\" or \"Sequence\"")
    }
  }

  // MARK: Pre-tokenizer

  /// The pre-tokenizer, whose last step must be ByteLevel.
  func preTokenizer() throws(FormatError) -> PreTokenizer {
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
    return PreTokenizer(steps: steps)
  }

  private func appendSteps(
    of node: JSONNode, to steps: inout [PreTokenizer.Step], mapsBytes: inout Bool
  ) throws(FormatError) {
    // After ByteLevel a step would see stand-in characters in place of the text.
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
      try checkSplit(node)
      steps.append(.gpt2Pattern)
    case "ByteLevel":
      try node.supportOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
      if try node.member("add_prefix_space").boolean() { steps.append(.prefixSpace) }
      if try node.optionalMember("use_regex")?.boolean() ?? true { steps.append(.gpt2Pattern) }
      mapsBytes = true
    default:
      throw type.unsupported(
        expected: "\"ByteLevel\", \"Digits\", \"Split\" by a known pattern, or \"Sequence\"")
    }
  }

  private func checkSplit(_ node: JSONNode) throws(FormatError) {
    try node.supportOnly(["type", "pattern", "behavior", "invert"])
    let pattern = try node.member("pattern")
    try pattern.supportOnly(["Regex"])
    let regex = try pattern.member("Regex")
    let spelling = try regex.string()
    guard GPT2Pattern.spellings.contains(where: { $0.utf8.elementsEqual(spelling.utf8) }) else {
      throw regex.unsupported(expected: "the pattern of GPT-2: \(GPT2Pattern.spellings[0])")
    }
    let behavior = try node.member("behavior")
    guard try behavior.string() == "Isolated" else {
      throw behavior.unsupported(expected: "\"Isolated\"")
    }
    if let invert = try node.optionalMember("invert"), try invert.boolean() {
      throw invert.unsupported(expected: "false")
    }
  }

  // MARK: Decoder and post-processor

  /// Checks that ids are decoded by joining the bytes of their tokens.
  func checkDecoder() throws(FormatError) {
    guard let node = try root.optionalMember("decoder") else {
      throw root.unsupported(found: "no decoder", expected: "\"ByteLevel\"")
    }
    let type = try node.member("type")
    guard try type.string() == "ByteLevel" else {
      throw type.unsupported(expected: "\"ByteLevel\"")
    }
    try node.supportOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
  }

  /// Checks that the post-processor changes no ids when no special tokens are asked for.
  func checkPostProcessor(_ node: JSONNode?) throws(FormatError) {
    guard let node else { return }
    let type = try node.member("type")
    switch try type.string() {
    case "ByteLevel": break  // trims offsets, which are not computed here
    case "Sequence":
      for child in try node.member("processors").elements() { try checkPostProcessor(child) }
    case "TemplateProcessing":
      let single = try node.member("single")
      var sequences: [String] = []
      for piece in try single.elements() {
        try piece.supportOnly(["Sequence", "SpecialToken"])
        if let sequence = try piece.optionalMember("Sequence") {
          sequences.append(try sequence.member("id").string())
        }
      }
      guard sequences == ["A"] else {
        throw single.unsupported(
          found: "a template with \(sequences.count) sequences", expected: "sequence A once")
      }
    default:
      throw type.unsupported(expected: "\"ByteLevel\", \"TemplateProcessing\" or \"Sequence\"")
    }
  }
}

extension JSONNode {
  /// Refuses members other than these as unsupported: an unknown option could change ids.
  func supportOnly(_ keys: [String]) throws(FormatError) {
    for (key, child) in try members() where !keys.contains(key) {
      throw child.unsupported(
        found: "a member \"\(key)\"", expected: "only \(keys.joined(separator: ", "))")
    }
  }
}
