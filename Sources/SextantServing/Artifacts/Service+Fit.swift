import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels

extension Service {
  /// Refuses an artifact that requests cannot use with this model.
  func fit(_ artifact: Artifact) throws(Refusal) {
    let (model, digest) = (loaded.description, tokenizer.digest)
    switch artifact.manifest.kind {
    case SteeringVector.name:
      _ = try AppliedVector(SteeringVector(artifact)).edits(for: model, tokenizer: digest)
    case ConceptEraser.name:
      _ = try AppliedEraser(ConceptEraser(artifact)).edits(for: model, tokenizer: digest)
    case Probe.name: _ = try ProbeTap(Probe(artifact), model: model, tokenizer: digest)
    case Lens.name:
      let lens = NamedLens(name: "lens", lens: try Lens(artifact))
      try lens.check(loaded.model, tokenizer: digest, allowingOther: false)
    case SavedState.name: _ = try State(SavedState(artifact), for: model, tokenizer: digest)
    default: _ = try AppliedArtifact(artifact)
    }
  }
}
