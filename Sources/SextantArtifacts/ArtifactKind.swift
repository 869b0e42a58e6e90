import SextantBytes

/// A kind of artifact: its members of the manifest, and its tensors.
///
/// One kind is one file in `Kinds/`, one word in `ArtifactKinds.all`, one page in `formats/`.
package protocol ArtifactKind {
  /// The name in manifests.
  static var name: String { get }
  /// The version that is written.
  static var version: Int { get }
  /// The oldest version that is read; as a rule the version that is written.
  static var oldestVersion: Int { get }
  /// Whether NaN and infinity are refused in its tensors.
  static var refusesNonfinite: Bool { get }

  /// Refuses a manifest or tensors that the kind does not allow.
  ///
  /// - Throws: `artifact.*`.
  static func check(_ artifact: Artifact) throws(Refusal)
}

/// The kinds that this build knows.
package enum ArtifactKinds {
  /// All of them; a new kind adds one word here.
  package static var all: [any ArtifactKind.Type] {
    [
      SteeringVector.self, Moments.self, SavedState.self, Capture.self, Probe.self,
      ConceptEraser.self, Lens.self, LensCheckpoint.self,
    ]
  }

  /// The names of all, for messages.
  package static var names: String { all.map { $0.name }.joined(separator: ", ") }

  /// The kind of that name.
  package static func named(_ name: String) -> (any ArtifactKind.Type)? {
    all.first { $0.name == name }
  }
}

extension ArtifactKind {
  package static var oldestVersion: Int { version }

  /// Refuses an artifact of another kind.
  static func expect(_ artifact: Artifact) throws(Refusal) {
    guard artifact.manifest.kind == name else {
      throw Refusal(
        .artifactKind, file: artifact.file, at: .pointer("/kind"), found: artifact.manifest.kind,
        expected: name)
    }
  }
}
