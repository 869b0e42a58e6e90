import Sextant
import SextantBytes
import SextantGeneration

extension SteeringArguments {
  /// Reads the artifacts.
  ///
  /// - Parameter others: whether the command uses other artifacts, for which a mismatch of models may be
  ///   accepted.
  /// - Throws: as `AppliedArtifacts`; `usage.nothing-steered` for a mismatch that applies to no
  ///   artifact.
  func load(for open: LoadedModel, others: Bool = false) throws(Refusal) -> AppliedArtifacts {
    let usesArtifacts = others || !apply.isEmpty || when != nil || stopWhen != nil
    guard usesArtifacts || !allowModelMismatch else {
      throw .withoutEffect(
        "allowsModelMismatch", found: "no artifact", expected: "an artifact")
    }
    var options = ApplyingOptions()
    (options.layers, options.operation) = (layers, operation)
    (options.positions, options.statePositions) = (positions, statePositions)
    options.allowsModelMismatch = allowModelMismatch
    options.condition = try when?.load(as: "when", allowingOther: allowModelMismatch)
    let applied = try AppliedArtifacts(
      apply, options, stop: stopWhen?.load(as: "stopWhen", allowingOther: allowModelMismatch))
    try open.noteBeginnings(of: applied.artifacts)
    return applied
  }
}
