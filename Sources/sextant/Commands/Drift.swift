import ArgumentParser
import Glibc
import SextantBytes
import SextantEvaluation
import SextantReport
import SextantTokenizers

/// What fewer bits cost.
struct Drift: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how far models with fewer bits are from a reference.",
    discussion: """
      Every model reads the text token by token and predicts the next one. KL is the divergence \
      of its predictions from the reference's, in nats per token; same best is the share of \
      positions at which both rank the same token first; the logit error is the root of the mean \
      square, and the largest.
      """)

  @Option(
    name: .shortAndLong, parsing: .singleValue,
    help: ArgumentHelp("A model to measure; may be given several times.", valueName: "model.sxt"))
  var model: [String]

  @Option(help: ArgumentHelp("The model to compare with.", valueName: "model.sxt"))
  var reference: String

  @Option(
    help: ArgumentHelp(
      "The text; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var text: PromptArgument

  @OptionGroup var beginning: TextOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var printing: OutputOptions

  func run() throws {
    compute.apply()
    let base = try OpenModel(reference, beginsTexts: !beginning.noBos)
    let tokenizer = try base.textTokenizer()
    let text = try text.text()
    // A token before the first lets that be predicted too, as the model learned texts to begin.
    let tokens = tokenizer.encodeDocument(text)
    let byteCount = tokens.dropFirst().reduce(0) { $0 + (tokenizer.bytes(of: $1)?.count ?? 0) }

    var rows: [(path: String, open: OpenModel, drift: LogitDrift)] = []
    for path in model {
      let open = try OpenModel(path)
      let progress = Progress("drift", .items("tokens"))
      let drift = try LogitDrift(of: open.model, from: base.model, on: tokens) {
        progress.update($0, $1)
      }
      progress.clear()
      rows.append((path, open, drift))
    }
    report(base, rows, byteCount: byteCount).print(asJSON: printing.json)
  }

  private func report(
    _ base: OpenModel, _ rows: [(path: String, open: OpenModel, drift: LogitDrift)], byteCount: Int
  ) -> Report {
    func bitsPerByte(_ loss: Double, _ drift: LogitDrift) -> Double {
      loss * Double(drift.tokenCount) / (log(2) * Double(max(byteCount, 1)))
    }
    var table = Table([
      "weights", "#size", "#bits/byte", "#perplexity", "#change", "#KL", "#same best",
      "#logit error", "#largest",
    ])
    var entries: [JSONValue] = []
    func add(_ open: OpenModel, _ loss: Double, _ drift: LogitDrift, isReference: Bool) {
      let bits = bitsPerByte(loss, drift)
      let change = (exp(loss - drift.referenceLoss) - 1) * 100
      let figures =
        isReference
        ? ["", "", "", "", ""]
        : [
          "\(Format.fixed(change, 3))%", Format.figure(drift.divergence),
          "\(Format.fixed(drift.agreement * 100, 2))%", Format.figure(drift.rootMeanSquare),
          Format.figure(drift.maximum),
        ]
      table.add(
        [
          open.store.variant, Format.bytes(open.store.fileByteCount), Format.fixed(bits, 5),
          Format.fixed(exp(loss), 4),
        ] + figures)
      entries.append([
        "file": .string(open.store.path), "weights": .string(open.store.variant),
        "bytes": JSONValue(open.store.fileByteCount), "loss": JSONValue(finite: loss),
        "bits_per_byte": JSONValue(finite: bits), "perplexity": JSONValue(finite: exp(loss)),
        "kl": JSONValue(finite: isReference ? 0 : drift.divergence),
        "same_best": JSONValue(finite: isReference ? 1 : drift.agreement),
        "logit_rms": JSONValue(finite: isReference ? 0 : drift.rootMeanSquare),
        "logit_max": JSONValue(finite: isReference ? 0 : drift.maximum),
      ])
    }
    if let first = rows.first {
      add(base, first.drift.referenceLoss, first.drift, isReference: true)
    }
    for row in rows { add(row.open, row.drift.loss, row.drift, isReference: false) }
    let strangers = rows.filter { $0.open.store.identity != base.store.identity }
    let count = rows.first?.drift.tokenCount ?? 0
    return Report(
      title: "\(Format.count(count, of: "token")), \(Format.bytes(byteCount)) of text",
      tables: [("against \(printable(reference))", table)],
      notes: strangers.map {
        "\(printable($0.path)) is another model than the reference, not the same in other bits"
      },
      json: JSONObject([
        ("tokens", JSONValue(count)), ("bytes", JSONValue(byteCount)),
        ("reference", entries.first ?? .null), ("rows", .array(Array(entries.dropFirst()))),
      ]))
  }
}
