import SextantBytes

extension ScoredPieces {
  /// The pieces of a tokenizer's file; nil for tokenizers of other kinds.
  ///
  /// A `tokenizer.json` lists merges and no scores. It is taken if scores agree: all merges of two
  /// tokens into a third are there, and those into one token follow each other.
  ///
  /// - Throws: `export.inexpressible` for merges that no scores give and for spaces that are not
  ///   written as "▁"; `tokenizer.*`, `json.*`.
  package init?(tokenizer bytes: [UInt8], file: String? = nil) throws(Refusal) {
    let source = try TokenizerSource(bytes: bytes, file: file)
    if SentencePieceJSON.recognizes(source) {
      try self.init(json: source)
    } else if source.json == nil, !RWKVWorld.recognizes(source),
      SentencePieceModel.recognizes(source)
    {
      try self.init(model: source)
    } else {
      return nil
    }
  }

  fileprivate static func inexpressible(_ found: String, expected: String) -> Refusal {
    Refusal(.exportInexpressible, found: found, expected: expected)
  }

  private static let unmarkedSpaces = inexpressible(
    "a tokenizer that leaves spaces as they are", expected: "\"▁\" for a space")

  // MARK: tokenizer.model

  private init(model source: TokenizerSource) throws(Refusal) {
    let file = try SentencePieceFile(source)
    try file.checkKind()
    guard file.normalizer.marksSpaces else { throw Self.unmarkedSpaces }
    self.init(
      file.pieces.map {
        Piece(file.text($0), score: $0.score, kind: $0.kind)
      })
    addsPrefix = file.normalizer.addsPrefix
    removesExtraSpaces = file.normalizer.removesExtraSpaces
    characterMap = Array(file.bytes[file.normalizer.characterMap])
    func control(_ text: [UInt8]) -> Int? {
      pieces.firstIndex { $0.kind == .control && $0.text.utf8.elementsEqual(text) }
    }
    beginID = control(file.trainer.beginPiece)
    endID = control(file.trainer.endPiece)
    for token in try SentencePieceAdditions(file).tokens.sorted(by: { $0.id < $1.id }) {
      while pieces.count <= token.id {
        pieces.append(Piece("[PAD\(pieces.count)]", score: 0, kind: .unused))
      }
      guard pieces[token.id].kind != .unknown else { continue }
      pieces[token.id] = Piece(
        token.content, score: 0, kind: token.special ? .control : .userDefined)
    }
    if addsPrefix, pieces.contains(where: { $0.kind == .userDefined }) {
      otherChanges.append("puts no space after the pieces that it matches first")
    }
  }

  // MARK: tokenizer.json

  private init(json source: TokenizerSource) throws(Refusal) {
    let tokenizer = try SentencePieceJSON(source)
    let json = try TokenizerJSON(source)
    let normalizer = try json.normalizer()
    let splitting = try SpaceSplitting(tokenizer.preTokenizer, after: normalizer)
    let tokens = try json.tokens(normalizer: normalizer)
    guard splitting.prefix != nil || normalizer.steps.contains(.markSpaces) else {
      throw Self.unmarkedSpaces
    }
    let added = try AddedToken.read(json.root.optionalMember("added_tokens")?.elements() ?? [])
    let unknown = try json.model.optionalMember("unk_token")?.string()
    let special = Dictionary(added.map { ($0.id, $0.special) }, uniquingKeysWith: { a, _ in a })
    self.init(
      (0..<tokens.vocabulary.size).map { id in
        guard let text = tokens.vocabulary.token(id) else {
          return Piece("[PAD\(id)]", score: 0, kind: .unused)
        }
        let isUnknown = unknown.map { $0.utf8.elementsEqual(text.utf8) } ?? false
        let kind: Kind =
          isUnknown
          ? .unknown
          : special[id].map { $0 ? .control : .userDefined }
            ?? (ByteToken.byte(of: text) == nil ? .normal : .byte)
        return Piece(text, score: 0, kind: kind)
      })
    addsPrefix =
      normalizer.steps.contains(.prependMarker) || splitting.prefix ?? .never != .never
    endID = tokenizer.endOfTextID
    try setScores(tokens.merges)
    noteChanges(normalizer, splitting, added)
  }

