import SextantBytes

/// Text to token ids and back.
///
/// Ids are the ones that the model's embedding table is indexed with. Nothing is padded or cut.
public protocol Tokenizer: Sendable {
  /// One more than the highest id. Ids below it may still be unused.
  var vocabularySize: Int { get }

  /// SHA-256 over the bytes of the tokenizer's file.
  var digest: Digest { get }

  /// The ids of control tokens without text.
  var specialTokenIDs: Set<Int> { get }

  /// The id that ends a text; nil if none is known.
  var endOfTextID: Int? { get }

  /// All ids that end a text, `endOfTextID` first.
  ///
  /// A tokenizer's own file lets one be known at most. The configuration of a model may name several
  /// (`ModelTokenizer`).
  var endOfTextIDs: [Int] { get }

  /// The ids that the tokenizer's rule puts before a whole text; usually none or one.
  var beginOfTextIDs: [Int] { get }

  /// Whether `encode` puts a space before a text that `decode` takes away again.
  ///
  /// The ids of a text's continuation then decode to their own text with `StreamingDecoder`, which
  /// has an option for this.
  var addsLeadingSpace: Bool { get }

  /// Whether a text is cut from left to right, each time by the longest token that fits.
  var takesLongestTokens: Bool { get }

  /// The ids of a text, or of a part of one, without tokens before or after it. Special tokens
  /// spelled out in the text become their ids, if the format supports this.
  func encode(_ text: String) -> [Int]

  /// The ids of a text of which parts came from others. In these parts, special tokens spelled out are text
  /// like any other; in the rest they are tokens, in every format that has some.
  ///
  /// - Parameter ranges: ranges of the text's UTF-8 bytes, in order.
  func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int]

  /// The ids of a whole text, with those that begin it.
  ///
  /// A text that spells out the token that begins a text gets another one, as in transformers.
  ///
  /// - Parameter continues: whether the text continues a state. Such a text has no beginning of its
  ///   own: the tokens that begin a text were read, if at all, with the text of the state.
  /// - Throws: `chat.messages` if texts are read as messages, and the chat template has no place for this
  ///   one.
  func encodeText(_ text: String, continues: Bool) throws(Refusal) -> [Int]

  /// What manifests record of the way in which texts are read; nil if nothing is put around them.
  var readingRecord: JSONObject? { get }

  /// The bytes of an id; nil for an id without a token.
  ///
  /// They need not be UTF-8 by themselves: one character may be spread over several tokens.
  func bytes(of id: Int) -> [UInt8]?

  /// The token of an id as the tokenizer's file spells it; nil for an id without a token.
  func token(_ id: Int) -> String?

  /// The id of a token as the tokenizer's file spells it.
  func id(ofToken token: String) -> Int?
}

extension Tokenizer {
  /// The one that is known.
  public var endOfTextIDs: [Int] { endOfTextID.map { [$0] } ?? [] }

  /// Formats in which no text spells a special token.
  public func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int] { encode(text) }

  /// Most formats have no such rule.
  public var beginOfTextIDs: [Int] { [] }

  /// The text after the ids that begin one.
  public func encodeText(_ text: String, continues: Bool) throws(Refusal) -> [Int] {
    (continues ? [] : beginOfTextIDs) + encode(text)
  }

  /// The ids of a whole text that continues nothing.
  ///
  /// - Throws: as `encodeText(_:continues:)`.
  public func encodeText(_ text: String) throws(Refusal) -> [Int] {
    try encodeText(text, continues: false)
  }

  /// Most tokenizers put nothing around a text.
  public var readingRecord: JSONObject? { nil }

  /// The ids of a document among others: after the tokens that begin a text, or, if the tokenizer
  /// has no such rule, after the one that ends the previous text.
  public func encodeDocument(_ text: String) -> [Int] {
    let begin = beginOfTextIDs
    return (begin.isEmpty ? endOfTextID.map { [$0] } ?? [] : begin) + encode(text)
  }

  /// Most formats add nothing.
  public var addsLeadingSpace: Bool { false }

  /// Most formats merge pairs.
  public var takesLongestTokens: Bool { false }

  /// The text of ids, special tokens included; ids without a token are passed over.
  ///
  /// Bytes that are not UTF-8 become U+FFFD, one for each maximal part of a sequence (Unicode
  /// 17.0, section 3.9, "substitution of maximal subparts").
  public func decode(_ ids: [Int]) -> String {
    var bytes: [UInt8] = []
    for id in ids {
      if let part = self.bytes(of: id) { bytes += part }
    }
    if addsLeadingSpace, bytes.first == UInt8(ascii: " ") { bytes.removeFirst() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The text of ids without special tokens.
  public func decodeSkippingSpecialTokens(_ ids: [Int]) -> String {
    let special = specialTokenIDs
    return decode(ids.filter { !special.contains($0) })
  }
}
