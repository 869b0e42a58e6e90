import SextantBytes
import SextantGeneration
import SextantReport

extension ShadowGeneration {
  /// The text, what was steered and what was left of it, for programs.
  package func json(_ applied: AppliedArtifacts) -> JSONObject {
    JSONObject([
      ("tokens", .array(tokens.map { JSONValue($0) })), ("text", .string(text)),
      ("steered_tokens", JSONValue(steeredCount)), ("steered", applied.json(edits)),
      ("contamination", .array(contamination.map { JSONValue(finite: $0) })),
      ("mean_contamination_8", meanContamination(over: 8).map { JSONValue(finite: $0) } ?? .null),
    ])
  }

  /// What was left of steering, for people.
  package var line: String {
    let figures = [meanContamination(over: 8), contamination.last].map { value in
      value.map { Format.figure($0) } ?? "-"
    }
    return
      "\(steeredCount) of \(counted(tokens.count, "token")) chosen under steering; contamination "
      + "of the steered state after that: \(figures[0]) nats over 8 tokens, \(figures[1]) at the last"
  }
}
