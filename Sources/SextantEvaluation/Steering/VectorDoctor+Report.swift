import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantReport

extension VectorDoctor {
  /// Which reading of a vector fits, and how well each does.
  ///
  /// - Parameter vector: the vector that was examined.
  package func report(of vector: SteeringVector) -> Report {
    let file = vector.file ?? ""
    return Report(
      title: "\(printable(file)): \(sentence)",
      facts: [
        ("sign", sign),
        ("operation", "\(vector.operation.rawValue)\(operationDoubt.map { ": \($0)" } ?? "")"),
        ("pairs", Format.count(pairCount)),
      ],
      tables: [("readings, the largest cosine first", table.abbreviated(to: 12))],
      notes: closeNote,
      json: JSONObject([
        ("file", .string(file)), ("verdict", .string(word)),
        ("flipped", verdict == .unrelated ? .null : .boolean(isFlipped)),
        ("operation", .string(vector.operation.rawValue)),
        ("operation_doubt", operationDoubt.map { .string($0) } ?? .null),
        ("pairs", JSONValue(pairCount)),
        (
          "readings",
          .array(
            readings.map {
              [
                "site": .string("\($0.place)"), "shift": JSONValue($0.shift),
                "separation": JSONValue(finite: $0.separation),
                "cosine": JSONValue(finite: $0.cosine), "layers": JSONValue($0.layerCount),
              ]
            })
        ),
      ]))
  }

  /// The sign of the vector, which only a reading that fits can tell.
  private var sign: String {
    switch verdict {
    case .unrelated: "unknown, because no reading fits"
    case .fits, .other: isFlipped ? "reversed: apply it with a negative strength" : "as it is"
    }
  }

  /// Why the file's own reading fits although the table has a larger cosine.
  private var closeNote: [String] {
    let rival = readings.first { !$0.isSameStream(as: own) }
    guard verdict == .fits, let rival, abs(rival.cosine) > abs(own.cosine) else { return [] }
    return [
      "the cosine of another reading is larger, and by too little to decide against the file's"
    ]
  }

  private var table: Table {
    var table = Table(["site", "#layer shift", "#separation", "#cosine", "#layers", "reading"])
    for reading in readings {
      let isOwn = reading.place == own.place && reading.shift == 0
      table.add([
        "blocks.*.\(reading.place)", reading.shift > 0 ? "+\(reading.shift)" : "\(reading.shift)",
        Format.fixed(reading.separation, 3), Format.fixed(reading.cosine, 3),
        String(reading.layerCount), isOwn ? "the file's" : "",
      ])
    }
    return table
  }

  private var word: String {
    switch verdict {
    case .fits: "fits"
    case .other: "other"
    case .unrelated: "unrelated"
    }
  }

  private var sentence: String {
    switch verdict {
    case .fits: return "its layers and site fit"
    case .unrelated: return "no reading of the vector has the direction of these pairs"
    case .other:
      guard let best = readings.first else { return "" }
      var changes: [String] = []
      if best.shift != 0 {
        changes.append("layers shifted by \(best.shift > 0 ? "+" : "")\(best.shift)")
      }
      if best.place != own.place { changes.append("site \(best.place)") }
      return "another reading fits better: \(changes.joined(separator: ", "))"
    }
  }
}
