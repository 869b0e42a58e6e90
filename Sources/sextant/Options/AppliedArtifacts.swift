import Sextant
import SextantBytes
import SextantGeneration
import SextantTerminal

extension SteeringArguments {
  /// Reads the artifacts.
  ///
  /// - Parameters:
  ///   - stop: the probe that ends the text; nil for none.
  ///   - others: whether the command uses other artifacts, for which a mismatch of models may be
  ///     accepted.
  /// - Throws: as `AppliedArtifacts`; `usage.nothing-steered` for a mismatch that applies to no
  ///   artifact.
  func load(
    for open: LoadedModel, stop: ProbeCondition? = nil, others: Bool = false
  ) throws(Refusal) -> AppliedArtifacts {
    let applied = try AppliedArtifacts(
      apply, options(others: others || stop != nil),
      stop: stop?.load(as: "stopWhen", allowingOther: allowModelMismatch))
    try open.notes(on: applied).forEach(StandardStreams.printNote)
    return applied
  }

  /// The options for all artifacts.
  ///
  /// - Parameter others: as for `load`.
  func options(others: Bool = false) throws(Refusal) -> ApplyingOptions {
    guard others || !apply.isEmpty || when != nil || !allowModelMismatch else {
      throw .withoutEffect(
        "allowsModelMismatch", found: "no artifact", expected: "an artifact")
    }
    var options = ApplyingOptions()
    (options.layers, options.operation) = (layers, operation)
    (options.positions, options.statePositions) = (positions, statePositions)
    options.allowsModelMismatch = allowModelMismatch
    options.condition = try when?.load(as: "when", allowingOther: allowModelMismatch)
    return options
  }
}
