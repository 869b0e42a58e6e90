import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

/// An artifact that acts on a run, as its kind does: steering vectors and erasers edit, probes and lenses
/// report.
public struct AppliedArtifact: Sendable {
  /// The artifact.
  public let artifact: Artifact
  /// How strongly a vector or an eraser is applied, in `unit`s; nil for 1.
  public let strength: Float?
  /// A strength for each block, instead of `strength`; nil for one.
  public let layerStrengths: SteeringOptions.LayerStrengths?
  /// The unit of the strengths.
  public let unit: SteeringOptions.Unit
  /// The one probe to use; nil for all that read one activation.
  public let probe: String?
  /// The name of a lens in reports.
  public let name: String

  /// Applies an artifact.
  ///
  /// - Throws: `artifact.kind` for a kind that cannot be applied; `usage.option` for a strength of
  ///   an artifact that does not edit, and for the name of a probe in a file of another kind.
  public init(
    _ artifact: Artifact, strength: Float? = nil,
    layerStrengths: SteeringOptions.LayerStrengths? = nil,
    unit: SteeringOptions.Unit = .raw, probe: String? = nil, named name: String = Lens.name
  ) throws(Refusal) {
    let (kind, file) = (artifact.manifest.kind, artifact.file)
    self.artifact = artifact
    (self.strength, self.layerStrengths, self.unit) = (strength, layerStrengths, unit)
    (self.probe, self.name) = (probe, name)
    guard [SteeringVector.name, ConceptEraser.name, Probe.name, Lens.name].contains(kind) else {
      throw Refusal(
        .artifactKind, file: file, at: .pointer("/kind"), found: kind,
        expected:
          "an artifact that can be applied: \(SteeringVector.name), \(ConceptEraser.name), "
          + "\(Probe.name) or \(Lens.name)")
    }
    guard edits || (strength == nil && layerStrengths == nil) else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("apply"), found: "a \(kind) with a strength",
        expected: "a \(kind) alone: it reports, and edits nothing")
    }
    guard probe == nil || kind == Probe.name else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("apply"), found: "#\(probe ?? "") of a \(kind)",
        expected: "a file of probes")
    }
  }

  /// Applies an artifact at a strength in its written form.
  ///
  /// - Parameter strength: `2`, `10%`, `0.1nats`, or one for each block, `3=1.5,5-7=0.5`; nil for 1.
  /// - Throws: `usage.option` for a text that is not a strength; as for a strength.
  public init(
    _ artifact: Artifact, writtenStrength strength: String?, probe: String? = nil,
    named name: String = Lens.name
  ) throws(Refusal) {
    var written = WrittenStrength()
    if let strength {
      guard let read = try WrittenStrength(Substring(strength)) else {
        throw Refusal(
          .usageOption, file: artifact.file, at: .parameter("apply"),
          found: "the strength \"\(strength)\"", expected: WrittenStrength.forms)
      }
      written = read
    }
    try self.init(
      artifact, strength: strength == nil ? nil : written.value, layerStrengths: written.layers,
      unit: written.unit, probe: probe, named: name)
  }

  /// Whether it changes values.
  public var edits: Bool { isVector || artifact.manifest.kind == ConceptEraser.name }
  fileprivate var isVector: Bool { artifact.manifest.kind == SteeringVector.name }
  /// Whether blocks of it can be chosen, and its strength does not choose them.
  fileprivate var hasFreeLayers: Bool {
    artifact.manifest.kind != Lens.name && layerStrengths == nil
  }

  /// Whether it edits a site of tokens.
  fileprivate var editsTokens: Bool {
    edits && artifact.manifest.sites.contains { $0.site?.isState == false }
  }

  /// Whether it edits a component of the state in the blocks that are chosen.
  func editsState(in layers: LayerSelection?) -> Bool {
    edits
      && artifact.manifest.sites.contains { reference in
        guard case .state(let block, _)? = reference.site else { return false }
        if let layerStrengths { return layerStrengths.strength(of: block) != nil }
        return layers?.contains(block) ?? true
      }
  }
}

