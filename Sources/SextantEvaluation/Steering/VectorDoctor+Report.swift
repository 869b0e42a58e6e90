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
        ("sign", isFlipped ? "reversed: apply it with a negative strength" : "as it is"),
        ("operation", "\(vector.operation.rawValue)\(operationDoubt.map { ": \($0)" } ?? "")"),
        ("pairs", Format.count(pairCount)),
      ],
      tables: [("readings, the best first", table.abbreviated(to: 12))],
      json: JSONObject([
        ("file", .string(file)), ("verdict", .string(word)),
        ("flipped", .boolean(isFlipped)), ("operation", .string(vector.operation.rawValue)),
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
    case .unrelated: return "no reading of the vector separates these pairs"
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
