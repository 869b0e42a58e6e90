import Glibc
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore

/// The artifacts of `--apply`, in their order, as interventions.
struct AppliedArtifacts {
  /// The items that act on the run: one item for each of `files`, then the condition that ends the
  /// text.
  var interventions = Interventions()
  /// The files of `--apply`.
  var files: [AppliedFile] = []
  /// The kind of each of them.
  var kinds: [String] = []

  /// Whether some artifact edits.
  var hasEdits: Bool { interventions.hasEdits }
  /// Whether some artifact reports of tokens.
  var hasReports: Bool { kinds.contains { $0 == Probe.name || $0 == Lens.name } }
}

extension AppliedArtifacts {
  /// Reads the artifacts.
  ///
  /// - Parameters:
  ///   - options: the options for all of them.
  ///   - stop: the condition that ends the text; nil if none.
  /// - Throws: `artifact.kind` for one that cannot be applied, `usage.option` for a strength that
  ///   it cannot have, `usage.nothing-steered` for an option that applies to none; the errors of
  ///   reading.
  init(
    _ files: [AppliedFile], _ options: ApplyingOptions = ApplyingOptions(),
    stop: ScoreCondition? = nil, for open: OpenModel
  ) throws(FormatError) {
    let artifacts = try files.map { file throws(FormatError) in try AppliedArtifact(file) }
    self.files = files
    kinds = artifacts.map(\.artifact.manifest.kind)
    interventions = try Interventions(applying: artifacts, options)
    if let stop { interventions.items.append(.stop(stop)) }
    for (artifact, file) in zip(artifacts, files) {
      try open.noteBeginning(of: artifact.artifact, file.path)
    }
  }
}

extension SteeringArguments {
  /// Reads the artifacts.
  ///
  /// - Parameter others: whether the command uses other artifacts, for which a mismatch of models may be
  ///   accepted.
  /// - Throws: as `AppliedArtifacts`; `usage.nothing-steered` for a mismatch that applies to no
  ///   artifact.
  func load(for open: OpenModel, others: Bool = false) throws(FormatError) -> AppliedArtifacts {
    let usesArtifacts = others || !apply.isEmpty || when != nil || stopWhen != nil
    guard usesArtifacts || !allowModelMismatch else {
      throw .withoutEffect(
        "--allow-model-mismatch", found: "no artifact", expected: "an artifact")
    }
    var options = ApplyingOptions()
    (options.layers, options.operation) = (layers, operation)
    (options.positions, options.statePositions) = (positions, statePositions)
    options.allowsModelMismatch = allowModelMismatch
    options.condition = try when?.load(allowingOther: allowModelMismatch)
    return try AppliedArtifacts(
      apply, options, stop: stopWhen?.load(allowingOther: allowModelMismatch), for: open)
  }
}

extension AppliedArtifact {
  /// Reads a file of `--apply`.
  ///
  /// - Throws: `usage.option` for a strength that is not valid; the errors of reading and of
  ///   `AppliedArtifact`.
  init(_ file: AppliedFile) throws(FormatError) {
    try Self.checkStrength(of: file.path)
    // FILE#NAME names one probe; a path may have a # itself.
    let named = ProbeFile(argument: file.path)
    let isPath = named?.name == nil || access(file.path, F_OK) == 0
    try self.init(
      Artifact(reading: isPath ? file.path : named?.path ?? file.path),
      strength: file.hasStrength ? file.strength.value : nil,
      layerStrengths: file.strength.layers, unit: file.strength.unit,
      probe: isPath ? nil : named?.name, named: LensNames.name(of: file.path))
  }

  /// Refuses text that looks like a strength and is not one, if the file with the name before it
  /// exists.
  private static func checkStrength(of path: String) throws(FormatError) {
    guard access(path, F_OK) != 0, let colon = path.lastIndex(of: ":"),
      access(String(path[..<colon]), F_OK) == 0
    else { return }
    throw FormatError(
      .usageOption, file: String(path[..<colon]), at: .option("--apply"),
      found: "the strength \"\(path[path.index(after: colon)...])\"",
      expected: "a number, such as 2, 10% or 0.1nats, or one for each block, such as 3=1.5,5-7=0.5")
  }
}
