import SextantBytes

/// A tokenizer that is another one, except for what it states itself.
package protocol WrappingTokenizer: Tokenizer {
  /// The other tokenizer.
  var base: any Tokenizer { get }
}

extension WrappingTokenizer {
  package var endOfTextID: Int? { base.endOfTextID }
  package var beginOfTextIDs: [Int] { base.beginOfTextIDs }
  package var readingRecord: JSONObject? { base.readingRecord }
  package var vocabularySize: Int { base.vocabularySize }
  package var digest: Digest { base.digest }
  package var specialTokenIDs: Set<Int> { base.specialTokenIDs }
  package var addsLeadingSpace: Bool { base.addsLeadingSpace }
  package var takesLongestTokens: Bool { base.takesLongestTokens }
  package func encode(_ text: String) -> [Int] { base.encode(text) }
  package func encode(_ text: String, literally ranges: [Range<Int>]) -> [Int] {
    base.encode(text, literally: ranges)
  }
  package func bytes(of id: Int) -> [UInt8]? { base.bytes(of: id) }
  package func token(_ id: Int) -> String? { base.token(id) }
  package func id(ofToken token: String) -> Int? { base.id(ofToken: token) }
}
