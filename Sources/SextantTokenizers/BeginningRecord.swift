import SextantBytes

/// The tokens that were put before each text, as manifests record them.
///
/// A manifest of texts without such tokens has no record, as those have that were written before there
/// were any.
package enum BeginningRecord {
  /// The member's key.
  package static let key = "begin_of_text"

  /// A record of texts, with the ids that were put before each one.
  package static func adding(_ ids: [Int], to record: JSONObject) -> JSONObject {
    guard !ids.isEmpty else { return record }
    var record = record
    record[key] = .array(ids.map { .integer(Int64($0)) })
    return record
  }

  /// The ids that a record names; none if it has no such member.
  ///
  /// - Throws: `artifact.schema` for what is not a list of ids.
  package static func read(_ record: JSONObject, file: String?) throws(Refusal) -> [Int] {
    let node = JSONNode(.object(record), code: .artifactSchema, file: file, pointer: "/data")
    var ids: [Int] = []
    for id in try node.optionalMember(key)?.elements() ?? [] {
      ids.append(try id.integer(in: 0...Int(Int32.max)))
    }
    return ids
  }
}

extension Tokenizer {
  /// A manifest's record of texts that `encodeText` made ids of.
  package func recordingBeginning(in record: JSONObject) -> JSONObject {
    var record = BeginningRecord.adding(beginOfTextIDs, to: record)
    if let reading = readingRecord { record["chat"] = .object(reading) }
    return record
  }
}