/// The options for all artifacts of a run. Each option must apply to one of them.
public struct ApplyingOptions: Sendable {
  /// The blocks to edit, and to read with probes; nil for all.
  public var layers: LayerSelection?
  /// The tokens to edit; nil for each artifact's own.
  public var positions: PositionSelection?
  /// The tokens before which the state is edited; nil for `positions`.
  public var statePositions: PositionSelection?
  /// The operation of vectors; nil for each vector's own operation.
  public var operation: SteeringVector.Operation?
  /// The condition on the tokens that are edited; nil for all that are selected.
  public var condition: ScoreCondition?
  /// Accept artifacts of another model of the same width and depth.
  public var allowsModelMismatch = false

  /// No option: each artifact acts as its manifest declares.
  public init() {}
}

extension Interventions {
  /// Artifacts as interventions, in their order.
  ///
  ///     let joy = try AppliedArtifact(Artifact(reading: "joy.steer.safetensors"), strength: 2)
  ///     let text = try model.generate("The film was", with: Interventions(applying: [joy])).text()
  ///
  /// - Throws: `artifact.*` for a file that is damaged; `usage.nothing-steered` for an option that
  ///   applies to none of the artifacts.
  public init(
    applying artifacts: [AppliedArtifact], _ options: ApplyingOptions = ApplyingOptions()
  ) throws(Refusal) {
    try options.checkEffects(on: artifacts)
    try self.init(
      artifacts.map { artifact throws(Refusal) in try options.intervention(of: artifact) })
  }
}

extension ApplyingOptions {
  fileprivate func intervention(of applied: AppliedArtifact) throws(Refusal) -> Intervention {
    let artifact = applied.artifact
    switch artifact.manifest.kind {
    case SteeringVector.name:
      return .steer(
        AppliedVector(try SteeringVector(artifact), steering(applied), gate: condition))
    case ConceptEraser.name:
      return .erase(AppliedEraser(try ConceptEraser(artifact), steering(applied), gate: condition))
    case Probe.name:
      return .probe(
        AppliedProbe(
          try Probe(artifact), name: applied.probe, layers: layers,
          allowsModelMismatch: allowsModelMismatch))
    default:
      let lens = NamedLens(name: applied.name, lens: try Lens(artifact))
      return .lens(AppliedLens(lens, allowsModelMismatch: allowsModelMismatch))
    }
  }

  /// The options as far as they concern an artifact: several may share them.
  private func steering(_ applied: AppliedArtifact) -> SteeringOptions {
    SteeringOptions(
      strength: applied.strength ?? 1, unit: applied.unit, layerStrengths: applied.layerStrengths,
      operation: applied.isVector ? operation : nil, positions: positions,
      statePositions: applied.editsState(in: layers) ? statePositions : nil,
      layers: applied.layerStrengths == nil ? layers : nil,
      allowsModelMismatch: allowsModelMismatch)
  }

  /// Refuses options that cannot take effect on any of the artifacts.
  fileprivate func checkEffects(on artifacts: [AppliedArtifact]) throws(Refusal) {
    let needs: [(option: String, isGiven: Bool, isUsed: Bool, what: String)] = [
      ("operation", operation != nil, artifacts.contains(where: \.isVector), "a steering vector"),
      (
        "positions", positions != nil,
        artifacts.contains { $0.edits && (statePositions == nil || $0.editsTokens) },
        "a steering vector or an eraser whose tokens `statePositions` does not select"
      ),
      (
        "statePositions", statePositions != nil,
        artifacts.contains { $0.editsState(in: layers) }, "a vector or an eraser of the state"
      ),
      (
        "when", condition != nil, artifacts.contains(where: \.edits),
        "a steering vector or an eraser"
      ),
      (
        "layers", layers != nil, artifacts.contains(where: \.hasFreeLayers),
        "an artifact of blocks whose strength does not name them"
      ),
    ]
    for need in needs where need.isGiven && !need.isUsed {
      throw .withoutEffect(
        need.option, found: artifacts.isEmpty ? "no artifact" : "no artifact that it applies to",
        expected: need.what)
    }
  }
}

extension Refusal {
  /// The refusal of an option of applied artifacts that cannot take effect.
  package static func withoutEffect(
    _ option: String, found: String, expected: String
  ) -> Refusal {
    Refusal(
      .usageNothingSteered, at: .parameter(option), found: found, expected: expected,
      remedy: "Name an artifact with `apply`, or leave the option out.")
  }
}
