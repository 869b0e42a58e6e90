/// Neighbouring bytes of a file that is open for reading.
public struct FilePart: Sendable {
  /// The file.
  public let file: InputFile
  /// The bytes, from the file's beginning.
  public let range: Range<Int>

  /// The bytes `range` of a file, which need not have them: reading refuses then.
  public init(_ file: InputFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }
}
