import SextantBytes
import SextantGeneration
import SextantStore

/// What is reported of one token, under the key `sextant` of an answer.
struct ReportLines {
  private let request: TextRequest
  private let count: Int

  init(_ request: TextRequest) {
    self.request = request
    count = request.steering.items.count
  }

  /// The report of a token.
  func line(_ record: TokenRecord) -> JSONObject {
    var line = JSONObject([
      (
        "token",
        [
          "id": .integer(Int64(record.token)), "position": .integer(Int64(record.position)),
          "text": .string(record.text), "prompt": .boolean(record.isPrompt),
        ]
      )
    ])
    var probes: [JSONValue] = []
    for (item, report) in record.reports where item >= count {
      let name = request.reports.names[item - count]
      if case .object(let scores)? = report["scores"] {
        probes += scores.members.map { entry, score in
          ["name": .string("\(name)#\(entry)"), "score": score]
        }
      } else if case .array(let layers)? = report["layers"] {
        line["lens"] = .array(layers.map(Self.lensRow))
      }
    }
    if !probes.isEmpty { line["probes"] = .array(probes) }
    if request.reports.edits { line["edits"] = .array(record.edits.map(edit)) }
    return line
  }

  /// A row of the lens: the block, and the most probable tokens as id, probability and text.
  private static func lensRow(_ layer: JSONValue) -> JSONValue {
    guard case .object(let layer) = layer else { return .null }
    var row = JSONObject()
    if case .string(let name)? = layer["site"] {
      row["site"] = .string(name)
      row["block"] = Site(name: name)?.block.map { .integer(Int64($0)) } ?? .null
    }
    if case .array(let guesses)? = layer["top"] {
      row["top"] = .array(
        guesses.map { guess in
          guard case .object(let guess) = guess else { return .null }
          return .array([
            guess["token"] ?? .null, guess["p"] ?? .null, guess["text"] ?? .null,
          ])
        })
    }
    for name in ["entropy", "kl"] { row[name] = layer[name] }
    return .object(row)
  }

  private func edit(_ record: EditRecord) -> JSONValue {
    var edit = JSONObject([
      ("site", .string(record.site.name)), ("edited", .boolean(record.isEdited)),
      (
        "steering",
        .array(record.items.filter { $0 < count }.map { .string(request.steering.names[$0]) })
      ),
      ("norms", [.number(record.norms.before), .number(record.norms.after)]),
    ])
    if let gate = record.gate {
      edit["gate"] = [
        "open": .boolean(gate.isOpen), "score": gate.score.map { .number($0) } ?? .null,
      ]
    }
    return .object(edit)
  }
}
