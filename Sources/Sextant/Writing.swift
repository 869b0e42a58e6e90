import SextantArtifacts
import SextantBytes

/// An artifact that is learned from a model and can be written to a file.
public protocol WritableArtifact {
  /// The artifact, ready to be written.
  var artifact: Artifact { get }
}

extension WritableArtifact {
  /// Writes the file, which any reader of safetensors can open.
  ///
  /// - Parameter replacing: replace an existing file.
  /// - Throws: `file.*`, `disk.*`; `artifact.*` when no reader would accept it.
  public func write(to path: String, replacing: Bool = false) throws(Refusal) {
    try artifact.write(to: path, replacing: replacing)
  }
}

extension SteeringVector: WritableArtifact {}
extension ConceptEraser: WritableArtifact {}
extension Probe: WritableArtifact {}
extension Lens: WritableArtifact {}
