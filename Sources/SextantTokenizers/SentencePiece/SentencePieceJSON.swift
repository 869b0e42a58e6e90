import SextantBytes

/// SentencePiece's byte-pair encoding as a `tokenizer.json` of the `tokenizers` package spells it
/// out: the tokenizers of Llama 1 and 2, Mistral, Gemma and their relatives.
///
/// Encoding: the text is split at added tokens, spaces become "▁", and the characters of the rest
/// are merged in the order of the merges. A character without a token becomes the tokens of its
/// bytes.
///
/// The ids of `encode` are the ones that the package gives with `add_special_tokens=False`.
struct SentencePieceJSON: TokenizerFormat {
  private let vocabulary: Vocabulary
  private let added: AddedTokens
  private let pairs: CharacterPairs
  let preTokenizer: PreTokenizer
  let addsLeadingSpace: Bool
  let digest: Digest
  let specialTokenIDs: Set<Int>
  let endOfTextID: Int?
  let beginOfTextIDs: [Int]

  /// Whether the model falls back to bytes, which a byte-level one has no need to.
  static func recognizes(_ source: TokenizerSource) -> Bool {
    guard case .object(let model)? = try? source.json?.object()["model"] else { return false }
    return model["byte_fallback"] == true
  }

  init(_ source: TokenizerSource) throws(Refusal) {
    let json = try TokenizerJSON(source)
    guard try !json.checkModel(byteFallback: true) else {
      throw try json.model.member("ignore_merges").unsupported(expected: "false")
    }
    let normalizer = try json.normalizer()
    preTokenizer =
      if let node = try json.root.optionalMember("pre_tokenizer") {
        try PreTokenizer(characters: node)
      } else {
        PreTokenizer()
      }
    addsLeadingSpace = try json.spaceDecoderDropsFirst()
    beginOfTextIDs = try json.beginOfTextIDs()
    let tokens = try json.tokens(normalizer: normalizer)
    try json.check(beginOfTextIDs: beginOfTextIDs, in: tokens.vocabulary)
    vocabulary = tokens.vocabulary
    added = tokens.added
    let byteIDs = try Self.byteIDs(of: tokens.words, at: json.model.member("vocab"))
    var characters = CharacterSymbols()
    for id in 0..<tokens.words.size {
      guard let token = tokens.words.token(id)?.unicodeScalars, token.count == 1 else { continue }
      for scalar in token { characters[scalar.value] = Int32(id) }
    }
    pairs = CharacterPairs(
      merges: MergeTable(tokens.merges, symbolCount: tokens.words.size), characters: characters,
      tokenCount: Int32(tokens.words.size), fallback: .mergingBytes(byteIDs),
      marker: SpaceMarker.bytes,
      // Without a token of its own, a marker would be three bytes that could merge backwards.
      splitsAtMarker: tokens.words.id(of: SpaceMarker.string) != nil
        && !tokens.merges.contains {
          CharacterPairs.crossesWords(
            (tokens.words.token(Int($0.result)) ?? "").utf8, marker: SpaceMarker.bytes)
        })
    digest = source.digest
    specialTokenIDs = added.specialTokenIDs
    endOfTextID = added.endOfTextID
  }

  private static func byteIDs(
    of words: Vocabulary, at node: JSONNode
  ) throws(Refusal) -> [Int32] {
    var ids: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      guard let id = words.id(of: ByteToken.name(byte)) else {
        throw node.unsupported(
          found: "no token \(ByteToken.name(byte))", expected: "a token for every byte")
      }
      ids.append(Int32(id))
    }
    return ids
  }

  var vocabularySize: Int { vocabulary.size }

  func encode(_ text: String) -> [Int] { encode(text, literally: []) }

  func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int] {
    var writer = CharacterPairWriter(pairs, textByteCount: text.utf8.count)
    added.forEachPiece(of: text, literally: ranges) { piece in
      switch piece {
      case .token(let id): writer.append(id)
      case .text(let bytes, let range, let isStart):
        preTokenizer.forEachWord(in: bytes, range: range, isStart: isStart) {
          writer.write($0, $1)
        }
      }
    }
    return writer.ids
  }

  func bytes(of id: Int) -> [UInt8]? {
    vocabulary.spelling(of: id).map { token in
      if let byte = ByteToken.byte(of: token) { return [byte] }
      return SpaceMarker.unmark(token.utf8)
    }
  }

  func token(_ id: Int) -> String? { vocabulary.token(id) }

  func id(ofToken token: String) -> Int? { vocabulary.id(of: token) }
}

extension TokenizerJSON {
  /// Checks that the decoder joins tokens and bytes and writes spaces for "▁", and returns whether it
  /// drops the first space.
  fileprivate func spaceDecoderDropsFirst() throws(Refusal) -> Bool {
    let expected = "\"Sequence\" of \"Replace\", \"ByteFallback\", \"Fuse\" and maybe \"Strip\""
    guard let node = try root.optionalMember("decoder") else {
      throw root.unsupported(found: "no decoder", expected: expected)
    }
    try node.member("type").supportText("Sequence")
    try node.supportOnly(["type", "decoders"])
    let decoders = try node.member("decoders")
    let steps = try decoders.elements()
    guard 3...4 ~= steps.count else {
      throw decoders.unsupported(found: "\(steps.count) decoders", expected: expected)
    }
    for (step, type) in zip(steps, ["Replace", "ByteFallback", "Fuse", "Strip"]) {
      try step.member("type").supportText(type)
    }
    try steps[0].supportReplacement(of: SpaceMarker.string, by: " ")
    for step in steps[1...2] { try step.supportOnly(["type"]) }
    guard steps.count == 4 else { return false }
    try steps[3].supportOnly(["type", "content", "start", "stop"])
    try steps[3].member("content").supportText(" ")
    for (key, count) in [("start", 1), ("stop", 0)] {
      let node = try steps[3].member(key)
      guard try node.integer() == count else { throw node.unsupported(expected: "\(count)") }
    }
    return true
  }
}
