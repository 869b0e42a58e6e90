import SextantBytes

/// SentencePiece's byte-pair encoding, read from a `tokenizer.model`.
///
/// Encoding: the text is normalised and split at user-defined pieces, and the characters of the
/// rest are merged, two neighbours at a time, into the piece of the highest score. A character
/// without a piece becomes the pieces of its bytes or the unknown piece.
///
/// The ids are the ones that the `sentencepiece` package gives. Control pieces spelled out in a text are
/// text, unless other files declare them as added tokens, which are cut out of the text before.
struct SentencePieceModel: TokenizerFormat {
  private let file: SentencePieceFile
  private let pairs: CharacterPairs
  private let normalizer: SentencePieceNormalizer
  /// The ids of user-defined pieces, by their places in the trie that finds them.
  private let userDefined: [Int]
  /// Whether other files declare the user-defined piece a special token, by its place.
  private let isSpecialPiece: [Bool]
  private let places: [ExactString: Int]
  private let additions: SentencePieceAdditions
  private let addedMatcher: AddedTokenMatcher
  /// Finds control pieces, too, which stand for themselves in texts of templates alone.
  private let controlMatcher: AddedTokenMatcher
  private let addedTokens: [Int: AddedToken]
  let vocabularySize: Int
  let digest: Digest
  let specialTokenIDs: Set<Int>
  let endOfTextID: Int?

  /// Whether the file starts as a message whose first field is a piece that starts with its text.
  static func recognizes(_ source: TokenizerSource) -> Bool {
    let start = source.bytes.prefix(8)
    guard start.first == 0x0A else { return false }
    return start.dropFirst().drop { $0 & 0x80 != 0 }.dropFirst().first == 0x0A
  }

  init(_ source: TokenizerSource) throws(Refusal) {
    let file = try SentencePieceFile(source)
    try file.checkKind()
    let places = try file.places()
    let unknownID = try file.unknownID()
    let byteIDs = try file.byteIDs(places)
    let merges = PieceMerges(file.pieces, in: file.bytes)
    try file.checkUnused(merges.merges)

    let userDefined = file.pieces.indices.filter { file.pieces[$0].kind == .userDefined }
    let marker = file.normalizer.marksSpaces ? SpaceMarker.bytes : [UInt8(ascii: " ")]
    normalizer = SentencePieceNormalizer(
      map: try file.characterMap(),
      kept: LongestMatches(userDefined.map { file.pieces[$0].text }, in: file.bytes),
      addsPrefix: file.normalizer.addsPrefix,
      removesExtraSpaces: file.normalizer.removesExtraSpaces, marker: marker)
    pairs = CharacterPairs(
      merges: MergeTable(merges.merges, symbolCount: merges.symbolCount),
      characters: merges.characters, tokenCount: Int32(file.pieces.count),
      fallback: byteIDs.map { .bytes($0) } ?? .token(Int32(unknownID)),
      marker: marker,
      splitsAtMarker: !file.pieces.contains {
        $0.kind != .userDefined
          && CharacterPairs.crossesWords(file.bytes[$0.text], marker: marker)
      })
    self.file = file
    self.places = places
    self.userDefined = userDefined
    digest = source.digest
    additions = try SentencePieceAdditions(file)
    let added = additions.tokens
    let contents = Set(added.map { ExactString($0.content) })
    let controls = file.pieces.indices.filter { file.pieces[$0].kind == .control }.map {
      AddedToken(id: $0, content: file.text(file.pieces[$0]), special: true)
    }
    (addedMatcher, controlMatcher) = (
      Self.matcher(added),
      Self.matcher(
        added
          + controls.filter { !$0.content.isEmpty && !contents.contains(ExactString($0.content)) })
    )
    addedTokens = Dictionary(
      additions.tokens.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let special = Set(additions.tokens.filter(\.special).map(\.id))
    isSpecialPiece = userDefined.map { special.contains($0) }
    vocabularySize = max(file.pieces.count, (addedTokens.keys.max() ?? -1) + 1)
    let control = file.pieces.indices.filter { file.pieces[$0].kind == .control }
    specialTokenIDs = special.union(control)
    endOfTextID = control.first {
      file.bytes[file.pieces[$0].text].elementsEqual(file.trainer.endPiece)
    }
  }

  private static func matcher(_ tokens: [AddedToken]) -> AddedTokenMatcher {
    AddedTokenMatcher(tokens.map { .init(token: $0, spelling: Array($0.content.utf8)) })
  }

  var beginOfTextIDs: [Int] { additions.beginOfTextIDs }

  // Spaces that are not markers are never dropped.
  var addsLeadingSpace: Bool {
    file.normalizer.marksSpaces && (normalizer.addsPrefix || normalizer.removesExtraSpaces)
  }

  func encode(_ text: String) -> [Int] { encode(Array(text.utf8), addedMatcher, []) }

  func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int] {
    encode(Array(text.utf8), controlMatcher, ranges)
  }

  private func encode(
    _ bytes: [UInt8], _ matcher: AddedTokenMatcher, _ literal: [Range<Int>]
  ) -> [Int] {
    var writer = CharacterPairWriter(pairs, textByteCount: bytes.count)
    for piece in matcher.pieces(of: bytes, literally: literal) {
      switch piece {
      case .token(let id): writer.append(id)
      case .text(let range):
        let addsPrefix =
          normalizer.addsPrefix && (additions.separatesParts || range.lowerBound == 0)
        let part = range.count == bytes.count ? bytes : Array(bytes[range])
        write(normalizer.normalize(part, addsPrefix: addsPrefix), &writer)
      }
    }
    return writer.ids
  }

  /// Writes the ids of a text that is normalised.
  private func write(_ bytes: [UInt8], _ writer: inout CharacterPairWriter) {
    var kept = LongestMatches.Reader(normalizer.kept, bytes)
    var textStart = 0
    var position = 0
    while position < bytes.count {
      // A special token that is left here is a part of a message, and is text.
      if let (place, end) = kept.match(at: position), !isSpecialPiece[place] {
        writer.write(bytes, textStart..<position)
        writer.append(userDefined[place])
        position = end
        textStart = end
      } else {
        position += bytes.scalar(at: position).byteCount
      }
    }
    writer.write(bytes, textStart..<bytes.count)
  }

  func bytes(of id: Int) -> [UInt8]? {
    guard file.pieces.indices.contains(id) else {
      return addedTokens[id].map { Array($0.content.utf8) }
    }
    let text = file.bytes[file.pieces[id].text]
    switch file.pieces[id].kind {
    case .byte: return ByteToken.byte(of: String(decoding: text, as: UTF8.self)).map { [$0] }
    case .control: return Array(text)
    case .unknown: return file.trainer.unknownSurface
    case .normal, .userDefined, .unused: return SpaceMarker.unmark(text)
    }
  }

  func token(_ id: Int) -> String? {
    file.pieces.indices.contains(id) ? file.text(file.pieces[id]) : addedTokens[id]?.content
  }

  func id(ofToken token: String) -> Int? {
    places[ExactString(token)]
      ?? additions.tokens.first { ExactString($0.content) == ExactString(token) }?.id
  }
}
