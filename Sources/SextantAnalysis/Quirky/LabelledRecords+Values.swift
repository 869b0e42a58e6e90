import SextantBytes
import SextantTexts

extension LabelledRecords {
  /// Records that a program made. They are those of the file that `jsonLines(of:)` returns, and have its digest.
  ///
  /// - Throws: `data.empty` for no records.
  public init(_ records: [LabelledRecord]) throws(Refusal) {
    guard !records.isEmpty else {
      throw Refusal(.dataEmpty, found: "no records", expected: "at least one")
    }
    digest = SHA256.digest(Self.jsonLines(of: records))
    self.records = DifficultyQuantiles.filled(in: records)
    file = nil
  }

  /// The bytes of a file of JSON lines with these records.
  public static func jsonLines(of records: [LabelledRecord]) -> [UInt8] {
    TextFile.jsonLines(records.map(\.fields))
  }
}
