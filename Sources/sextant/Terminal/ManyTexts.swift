import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModels
import SextantReport
import SextantTerminal

/// Generates several texts and prints them.
struct ManyTexts {
  private let generator: Generator
  private let applied: AppliedArtifacts
  private let isJSON: Bool

  init(_ generator: Generator, _ applied: AppliedArtifacts, asJSON isJSON: Bool) {
    (self.generator, self.applied, self.isJSON) = (generator, applied, isJSON)
  }

  /// Continues each prompt, and prints each text under a heading, or all of them as one document.
  ///
  /// - Throws: the errors of generation.
  func generate(
    _ prompts: [[Int]], _ batches: BatchOptions, from state: State?, _ options: GenerationOptions
  ) throws(Refusal) {
    let clock = Stopwatch()
    var notes = TokenTrace(applied.sources)
    var texts: [JSONValue] = []
    var (textCount, tokenCount) = (0, 0)
    // Of the first text in which a vector is too long: the others are about the same.
    var warnings: [String] = []
    let listens = applied.hasReports && isJSON
    try generator.generate(
      prompts, batches, from: state, options,
      telling: listens ? { _, _, record in notes.add(record) } : nil
    ) { text in
      (textCount, tokenCount) = (textCount + 1, tokenCount + text.generated.tokens.count)
      if warnings.isEmpty { warnings = applied.warnings(text.generated.edits) }
      if isJSON {
        texts.append(applied.json(text, prompt: prompts[text.prompt], notes))
      } else {
        show(text)
      }
      notes = TokenTrace(applied.sources)
    }
    let isMeasured = tokenCount > 0 && clock.seconds > 0
    let speed = isMeasured ? Double(tokenCount) / clock.seconds : nil
    guard isJSON else {
      report(prompts.count, textCount, tokenCount, speed)
      return StandardStreams.printWarnings(warnings)
    }
    let document = JSONObject([
      ("texts", .array(texts)), ("generated", JSONValue(tokenCount)),
      ("seconds", JSONValue(finite: clock.seconds)),
      ("tokens_per_second", speed.map { JSONValue(finite: $0) } ?? .null),
    ])
    StandardStreams.print(JSONValue.object(document).prettyText)
  }

  private func show(_ text: SampledText) {
    StandardStreams.print("=== prompt \(text.prompt), sample \(text.sample), seed \(text.seed)")
    StandardStreams.writeGenerated(text.generated.text)
    StandardStreams.write("\n")
  }

  /// Prints the report, after the texts.
  private func report(_ prompts: Int, _ texts: Int, _ tokens: Int, _ speed: Double?) {
    if applied.hasEdits || applied.hasReports {
      StandardStreams.printError("the effect of artifacts on each text: --json")
    }
    StandardStreams.printError(
      "\(counted(prompts, "prompt")), \(counted(texts, "text")), "
        + "\(counted(tokens, "token")) generated, \(speed.map { Format.fixed($0, 1) } ?? "-") tokens/s, prompts included"
    )
  }
}
