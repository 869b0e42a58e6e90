import SextantBytes

/// A tokenizer with other ids at the beginning and the end of a text than in its own file: from the
/// model's configuration, or from a user.
package struct BoundedTokenizer: Tokenizer {
  private let base: any Tokenizer
  package let beginOfTextIDs: [Int]
  package let endOfTextIDs: [Int]

  /// Changes the tokens that begin and end texts.
  ///
  /// - Parameters:
  ///   - begin: ids to put before a whole text; nil keeps those of the tokenizer.
  ///   - end: ids that end a text; nil keeps those of the tokenizer.
  package init(_ base: any Tokenizer, begin: [Int]? = nil, end: [Int]? = nil) {
    self.base = base
    beginOfTextIDs = begin ?? base.beginOfTextIDs
    endOfTextIDs = end ?? base.endOfTextIDs
  }

  package var endOfTextID: Int? { endOfTextIDs.first }
  package var vocabularySize: Int { base.vocabularySize }
  package var digest: Digest { base.digest }
  package var specialTokenIDs: Set<Int> { base.specialTokenIDs }
  package var addsLeadingSpace: Bool { base.addsLeadingSpace }
  package var takesLongestTokens: Bool { base.takesLongestTokens }
  package func encode(_ text: String) -> [Int] { base.encode(text) }
  package func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int] {
    base.encode(text, literally: ranges)
  }
  package var readingRecord: JSONObject? { base.readingRecord }
  package func bytes(of id: Int) -> [UInt8]? { base.bytes(of: id) }
  package func token(_ id: Int) -> String? { base.token(id) }
  package func id(ofToken token: String) -> Int? { base.id(ofToken: token) }
}
