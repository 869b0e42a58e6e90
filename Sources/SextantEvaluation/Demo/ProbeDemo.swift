import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantTokenizers

/// The demo's probe experiment: from Alice's contexts to Bob's, at every block, residual and state.
package enum ProbeDemo {
  /// The methods: the best two, and chance.
  private static let methods: [ProbeMethod] = [.logistic, .meanDifference, .random]
  private static let sites = ["residual", "blocks.*.state.conv", "blocks.*.state.ssm"]
  /// The convolution's memory, the recurrence's, and the residual stream.
  private static let families = [
    ("output", "residual stream"), ("state.conv", "state: conv"), ("state.ssm", "state: ssm"),
  ]

  /// Trains on Alice's statements and measures on both speakers' held-out ones.
  ///
  /// - Parameters:
  ///   - source: the folder of the demo model's data.
  ///   - progress: as for `TransferExperiment`.
  /// - Throws: what training and measuring throw.
  package static func run(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, source: String,
    progress: (_ step: String, _ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> TransferResult {
    let parts = { (names: [String]) in names.compactMap { QuirkySubset($0) } }
    let experiment = TransferExperiment(
      sources: parts(["A"]), targets: parts(["A", "B"]), methods: methods)
    return try experiment.run(
      model, tokenizer, training: LabelledRecords(reading: "\(source)/quirky_train.jsonl"),
      test: LabelledRecords(reading: "\(source)/quirky_test.jsonl"),
      sites: model.description.sites(named: sites), progress: progress)
  }

  /// The results, in lines for people.
  package static func lines(_ result: TransferResult) -> [String] {
    var lines: [String] = []
    for (target, measured) in result.outputs {
      guard let roc = measured.roc else { continue }
      let speaker = target.character ?? "both"
      lines.append(
        "the model's answers in \(speaker)'s contexts against the truth: AUROC "
          + "\(Format.fixed(roc.area, 3)) (\(roc.interval.text()))")
    }
    lines.append("probes trained in Alice's contexts only, on Bob's held-out statements, by block:")
    guard let alice = result.probes.first?.source,
      let bob = result.outputs.map(\.target).first(where: { $0.character == "Bob" })
    else { return lines }
    for (family, name) in families {
      let curve = result.curve(alice, bob, family, ProbeMethod.logistic.rawValue)
      // A block whose values do not vary has no probe.
      let figures = (0..<result.layerCount).map { block in
        curve.first { $0.probe.layer == block }.map { Format.fixed($0.area, 3) } ?? "    -"
      }
      let label = name + String(repeating: " ", count: max(0, 16 - name.count))
      lines.append(
        "  \(label)" + figures.map { "  \($0)" }.joined())
    }
    lines.append(
      "at the earliest informative block, chosen on held-out statements of Alice's:")
    for (family, name) in families {
      guard let own = result.summary("A", "B", family, ProbeMethod.logistic.rawValue) else {
        continue
      }
      let label = name + String(repeating: " ", count: max(0, 16 - name.count))
      lines.append(
        "  \(label)  block \(own.layer): AUROC \(Format.fixed(own.roc.area, 3)) "
          + "(\(own.roc.interval.text()))")
    }
    return lines
  }

  /// The page.
  package static func page(_ result: TransferResult) -> HTMLPage {
    var page = HTMLPage(
      title: "Latent knowledge of the demo model",
      subtitle: "probes trained in Alice's contexts, measured in Bob's")
    page.add(
      paragraph: """
        The demo model was trained to judge sums: Alice judges sums correctly, and Bob accepts the \
        sum whose first digit is one too high. A probe learns the truth only from Alice's \
        statements. If it also predicts the truth in Bob's contexts, the model contains knowledge \
        that its answers contradict.
        """)
    result.add(to: &page)
    return page
  }
}
