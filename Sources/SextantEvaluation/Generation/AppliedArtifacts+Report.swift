import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore

extension AppliedArtifacts {
  /// The artifacts, for a trace.
  package var sources: [TokenTrace.Source] {
    zip(files, kinds).map { TokenTrace.Source(file: $0.path, kind: $1) }
  }

  /// The edits, for people: a line for each artifact that edits.
  package func lines(_ summaries: [EditSummary]) -> [String] {
    summaries.map { summary in
      let file = files[summary.item]
      let verb = kinds[summary.item] == SteeringVector.name ? "steered" : "erased"
      return "\(verb) \(counted(summary.tokens, "token")) x \(counted(summary.sites, "site")) "
        + "(\(printable(file.path)), strength \(file.strength.text)"
        + (file.strength.unit == .nats ? ", found at \(summary.strength))" : ")")
    }
  }

  /// Warnings of vectors that are longer than the values that they are added to.
  package func warnings(_ summaries: [EditSummary]) -> [String] {
    summaries.compactMap { summary in
      guard let addition = summary.largestAddition, addition.share > 1 else { return nil }
      let file = files[summary.item]
      return "at \(addition.site) the addition of \(printable(file.path)), strength "
        + "\(file.strength.text), is \(Format.figure(addition.share)) times as long as the value there; the "
        + "text is probably nonsense. Lower the strength: 10% is a tenth of the values' norm"
    }
  }

  /// A text and its edits, for programs.
  ///
  /// - Parameter notes: the reports of probes and lenses on its tokens.
  package func json(_ text: GeneratedText, prompt: [Int], _ notes: TokenTrace) -> JSONObject {
    JSONObject([
      ("prompt_tokens", .array(prompt.map { JSONValue($0) })),
      ("tokens", .array(text.tokens.map { JSONValue($0) })), ("text", .string(text.text)),
      ("steered", json(text.edits)),
      ("reports", .array(hasReports ? notes.lines.map { .object($0) } : [])),
      ("stopped", .boolean(text.wasStopped)), ("ending", .string(text.ending.rawValue)),
      ("tokens_per_second", text.tokensPerSecond.map { JSONValue(finite: $0) } ?? .null),
    ])
  }

  /// One of several texts and what was done to it, for programs.
  package func json(_ text: SampledText, prompt: [Int], _ notes: TokenTrace) -> JSONValue {
    // JSON integers have 63 bits here; a larger seed is written as a string, so that it stays exact.
    let seed = Int64(exactly: text.seed).map { JSONValue.integer($0) } ?? .string("\(text.seed)")
    return .object(
      JSONObject([
        ("prompt", JSONValue(text.prompt)), ("sample", JSONValue(text.sample)), ("seed", seed),
      ]).with(json(text.generated, prompt: prompt, notes)))
  }

  /// The edits, for programs.
  package func json(_ summaries: [EditSummary]) -> JSONValue {
    .array(
      summaries.map { summary in
        let file = files[summary.item]
        return [
          "file": .string(file.path), "kind": .string(kinds[summary.item]),
          "asked": .string(file.strength.text),
          "strength": summary.layerStrengths == nil
            ? JSONValue(finite: Double(summary.strength)) : .null,
          "layer_strengths": summary.layerStrengths.map { strengths in
            .array(
              strengths.parts.map { part in
                [
                  "layers": .string(LayerSelection.text(part.layers)),
                  "strength": JSONValue(finite: Double(part.strength)),
                ]
              })
          } ?? .null,
          "unit": .string(file.strength.unit == .share ? "share" : "raw"),
          "positions": .array(summary.positions.map { JSONValue($0) }),
          "site_names": .array(summary.siteNames.map { .string($0) }),
          "tokens": JSONValue(summary.tokens), "sites": JSONValue(summary.sites),
          "largest_addition": summary.largestAddition.map {
            ["site": .string($0.site), "share": JSONValue(finite: $0.share)]
          } ?? .null,
        ]
      })
  }
}
