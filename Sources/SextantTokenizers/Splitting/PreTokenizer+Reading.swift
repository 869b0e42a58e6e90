import SextantBytes

/// The pre-tokenizer of a `tokenizer.json`.
extension PreTokenizer {
  /// Reads a pre-tokenizer of a byte-level model, which has one step "ByteLevel".
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`, with a JSON pointer.
  package init(byteLevel node: JSONNode) throws(Refusal) {
    try self.init(node)
    guard let last = steps.lastIndex(of: .mapBytes) else {
      throw node.unsupported(
        found: "no \"ByteLevel\"", expected: "a pre_tokenizer with \"ByteLevel\"")
    }
    // Later steps see the characters that represent bytes instead of the text.
    if last == steps.count - 1 { steps.removeLast() } else { steps.append(.unmapBytes) }
  }

  /// Reads a pre-tokenizer of a model of characters, which has no step "ByteLevel".
  init(characters node: JSONNode) throws(Refusal) {
    try self.init(node)
    guard !steps.contains(.mapBytes) else {
      throw node.unsupported(found: "\"ByteLevel\"", expected: "none with \"byte_fallback\"")
    }
  }

  private init(_ node: JSONNode) throws(Refusal) {
    try append(node)
    guard steps.count <= TokenizerJSON.stepLimit else {
      throw node.unsupported(
        found: counted(steps.count, "step"), expected: "at most \(TokenizerJSON.stepLimit)")
    }
  }

  private mutating func append(_ node: JSONNode) throws(Refusal) {
    let type = try node.member("type")
    switch try type.string() {
    case "Sequence":
      try node.supportOnly(["type", "pretokenizers"])
      for child in try node.member("pretokenizers").elements() { try append(child) }
    case "ByteLevel":
      try node.supportOnly(["type", "add_prefix_space", "trim_offsets", "use_regex"])
      guard !steps.contains(.mapBytes) else {
        throw node.unsupported(found: "\"ByteLevel\" again", expected: "it once")
      }
      if try node.member("add_prefix_space").boolean() {
        try refuseAfterByteLevel(node)
        steps.append(.prefixSpace)
      }
      if try node.optionalMember("use_regex")?.boolean() ?? true {
        steps.append(.split(Split(pattern: try Self.split(by: Self.gpt2, at: node))))
      }
      steps.append(.mapBytes)
    case "Metaspace":
      try node.supportOnly(["type", "replacement", "prepend_scheme", "split"])
      try refuseAfterByteLevel(node)
      try node.member("replacement").supportText(SpaceMarker.string)
      let scheme = try node.member("prepend_scheme")
      guard let prefix = SpacePrefix(rawValue: try scheme.string()) else {
        throw scheme.unsupported(expected: "\"always\", \"first\" or \"never\"")
      }
      steps.append(.markSpaces(prefix))
      if try node.optionalMember("split")?.boolean() ?? true {
        try append(.scalar(.scalar("\u{2581}")), .mergedWithNext, at: node)
      }
    case "Digits":
      try node.supportOnly(["type", "individual_digits"])
      let individual = try node.member("individual_digits").boolean()
      try append(.scalar(.flagged(.numeric)), individual ? .isolated : .contiguous, at: node)
    case "Punctuation":
      try node.supportOnly(["type", "behavior"])
      let behavior = try node.optionalMember("behavior")
      try append(
        Self.punctuation, behavior == nil ? .isolated : Self.behavior(node.member("behavior")),
        at: node)
    case "Whitespace":
      try node.supportOnly(["type"])
      let words = PatternNode.scalar(.flagged(.word))
      let others = PatternNode.scalar(
        .complement(.union([.flagged(.word), .space])))
      try append(
        .choice([words, others].map { .repetition($0, least: 1, most: nil) }), .removed,
        inverts: true, at: node)
    case "WhitespaceSplit":
      try node.supportOnly(["type"])
      try append(.scalar(.space), .removed, at: node)
    case "BertPreTokenizer":
      try node.supportOnly(["type"])
      try append(.scalar(.space), .removed, at: node)
      try append(Self.punctuation, .isolated, at: node)
    case "CharDelimiterSplit":
      try node.supportOnly(["type", "delimiter"])
      let delimiter = try node.member("delimiter")
      let scalars = try delimiter.string().unicodeScalars
      guard let scalar = scalars.first, scalars.count == 1 else {
        throw delimiter.refusal(expected: "one character")
      }
      try append(.scalar(.scalar(scalar)), .removed, at: node)
    case "Split":
      try node.supportOnly(["type", "pattern", "behavior", "invert"])
      let pattern = try Self.pattern(node.member("pattern"))
      var inverts = try node.optionalMember("invert")?.boolean() ?? false
      var behavior = try Self.behavior(node.member("behavior"))
      // Equal splits are read as equal values: here nothing is between matches that could be removed,
      // and it does not matter what is isolated.
      if pattern.matchesEverywhere, behavior == .removed, inverts { behavior = .isolated }
      if behavior == .isolated { inverts = false }
      steps.append(.split(Split(pattern: pattern, behavior: behavior, inverts: inverts)))
    default:
      throw type.unsupported(
        expected: "\"ByteLevel\", \"Split\", \"Digits\", \"Punctuation\", \"Whitespace\", "
          + "\"WhitespaceSplit\", \"BertPreTokenizer\", \"CharDelimiterSplit\", \"Metaspace\" or "
          + "\"Sequence\"")
    }
  }

  private static let punctuation = PatternNode.scalar(.flagged(.punctuation))

  /// The pattern of GPT-2, which "ByteLevel" has built in.
  private static let gpt2 =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private mutating func append(
    _ node: PatternNode, _ behavior: Split.Behavior = .isolated, inverts: Bool = false,
    at place: JSONNode
  ) throws(Refusal) {
    let pattern = try Self.supported(at: place) { () throws(PatternProblem) in
      try SplitPattern(node)
    }
    steps.append(.split(Split(pattern: pattern, behavior: behavior, inverts: inverts)))
  }

  /// A space or a "▁" among the characters that represent bytes would represent none.
  private func refuseAfterByteLevel(_ node: JSONNode) throws(Refusal) {
    guard !steps.contains(.mapBytes) else {
      throw node.unsupported(
        found: "a step after \"ByteLevel\" that adds characters", expected: "none")
    }
  }

  private static func behavior(_ node: JSONNode) throws(Refusal) -> Split.Behavior {
    guard let behavior = Split.Behavior(rawValue: try node.string()) else {
      throw node.unsupported(
        expected: "\"Removed\", \"Isolated\", \"MergedWithPrevious\", \"MergedWithNext\" or "
          + "\"Contiguous\"")
    }
    return behavior
  }

  private static func pattern(_ node: JSONNode) throws(Refusal) -> SplitPattern {
    try node.supportOnly(["Regex", "String"])
    if let text = try node.optionalMember("String") {
      let string = try text.string()
      return try supported(at: text) { () throws(PatternProblem) in try SplitPattern(text: string) }
    }
    let regex = try node.member("Regex")
    return try split(by: regex.string(), at: regex)
  }

  private static func split(by regex: String, at node: JSONNode) throws(Refusal) -> SplitPattern {
    try supported(at: node) { () throws(PatternProblem) in try SplitPattern(spelling: regex) }
  }

  private static func supported(
    at node: JSONNode, _ pattern: () throws(PatternProblem) -> SplitPattern
  ) throws(Refusal) -> SplitPattern {
    do throws(PatternProblem) {
      return try pattern()
    } catch {
      throw node.unsupported(
        found: error.found, expected: "a pattern of the forms in formats/tokenizer-json.md")
    }
  }
}
