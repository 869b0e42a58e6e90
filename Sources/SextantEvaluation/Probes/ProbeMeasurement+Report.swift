import SextantArtifacts
import SextantBytes
import SextantReport

extension ProbeMeasurement {
  /// The figures for programs.
  public var json: JSONObject {
    JSONObject([
      ("examples", JSONValue(count)),
      ("auroc", roc.map { JSONValue(finite: $0.area) } ?? .null),
      ("auroc_ci", roc.map { $0.interval.json } ?? .null),
      ("accuracy", JSONValue(finite: accuracy)),
      ("ece", JSONValue(finite: calibrationError)),
      ("agreement", agreement.map { JSONValue(finite: $0) } ?? .null),
      ("knows_unsaid", unsaid.map { JSONValue(finite: $0) } ?? .null),
    ])
  }

  /// The area and the accuracy for people.
  package var text: String {
    guard let roc else { return "one label only" }
    return "AUROC \(Format.fixed(roc.area, 3)) (\(roc.interval.text())), "
      + "accuracy \(Format.fixed(accuracy, 3))"
  }
}

extension ProbeEntry {
  /// The name of the probe for programs.
  package var identity: JSONObject {
    JSONObject([
      ("name", .string(name)), ("method", .string(method)), ("site", .string(site.name)),
      ("layer", layer.map { JSONValue($0) } ?? .null),
      ("head", head.map { JSONValue($0) } ?? .null),
    ])
  }

  /// The probe's site without its block, with its head, such as `output` or `state.ssm head 3`.
  package var family: String {
    (site.site?.place ?? site.name) + (head.map { " head \($0)" } ?? "")
  }
}

extension [ProbeEntry] {
  /// The kinds of sites with their methods, each once, in order.
  package var families: [(family: String, method: String)] {
    var seen: Set<String> = []
    return compactMap { probe in
      seen.insert("\(probe.family) \(probe.method)").inserted ? (probe.family, probe.method) : nil
    }
  }
}
