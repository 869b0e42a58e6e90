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
    let steered = "\(steeredCount) of \(counted(tokens.count, "token")) chosen under steering; "
    let count = min(contamination.count, 8)
    guard let mean = meanContamination(over: count), let last = contamination.last else {
      return steered + "no token was chosen after that, so that contamination was not measured"
    }
    return steered + "contamination of the steered state after that: \(Format.figure(mean)) nats "
      + "over \(counted(count, "token")), \(Format.figure(last)) at the last"
  }
}
