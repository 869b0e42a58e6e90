import Glibc
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore

/// The artifacts of `--apply`, in their order, as interventions.
struct AppliedArtifacts {
  /// What acts on the run: one item for each of `files`, then the condition that ends the text.
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

/// What `--apply` and the options beside it ask for.
struct ApplyingOptions {
  var apply: [AppliedFile] = []
  var layers: LayerSelection?
  var positions: PositionSelection?
  var statePositions: PositionSelection?
  var operation: SteeringVector.Operation?
  var when: ProbeCondition?
  var stopWhen: ProbeCondition?
  var allowModelMismatch = false

  /// Reads the artifacts.
  ///
  /// - Parameter others: whether the command uses other artifacts, for which a mismatch of models may
  ///   be accepted.
  /// - Throws: `artifact.kind` for one that cannot be applied, `usage.option` for an option that cannot
  ///   take effect, `usage.nothing-steered` for one that needs an artifact that edits; what reading
  ///   throws.
  func load(for open: OpenModel, others: Bool = false) throws(FormatError) -> AppliedArtifacts {
    let artifacts = try apply.map { file throws(FormatError) in try AppliedFileContent(file) }
    try checkEffects(of: artifacts, others: others)
    let gate = try when?.load(allowingOther: allowModelMismatch)
    var applied = AppliedArtifacts()
    for artifact in artifacts {
      try open.noteBeginning(of: artifact.artifact, artifact.file.path)
      applied.files.append(artifact.file)
      applied.kinds.append(artifact.artifact.manifest.kind)
      applied.interventions.items.append(try intervention(of: artifact, gate))
    }
    if let stopWhen {
      applied.interventions.items.append(
        .stop(try stopWhen.load(allowingOther: allowModelMismatch)))
    }
    return applied
  }

  private func intervention(
    of content: AppliedFileContent, _ gate: ScoreCondition?
  ) throws(FormatError) -> Intervention {
    let (file, artifact) = (content.file, content.artifact)
    switch artifact.manifest.kind {
    case SteeringVector.name:
      return .steer(AppliedVector(try SteeringVector(artifact), options(for: content), gate: gate))
    case ConceptEraser.name:
      return .erase(AppliedEraser(try ConceptEraser(artifact), options(for: content), gate: gate))
    case Probe.name:
      return .probe(
        AppliedProbe(
          try Probe(artifact), name: content.name, layers: layers,
          allowsModelMismatch: allowModelMismatch))
    default:
      let lens = NamedLens(name: LensNames.name(of: file.path), lens: try Lens(artifact))
      return .lens(AppliedLens(lens, allowsModelMismatch: allowModelMismatch))
    }
  }

  /// The options as far as they concern an artifact: several may share them.
  private func options(for content: AppliedFileContent) -> SteeringOptions {
    let strength = content.file.strength
    return SteeringOptions(
      strength: strength.value, unit: strength.unit, layerStrengths: strength.layers,
      operation: content.isVector ? operation : nil,
      positions: positions,
      statePositions: content.editsState(in: layers, strength.layers) ? statePositions : nil,
      layers: strength.layers == nil ? layers : nil, allowsModelMismatch: allowModelMismatch)
  }

