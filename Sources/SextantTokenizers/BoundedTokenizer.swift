import SextantBytes

/// A tokenizer with other ids at the beginning and the end of a text than in its own file: from the
/// model's configuration, or from a user.
package struct BoundedTokenizer: WrappingTokenizer {
  package let base: any Tokenizer
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
}
