import SextantBytes

/// Byte-level byte-pair encoding, as GPT-2, GPT-NeoX and their successors use it, read from a
/// `tokenizer.json` of the `tokenizers` package.
///
/// Encoding: added tokens are cut out of the text, what remains is normalised and split into
/// words, and the bytes of each word are merged pair by pair in the order of the vocabulary's
/// merges (Sennrich et al. 2016). Every byte has a token, so that every text can be encoded.
///
/// The ids are the ones that the package gives with `add_special_tokens=False`, without truncation
/// and padding.
struct ByteLevelBPE: TokenizerFormat {
  /// The parts, as the file declares them.
  struct Parts {
    var vocabulary: Vocabulary
    /// The id of each of the 256 bytes; -1 for bytes that UTF-8 never has.
    var byteIDs: [Int32]
    var merges: MergeTable
    /// Where the merges do not matter for words that are tokens by themselves: the tokens of the
    /// model, without added ones.
    var wholeWords: Vocabulary?
    var usesNFC: Bool
    var preTokenizer: PreTokenizer
    var addedTokens: [AddedToken]
    /// Finds added tokens in the text as it is.
    var rawMatcher: AddedTokenMatcher
    /// Finds added tokens in normalised text.
    var normalizedMatcher: AddedTokenMatcher
  }

  private let parts: Parts
  let digest: Digest
  let specialTokenIDs: Set<Int>
  let endOfTextID: Int?

  static func recognizes(_ source: TokenizerSource) -> Bool { source.json != nil }

  init(_ source: TokenizerSource) throws(FormatError) {
    guard let json = source.json else {
      throw FormatError(
        .tokenizerInvalid, file: source.file, found: "no JSON object", expected: "a tokenizer.json")
    }
    parts = try TokenizerJSON(root: json).parts()
    digest = source.digest
    let special = parts.addedTokens.filter(\.special)
    specialTokenIDs = Set(special.map(\.id))
    endOfTextID =
      Self.endOfTextNames.lazy.compactMap { name in
        special.first { $0.content.utf8.elementsEqual(name.utf8) }?.id
      }.first
  }

  /// The names under which special tokens end a text, the most telling first.
  private static let endOfTextNames = [
    "<|endoftext|>", "<|end_of_text|>", "<|end▁of▁sentence|>", "</s>", "<eos>", "[EOS]",
  ]

  var vocabularySize: Int { parts.vocabulary.size }

  func bytes(of id: Int) -> [UInt8]? { parts.vocabulary.bytes(of: id) }

  func token(_ id: Int) -> String? { parts.vocabulary.token(id) }

  func id(ofToken token: String) -> Int? { parts.vocabulary.id(of: token) }

  func encode(_ text: String) -> [Int] {
    let bytes = Array(text.utf8)
    var writer = WordWriter(parts: parts, textByteCount: bytes.count)
    for piece in parts.rawMatcher.pieces(of: bytes) {
      switch piece {
      case .token(let id): writer.ids.append(id)
      case .text(let range): encodeRaw(bytes, range, into: &writer)
      }
    }
    return writer.ids
  }

  private func encodeRaw(_ bytes: [UInt8], _ range: Range<Int>, into writer: inout WordWriter) {
    var text = range.count == bytes.count ? bytes : Array(bytes[range])
    if parts.usesNFC, let composed = NFC.normalize(text) { text = composed }
    for piece in parts.normalizedMatcher.pieces(of: text) {
      switch piece {
      case .token(let id): writer.ids.append(id)
      case .text(let range):
        parts.preTokenizer.forEachWord(in: text, range: range) { writer.write($0, $1) }
      }
    }
  }
}

/// Writes the ids of words, each merged once.
private struct WordWriter {
  var ids: [Int] = []
  private let wholeWords: Vocabulary?
  private var merger: BytePairMerger
  private var cache: WordCache

  init(parts: ByteLevelBPE.Parts, textByteCount: Int) {
    wholeWords = parts.wholeWords
    merger = BytePairMerger(merges: parts.merges, byteIDs: parts.byteIDs)
    cache = WordCache(textByteCount: textByteCount)
    ids.reserveCapacity(textByteCount / 3)
  }

  mutating func write(_ bytes: [UInt8], _ range: Range<Int>) {
    let (known, place) = cache.find(bytes, range)
    if let known {
      // Not `append(contentsOf: ids[known])`: the slice would share the storage and force a copy.
      for place in known { ids.append(ids[place]) }
      return
    }
    let start = ids.count
    if let whole = wholeWordID(bytes, range) {
      ids.append(whole)
    } else {
      merger.merge(bytes, range, into: &ids)
    }
    if let place { cache.remember(bytes, range, at: place, ids: start..<ids.count) }
  }

  private func wholeWordID(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
    guard let wholeWords else { return nil }
    return wholeWords.id(of: ByteAlphabet.token(of: bytes[range]))
  }
}
