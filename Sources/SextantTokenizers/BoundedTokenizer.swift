import SextantBytes

/// A tokenizer with other ids at the beginning and the end of a text than in its own file: from the
/// model's configuration, or from a user.
public struct BoundedTokenizer: Tokenizer {
  private let base: any Tokenizer
  public let beginOfTextIDs: [Int]
  public let endOfTextIDs: [Int]

  /// Changes the tokens that begin and end texts.
  ///
  /// - Parameters:
  ///   - begin: ids to put before a whole text; nil keeps those of the tokenizer.
  ///   - end: ids that end a text; nil keeps those of the tokenizer.
  public init(_ base: any Tokenizer, begin: [Int]? = nil, end: [Int]? = nil) {
    self.base = base
    beginOfTextIDs = begin ?? base.beginOfTextIDs
    endOfTextIDs = end ?? base.endOfTextIDs
  }

  public var endOfTextID: Int? { endOfTextIDs.first }
  public var vocabularySize: Int { base.vocabularySize }
  public var digest: Digest { base.digest }
  public var specialTokenIDs: Set<Int> { base.specialTokenIDs }
  public var addsLeadingSpace: Bool { base.addsLeadingSpace }
  public var takesLongestTokens: Bool { base.takesLongestTokens }
  public func encode(_ text: String) -> [Int] { base.encode(text) }
  public func bytes(of id: Int) -> [UInt8]? { base.bytes(of: id) }
  public func token(_ id: Int) -> String? { base.token(id) }
  public func id(ofToken token: String) -> Int? { base.id(ofToken: token) }
}