  /// Gives each token that merges make its place among such tokens, and refuses an order that
  /// contradicts the merges.
  private mutating func setScores(_ merges: [Merge]) throws(Refusal) {
    let expected = "merges in the order of their tokens, all of them"
    // Added tokens are split off before anything is merged.
    let possible = merges.filter { merge in
      [merge.left, merge.right, merge.result].allSatisfy {
        ![.control, .userDefined, .unknown].contains(pieces[Int($0)].kind)
      }
    }
    var seen: Set<Int32> = []
    var previous: Int32?
    for merge in possible where merge.result != previous {
      previous = merge.result
      guard seen.insert(merge.result).inserted else {
        throw Self.inexpressible(
          "merges into \"\(pieces[Int(merge.result)].text)\" in two places", expected: expected)
      }
      pieces[Int(merge.result)].score = -Float(seen.count)
    }
    var text: [UInt8] = []
    let stored = pieces.map { piece in
      let start = text.count
      text += piece.text.utf8
      return SentencePieceFile.Piece(
        text: start..<text.count, score: piece.score, kind: piece.kind)
    }
    func pair(_ merge: Merge) -> UInt64 { UInt64(merge.left) << 32 | UInt64(merge.right) }
    let all = PieceMerges(stored, in: text).merges
    let implied = Dictionary(all.map { (pair($0), $0.result) }, uniquingKeysWith: { a, _ in a })
    let listed = Set(possible.map(pair))
    if let merge = possible.first(where: { implied[pair($0)] != $0.result }) {
      throw Self.inexpressible(
        "a merge into \"\(pieces[Int(merge.result)].text)\" that its text does not imply",
        expected: expected)
    }
    if let merge = all.first(where: { !listed.contains(pair($0)) }) {
      throw Self.inexpressible(
        "a merge into \"\(pieces[Int(merge.result)].text)\" that is left out", expected: expected)
    }
  }

  private mutating func noteChanges(
    _ normalizer: TextNormalizer, _ splitting: SpaceSplitting, _ added: [AddedToken]
  ) {
    if normalizer.steps.contains(.nfc) { otherChanges.append("composes characters (NFC)") }
    if let prefix = splitting.prefix, addsPrefix {
      otherChanges.append("puts no space before a text that starts with one")
      if prefix == .first {
        otherChanges.append("puts no space after added tokens")
      }
    }
    let marker = SpaceMarker.bytes
    if splitting.splits,
      pieces.contains(where: { CharacterPairs.crossesWords($0.text.utf8, marker: marker) })
    {
      otherChanges.append("merges nothing across spaces")
    }
    if added.contains(where: { $0.stripsLeft || $0.stripsRight || $0.singleWord }) {
      otherChanges.append("depends on the text next to added tokens")
    }
  }
}

/// What a pre-tokenizer does to spaces, if it does nothing else.
private struct SpaceSplitting {
  /// Which texts get a "▁"; nil if spaces are not written as "▁".
  var prefix: PreTokenizer.SpacePrefix?
  /// Whether a word starts at each "▁".
  var splits = false

  init(_ preTokenizer: PreTokenizer, after normalizer: TextNormalizer) throws(Refusal) {
    let space = try? SplitPattern(text: " ")
    let marker = try? SplitPattern(text: SpaceMarker.string)
    for step in preTokenizer.steps {
      switch step {
      case .markSpaces(let prefix): self.prefix = prefix
      case .split(let split) where split.pattern == marker && split.behavior == .mergedWithNext:
        splits = true
      case .split(let split)
      where split.pattern == space && !split.inverts && normalizer.steps.contains(.markSpaces):
        break  // Gemma splits at spaces, of which the normalizer has left none
      default:
        throw ScoredPieces.inexpressible(
          "a pre_tokenizer that splits texts", expected: "one that only marks spaces")
      }
    }
  }
}
