import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantTokenizers

/// The artifacts of `--apply`, each used as its kind says.
struct AppliedArtifacts {
  /// Steering vectors: they edit.
  var vectors: [(file: AppliedFile, vector: AppliedVector)] = []
  /// Lenses and probes: they report, token by token.
  var reporters: [(file: AppliedFile, kind: String, reporter: any TokenReporter)] = []
}

extension SteeringArguments {
  /// Reads the artifacts for a model.
  ///
  /// - Throws: `artifact.kind` for one that cannot be applied; what reading throws.
  func load(for open: OpenModel) throws(FormatError) -> AppliedArtifacts {
    var applied = AppliedArtifacts()
    for file in apply {
      let artifact = try Artifact(reading: file.path)
      switch artifact.manifest.kind {
      case SteeringVector.name:
        let options = SteeringOptions(
          strength: file.strength, unit: file.unit, operation: operation, positions: positions,
          statePositions: statePositions, layers: layers?.blocks,
          allowsModelMismatch: allowModelMismatch)
        applied.vectors.append((file, AppliedVector(try SteeringVector(artifact), options)))
      default:
        throw FormatError(
          .artifactKind, file: file.path, at: .pointer("/kind"), found: artifact.manifest.kind,
          expected: "an artifact that can be applied: \(SteeringVector.name)")
      }
    }
    return applied
  }
}