  /// Refuses options that cannot take effect on any of the artifacts.
  private func checkEffects(
    of artifacts: [AppliedFileContent], others: Bool
  ) throws(FormatError) {
    let editing = artifacts.filter(\.edits)
    let needs: [(option: String, isGiven: Bool, isUsed: Bool, what: String)] = [
      ("--operation", operation != nil, artifacts.contains(where: \.isVector), "a steering vector"),
      (
        "--positions", positions != nil,
        editing.contains { statePositions == nil || $0.editsTokens },
        "a steering vector or an eraser whose tokens --state-positions does not select"
      ),
      (
        "--state-positions", statePositions != nil,
        editing.contains { $0.editsState(in: layers, $0.file.strength.layers) },
        "a vector or an eraser of the state"
      ),
      ("--when", when != nil, !editing.isEmpty, "a steering vector or an eraser"),
      (
        "--layers", layers != nil,
        artifacts.contains { $0.hasLayers && $0.file.strength.layers == nil },
        "an artifact of blocks whose strength does not name them"
      ),
      (
        "--allow-model-mismatch", allowModelMismatch,
        others || !apply.isEmpty || when != nil || stopWhen != nil, "an artifact"
      ),
    ]
    for need in needs where need.isGiven && !need.isUsed {
      throw FormatError(
        .usageNothingSteered, at: .option(need.option),
        found: apply.isEmpty ? "no --apply" : "no artifact that it concerns",
        expected: need.what, remedy: "Name an artifact with --apply, or leave the option out.")
    }
  }
}

extension SteeringArguments {
  /// Reads the artifacts, as `ApplyingOptions.load`.
  func load(for open: OpenModel, others: Bool = false) throws(FormatError) -> AppliedArtifacts {
    try ApplyingOptions(
      apply: apply, layers: layers, positions: positions, statePositions: statePositions,
      operation: operation, when: when, stopWhen: stopWhen, allowModelMismatch: allowModelMismatch
    ).load(for: open, others: others)
  }
}

/// A file of `--apply` and what is in it.
private struct AppliedFileContent {
  let file: AppliedFile
  let artifact: Artifact
  /// The one probe that is meant; nil for all.
  let name: String?

  /// Reads the file.
  ///
  /// - Throws: `artifact.kind` for an artifact that cannot be applied, `usage.option` for a strength
  ///   that it cannot have, or a name in a file that is not of probes.
  init(_ file: AppliedFile) throws(FormatError) {
    self.file = file
    try Self.checkStrength(of: file.path)
    // FILE#NAME names one probe; a path may have a # itself.
    let named = ProbeFile(argument: file.path)
    let isPath = named?.name == nil || access(file.path, F_OK) == 0
    artifact = try Artifact(reading: isPath ? file.path : named?.path ?? file.path)
    name = isPath ? nil : named?.name
    let kind = artifact.manifest.kind
    guard [SteeringVector.name, ConceptEraser.name, Probe.name, Lens.name].contains(kind) else {
      throw FormatError(
        .artifactKind, file: file.path, at: .pointer("/kind"), found: kind,
        expected:
          "an artifact that can be applied: \(SteeringVector.name), \(ConceptEraser.name), "
          + "\(Probe.name) or \(Lens.name)")
    }
    guard edits || !file.hasStrength else {
      throw FormatError(
        .usageOption, file: file.path, at: .option("--apply"), found: "a \(kind) with a strength",
        expected: "a \(kind) alone: it reports, and edits nothing")
    }
    guard name == nil || kind == Probe.name else {
      throw FormatError(
        .usageOption, file: file.path, at: .option("--apply"), found: "#\(name ?? "") of a \(kind)",
        expected: "a file of probes")
    }
  }

  /// Refuses what looks like a strength and is not one, where a file of the name before it is there.
  private static func checkStrength(of path: String) throws(FormatError) {
    guard access(path, F_OK) != 0, let colon = path.lastIndex(of: ":"),
      access(String(path[..<colon]), F_OK) == 0
    else { return }
    throw FormatError(
      .usageOption, file: String(path[..<colon]), at: .option("--apply"),
      found: "the strength \"\(path[path.index(after: colon)...])\"",
      expected: "a number, such as 2, 10% or 0.1nats, or one for each block, such as 3=1.5,5-7=0.5")
  }

  var isVector: Bool { artifact.manifest.kind == SteeringVector.name }
  var edits: Bool { isVector || artifact.manifest.kind == ConceptEraser.name }
  /// Whether blocks of it can be chosen.
  var hasLayers: Bool { artifact.manifest.kind != Lens.name }

  /// Whether it edits a site of tokens.
  var editsTokens: Bool {
    edits && artifact.manifest.sites.contains { Site(name: $0.name)?.isState == false }
  }

  /// Whether it edits a component of the state in the blocks that are chosen.
  func editsState(in layers: LayerSelection?, _ strengths: LayerStrengths?) -> Bool {
    edits
      && artifact.manifest.sites.contains { reference in
        guard case .state(let block, _)? = Site(name: reference.name) else { return false }
        if let strengths { return strengths.strength(of: block) != nil }
        return layers?.contains(block) ?? true
      }
  }
}
