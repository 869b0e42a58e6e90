import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantReport
import SextantTokenizers

/// Whether a foreign vector fits.
struct SteerDoctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Tell whether a foreign vector's layers, sign, site and operation fit a model.",
    discussion: """
      Files of other tools count layers from 0 or from 1, before or after a block, and leave the \
      sign to their readers. The vector's directions are laid on a small set of contrast pairs at \
      shifted layers and other sites: where it belongs, it points most closely along the difference \
      of their means (cosine), with the positive texts on the positive side. Separation is how far \
      apart they lie along it, in deviations within the classes.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(help: ArgumentHelp("The steering vector.", valueName: "file"))
  var apply: String

  @OptionGroup(title: "Data") var contrast: ContrastArguments

  @Option(
    help: ArgumentHelp(
      "What questions are put into: \(PromptTemplate.presetNames), or a file.",
      valueName: "name|file"))
  var template: String?

  @Option(help: ArgumentHelp("The largest layer shift to try.", valueName: "layers"))
  var shift = 2

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if contrast.source == nil { throw ValidationError("Name contrast pairs (--pairs …).") }
    if !(0...64).contains(shift) {
      throw ValidationError("--shift is \(shift); it must be 0 to 64.")
    }
  }

  func run() throws {
    guard let source = contrast.source else { return }
    let open = try model.open(beginning)
    let vector = try SteeringVector(reading: apply)
    let pairs = try ContrastPairs(reading: source, template: .named(template))
    let progress = Progress("read", .items("texts"))
    let found = try VectorDoctor(
      vector, model: open.model, tokenizer: open.textTokenizer(), pairs: pairs,
      shifts: -shift...shift
    ) { progress.update($0, $1) }
    progress.clear()
    report(vector, found).print(asJSON: printing.json)
  }

  private func report(_ vector: SteeringVector, _ found: VectorDoctor) -> Report {
    var table = Table(["site", "#layer shift", "#separation", "#cosine", "#layers", "reading"])
    for reading in found.readings {
      let isOwn = reading.place == found.own.place && reading.shift == 0
      table.add([
        "blocks.*.\(reading.place)", reading.shift > 0 ? "+\(reading.shift)" : "\(reading.shift)",
        Format.fixed(reading.separation, 3), Format.fixed(reading.cosine, 3),
        String(reading.layerCount), isOwn ? "the file's" : "",
      ])
    }
    return Report(
      title: "\(printable(apply)): \(verdict(found))",
      facts: [
        ("sign", found.isFlipped ? "turned around: apply it with a negative strength" : "as it is"),
        (
          "operation", "\(vector.operation.rawValue)\(found.operationDoubt.map { ": \($0)" } ?? "")"
        ),
        ("pairs", Format.count(found.pairCount)),
      ],
      tables: [("readings, the best first", table.abbreviated(to: 12))],
      json: JSONObject([
        ("file", .string(apply)), ("verdict", .string(word(found.verdict))),
        ("flipped", .boolean(found.isFlipped)), ("operation", .string(vector.operation.rawValue)),
        ("operation_doubt", found.operationDoubt.map { .string($0) } ?? .null),
        ("pairs", JSONValue(found.pairCount)),
        (
          "readings",
          .array(
            found.readings.map {
              [
                "site": .string("\($0.place)"), "shift": JSONValue($0.shift),
                "separation": JSONValue(finite: $0.separation),
                "cosine": JSONValue(finite: $0.cosine), "layers": JSONValue($0.layerCount),
              ]
            })
        ),
      ]))
  }

  private func word(_ verdict: VectorDoctor.Verdict) -> String {
    switch verdict {
    case .fits: "fits"
    case .other: "other"
    case .unrelated: "unrelated"
    }
  }

  private func verdict(_ found: VectorDoctor) -> String {
    switch found.verdict {
    case .fits: return "its layers and site fit"
    case .unrelated: return "no reading of it separates these pairs"
    case .other:
      guard let best = found.readings.first else { return "" }
      var changes: [String] = []
      if best.shift != 0 {
        changes.append("layers shifted by \(best.shift > 0 ? "+" : "")\(best.shift)")
      }
      if best.place != found.own.place { changes.append("site \(best.place)") }
      return "another reading fits better: \(changes.joined(separator: ", "))"
    }
  }
}
