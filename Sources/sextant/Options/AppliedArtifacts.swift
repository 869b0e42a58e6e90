import Glibc
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantTokenizers

/// The artifacts of `--apply`, each used as its kind says.
struct AppliedArtifacts {
  /// Steering vectors: they edit.
  var vectors: [(file: AppliedFile, vector: AppliedVector)] = []
  /// Erasers: they edit, after the vectors.
  var erasers: [AppliedEraser] = []
  /// Lenses and probes: they report, token by token.
  var reporters: [(file: AppliedFile, kind: String, reporter: any TokenReporter)] = []
  /// Probes that may end the text.
  var watchers: [any GenerationObserver] = []
}

extension SteeringArguments {
  /// Reads the artifacts for a model.
  ///
  /// - Throws: `artifact.kind` for one that cannot be applied; what reading throws.
  func load(for open: OpenModel) throws(FormatError) -> AppliedArtifacts {
    var applied = AppliedArtifacts()
    let gate = try when?.load()
    for file in apply {
      // FILE#NAME names one probe; a path may have a # itself.
      let named = ProbeFile(argument: file.path)
      let isPath = named?.name == nil || access(file.path, F_OK) == 0
      let artifact = try Artifact(reading: isPath ? file.path : named?.path ?? file.path)
      try open.noteBeginning(of: artifact, file.path)
      switch artifact.manifest.kind {
      case SteeringVector.name:
        let options = SteeringOptions(
          strength: file.strength, unit: file.unit, operation: operation, positions: positions,
          statePositions: statePositions, layers: layers?.blocks,
          allowsModelMismatch: allowModelMismatch)
        applied.vectors.append(
          (file, AppliedVector(try SteeringVector(artifact), options, gate: gate)))
      case ConceptEraser.name:
        applied.erasers.append(
          AppliedEraser(
            try ConceptEraser(artifact), strength: file.strength, positions: positions,
            layers: layers?.blocks, allowsModelMismatch: allowModelMismatch))
      case Probe.name:
        let tap = try ProbeTap(
          Probe(artifact), name: isPath ? nil : named?.name, layers: layers?.blocks,
          model: open.model.description,
          tokenizer: open.tokenizer?.digest, allowsModelMismatch: allowModelMismatch)
        applied.reporters.append((file, Probe.name, tap))
      case Lens.name:
        let lens = NamedLens(name: LensNames.name(of: file.path), lens: try Lens(artifact))
        applied.reporters.append(
          (
            file, Lens.name,
            try LensReporter(
              lens, open.model, tokenizer: open.textTokenizer(),
              allowsModelMismatch: allowModelMismatch)
          ))
      default:
        throw FormatError(
          .artifactKind, file: file.path, at: .pointer("/kind"), found: artifact.manifest.kind,
          expected:
            "an artifact that can be applied: \(SteeringVector.name), \(ConceptEraser.name), "
            + "\(Probe.name) or \(Lens.name)")
      }
    }
    if let stopWhen {
      let condition = try stopWhen.load()
      let tap = try ProbeTap(
        condition.probe, name: condition.name, model: open.model.description,
        tokenizer: open.tokenizer?.digest, allowsModelMismatch: allowModelMismatch)
      tap.stopsWhen = condition.condition
      applied.watchers.append(tap)
    }
    return applied
  }
}
