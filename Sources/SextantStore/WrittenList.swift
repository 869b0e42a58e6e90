import SextantBytes

/// A list in an option, such as `1,3,10-12` or `last,generated`.
package enum WrittenList {
  /// The largest number of members: each one is checked for each token or block.
  package static let limit = 1024

  /// Reads the members, which commas separate.
  ///
  /// - Parameter member: reads one of them.
  /// - Throws: `usage.option` for too many members; the errors of `member`.
  package static func members<Member>(
    of text: String, _ member: (Substring) throws(Refusal) -> Member
  ) throws(Refusal) -> [Member] {
    let words = text.split(separator: ",", omittingEmptySubsequences: false)
    guard words.count <= limit else {
      throw Refusal(
        .usageOption, found: "\(words.count) members", expected: "at most \(limit)")
    }
    return try words.map(member)
  }
}
