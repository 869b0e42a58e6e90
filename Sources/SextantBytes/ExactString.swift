/// A string that is compared byte by byte.
///
/// Swift's `String` treats canonically equivalent texts as equal: "é" composed and decomposed
/// would be one dictionary key, and one of two tensors of a hostile file would disappear.
package struct ExactString: Hashable, Sendable, Comparable {
  /// The text.
  package let string: String

  /// Wraps a string.
  package init(_ string: String) {
    self.string = string
  }

  /// Equality of the UTF-8 bytes.
  package static func == (a: ExactString, b: ExactString) -> Bool {
    a.string.utf8.elementsEqual(b.string.utf8)
  }

  /// Lexicographic order of the UTF-8 bytes.
  package static func < (a: ExactString, b: ExactString) -> Bool {
    a.string.utf8.lexicographicallyPrecedes(b.string.utf8)
  }

  /// Hashes the UTF-8 bytes.
  package func hash(into hasher: inout Hasher) {
    var copy = string
    copy.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    hasher.combine(0xFF as UInt8)
  }
}
