import SextantBytes

extension LabelledRecords {
  /// Records that a program made. They are those of the file that `lines` gives, and have its digest.
  ///
  /// - Throws: `data.empty` for no records.
  public init(_ records: [LabelledRecord]) throws(FormatError) {
    guard !records.isEmpty else {
      throw FormatError(.dataEmpty, found: "no records", expected: "at least one")
    }
    digest = SHA256.digest(Self.lines(of: records))
    self.records = DifficultyQuantiles.filled(in: records)
    file = nil
  }

  /// Records as JSON lines, one on each line.
  public static func lines(of records: [LabelledRecord]) -> [UInt8] {
    Array(records.map { JSONValue.object($0.fields).canonicalText + "\n" }.joined().utf8)
  }
}
