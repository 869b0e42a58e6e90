import SextantBytes

/// The labels of records, and which of their values is which class.
package struct LabelColumn: Sendable, CustomStringConvertible {
  /// The labels, in the order of the records.
  package let labels: [Bool]
  /// Which values are which class, such as `label "spam": yes is true (12 records), no is false (13)`.
  package let description: String

  /// The values of each class, in lower case, with the usual minus sign.
  private static let (trues, falses): (Set<String>, Set<String>) = (
    ["1", "true", "yes", "t", "y"], ["0", "-1", "false", "no", "f", "n"]
  )

  /// Reads the field of each record.
  ///
  /// - Parameter records: the records with their places in the file, from 0.
  /// - Throws: `data.record` for a record without the field, a value that is not a label, or both 0
  ///   and -1: such a field has three values.
  package init(
    _ field: String, of records: [(index: Int, record: LabelledRecord)], file: String?
  ) throws(Refusal) {
    var labels: [Bool] = []
    var counts: [(spelling: String, label: Bool, count: Int)] = []
    for (index, record) in records {
      guard let spelling = record.text(of: field), let label = record.label(of: field) else {
        throw Self.refusal(record, field, at: index, file)
      }
      labels.append(label)
      if let known = counts.firstIndex(where: { $0.spelling == spelling }) {
        counts[known].count += 1
      } else {
        counts.append((spelling, label, 1))
      }
    }
    let words = Set(counts.map { Self.word($0.spelling) })
    guard !words.isSuperset(of: ["0", "-1"]) else {
      throw Refusal(
        .dataRecord, file: file, at: .pointer("/\(field)"), found: "labels 0 and -1",
        expected: "two classes: 1 and 0, or 1 and -1")
    }
    self.labels = labels
    let classes = [true, false].map { label in
      let own = counts.filter { $0.label == label }
      let spellings = own.isEmpty ? "nothing" : own.map(\.spelling).joined(separator: ", ")
      let count = own.reduce(0) { $0 + $1.count }
      return "\(spellings) is \(label) (\(counted(count, "record")))"
    }
    description = "label \"\(field)\": \(classes.joined(separator: ", "))"
  }

  private static func refusal(
    _ record: LabelledRecord, _ field: String, at index: Int, _ file: String?
  ) -> Refusal {
    let names = record.fields.members.map { "\"\($0.key)\"" }.joined(separator: ", ")
    let pointer = "/\(index)/\(field)"
    if let value = record.fields[field] {
      return JSONNode(value, code: .dataRecord, file: file, pointer: pointer)
        .refusal(expected: "a label: 1 and 0 (or -1), true and false, yes and no")
    }
    return Refusal(
      .dataRecord, file: file, at: .pointer(pointer),
      found: "no field \"\(field)\"; the fields are \(names)", expected: "the field of `label`")
  }

  /// The label of one record; nil if the field is none.
  static func label(of record: LabelledRecord, _ field: String) -> Bool? {
    guard let spelling = record.text(of: field) else { return nil }
    let word = word(spelling)
    return trues.contains(word) ? true : falses.contains(word) ? false : nil
  }

  /// A value without spaces around it and capitals, with `-` for U+2212, and whole numbers as integers.
  private static func word(_ spelling: String) -> String {
    var word = String(spelling.lowercased().map { $0 == "\u{2212}" ? "-" : $0 })
    while word.last?.isWhitespace == true { word.removeLast() }
    while word.first?.isWhitespace == true { word.removeFirst() }
    guard let number = Double(word), abs(number) <= 1, number == number.rounded() else {
      return word
    }
    return String(Int(number))
  }
}
