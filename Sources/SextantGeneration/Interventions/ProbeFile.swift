import SextantArtifacts
import SextantBytes

/// A probe's score and a bound, written `FILE[#NAME]>BOUND` or `FILE[#NAME]<BOUND`.
package struct ProbeCondition: Sendable {
  /// The file of probes.
  package let path: String
  /// The probe; nil for the first that reads one activation.
  package let name: String?
  /// The condition.
  package let condition: ProbeTap.Condition

  package init?(argument: String) {
    guard let sign = argument.lastIndex(where: { $0 == ">" || $0 == "<" }),
      let bound = Double(argument[argument.index(after: sign)...]), bound.isFinite
    else { return nil }
    let file = ProbeFile(argument: String(argument[..<sign]))
    guard let file else { return nil }
    (path, name) = (file.path, file.name)
    condition = ProbeTap.Condition(isAbove: argument[sign] == ">", bound: bound)
  }

  /// The condition with its probes.
  package func load(allowingOther: Bool) throws(Refusal) -> ScoreCondition {
    ScoreCondition(
      try Probe(reading: path), name: name, condition, allowsModelMismatch: allowingOther)
  }
}

/// A file of probes, and one of them, written `FILE` or `FILE#NAME`.
package struct ProbeFile: Sendable {
  /// The file.
  package let path: String
  /// The probe; nil for no choice.
  package let name: String?

  package init?(argument: String) {
    let mark = argument.lastIndex(of: "#")
    path = String(mark.map { argument[..<$0] } ?? argument[...])
    name = mark.map { String(argument[argument.index(after: $0)...]) }
    if path.isEmpty || name == "" { return nil }
  }
}
