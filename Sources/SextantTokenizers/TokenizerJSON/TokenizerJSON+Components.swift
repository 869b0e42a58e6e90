import SextantBytes

/// The components of a `tokenizer.json` that its kinds have in common: each is one of those that
/// are understood, with options that are understood, or it is refused by its name.
extension TokenizerJSON {
  /// Checks the model's kind and options, and returns whether it ignores merges for whole words.
  ///
  /// - Parameter byteFallback: whether characters without a token become one token for each byte.
  func checkModel(byteFallback: Bool) throws(Refusal) -> Bool {
    if let type = try model.optionalMember("type"), try type.string() != "BPE" {
      throw type.unsupported(expected: "\"BPE\"")
    }
    // `unk_token` and `fuse_unk` do not matter: every byte must have a token, or no unknown token.
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
    if let fallback = try model.optionalMember("byte_fallback"),
      try fallback.boolean() != byteFallback
    {
      throw fallback.unsupported(expected: "\(byteFallback)")
    }
    return try model.optionalMember("ignore_merges")?.boolean() ?? false
  }

  /// The normalizer: none, NFC, the two that write spaces as SentencePiece does, or several.
  func normalizer() throws(Refusal) -> TextNormalizer {
    var normalizer = TextNormalizer()
    if let node = try root.optionalMember("normalizer") { try append(node, to: &normalizer) }
    guard normalizer.steps.count <= Self.stepLimit else {
      throw try root.member("normalizer").unsupported(
        found: counted(normalizer.steps.count, "step"), expected: "at most \(Self.stepLimit)")
    }
    return normalizer
  }

  /// Steps of a normalizer or a pre-tokenizer at most: each one takes time by the length of the text.
  static let stepLimit = 16

  private func append(
    _ node: JSONNode, to normalizer: inout TextNormalizer
  ) throws(Refusal) {
    let type = try node.member("type")
    switch try type.string() {
    case "NFC":
      try node.supportOnly(["type"])
      normalizer.steps.append(.nfc)
    case "Prepend":
      try node.supportOnly(["type", "prepend"])
      try node.member("prepend").supportText(SpaceMarker.string)
      normalizer.steps.append(.prependMarker)
    case "Replace":
      try node.supportReplacement(of: " ", by: SpaceMarker.string)
      normalizer.steps.append(.markSpaces)
    case "Sequence":
      try node.supportOnly(["type", "normalizers"])
      for child in try node.member("normalizers").elements() { try append(child, to: &normalizer) }
    default:
      throw type.unsupported(expected: "\"NFC\", \"Prepend\", \"Replace\" or \"Sequence\"")
    }
  }
}

extension JSONNode {
  /// A refusal of a valid feature that this program does not support.
  func unsupported(found: String? = nil, expected: String) -> Refusal {
    var refusal = refusal(found: found, expected: expected)
    refusal.code = .tokenizerUnsupported
    refusal.remedy = refusal.code.remedy
    return refusal
  }

  /// Refuses members other than these as unsupported: an unknown option could change ids.
  func supportOnly(_ keys: [String]) throws(Refusal) {
    for (key, child) in try members() where !keys.contains(key) {
      throw child.unsupported(
        found: "a member \"\(key)\"", expected: "only \(keys.joined(separator: ", "))")
    }
  }

  /// Refuses any other text as unsupported.
  func supportText(_ text: String) throws(Refusal) {
    guard try string().utf8.elementsEqual(text.utf8) else {
      throw unsupported(expected: "\"\(text)\"")
    }
  }

  /// Refuses a "Replace" other than of one text by another.
  func supportReplacement(of text: String, by content: String) throws(Refusal) {
    try supportOnly(["type", "pattern", "content"])
    let pattern = try member("pattern")
    try pattern.supportOnly(["String"])
    try pattern.member("String").supportText(text)
    try member("content").supportText(content)
  }
}
