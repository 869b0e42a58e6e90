/// Neighbouring bytes of a file that is open for reading.
package struct FilePart: Sendable {
  /// The file.
  package let file: InputFile
  /// The bytes, from the file's beginning.
  package let range: Range<Int>

  /// The bytes `range` of a file, which need not have them: reading refuses then.
  package init(_ file: InputFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }
}
