import SextantBytes

/// Byte-level byte-pair encoding, as GPT-2, GPT-NeoX and their successors use it, read from a
/// `tokenizer.json` of the `tokenizers` package.
///
/// Encoding: the text is split at added tokens, the rest is normalised and split into words, and
/// the bytes of each word are merged pair by pair in the order of the vocabulary's merges (Sennrich
/// et al. 2016). Every byte has a token, so that every text can be encoded.
///
/// The ids of `encode` are the ones that the package gives with `add_special_tokens=False`, without
/// truncation and padding.
struct ByteLevelBPE: TokenizerFormat {
  /// The parts, as the file declares them.
  struct Parts {
    var vocabulary: Vocabulary
    /// The id of each of the 256 bytes; -1 for bytes that UTF-8 never has.
    var byteIDs: [Int32]
    var merges: MergeTable
    /// If words that are tokens are not merged: the tokens of the model, without added ones.
    var wholeWords: Vocabulary?
    var preTokenizer: PreTokenizer
    var added: AddedTokens
    var beginOfTextIDs: [Int]
  }

  private let parts: Parts
  let digest: Digest
  let specialTokenIDs: Set<Int>
  let endOfTextID: Int?

  /// Any JSON that is of no other format: its refusals are the ones to read.
  static func recognizes(_ source: TokenizerSource) -> Bool { source.json != nil }

  init(_ source: TokenizerSource) throws(Refusal) {
    parts = try Parts(TokenizerJSON(source))
    digest = source.digest
    specialTokenIDs = parts.added.specialTokenIDs
    endOfTextID = parts.added.endOfTextID
  }

  var vocabularySize: Int { parts.vocabulary.size }

  var beginOfTextIDs: [Int] { parts.beginOfTextIDs }

  func bytes(of id: Int) -> [UInt8]? {
    parts.vocabulary.spelling(of: id).map { ByteAlphabet.bytes(of: $0) }
  }

  func token(_ id: Int) -> String? { parts.vocabulary.token(id) }

  func id(ofToken token: String) -> Int? { parts.vocabulary.id(of: token) }

  func encode(_ text: String) -> [Int] { encode(text, literally: []) }

  func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int] {
    var writer = WordWriter(parts: parts, textByteCount: text.utf8.count)
    parts.added.forEachPiece(of: text, literally: ranges) { piece in
      switch piece {
      case .token(let id): writer.ids.append(id)
      case .text(let bytes, let range, let isStart):
        parts.preTokenizer.forEachWord(in: bytes, range: range, isStart: isStart) {
          writer.write($0, $1)
        }
      }
    }
    return writer.ids
  }
}

/// Writes the ids of words, each merged once.
private struct WordWriter {
  var ids: [Int] = []
  private let wholeWords: Vocabulary?
  private let byteIDs: [Int32]
  private var merger: PairMerger
  private var symbols: [Int32] = []
  private var cache: WordCache

  init(parts: ByteLevelBPE.Parts, textByteCount: Int) {
    wholeWords = parts.wholeWords
    byteIDs = parts.byteIDs
    merger = PairMerger(merges: parts.merges)
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
      merge(bytes, range)
    }
    if let place { cache.remember(bytes, range, at: place, ids: start..<ids.count) }
  }

  private mutating func merge(_ bytes: [UInt8], _ range: Range<Int>) {
    symbols.removeAll(keepingCapacity: true)
    for position in range {
      let id = byteIDs[Int(bytes[position])]
      if id >= 0 { symbols.append(id) }
    }
    merger.merge(&symbols)
    for symbol in symbols where symbol != PairMerger.absent { ids.append(Int(symbol)) }
  }

  private func wholeWordID(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
    guard let wholeWords else { return nil }
    return wholeWords.id(of: ByteAlphabet.token(of: bytes[range]))
  }
}
