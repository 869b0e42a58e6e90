import SextantBytes
import SextantStore
import SextantTensor

/// A model's state between two tokens, saved to be continued.
///
/// Tensors: `blocks.<i>.state.<component>`, F32, [B, component's shape].
/// Specification: `formats/state.md`.
public struct SavedState: ArtifactKind, Sendable {
  /// `state`.
  public static let name = "state"
  /// 1.
  public static let version = 1
  /// A NaN in a state never leaves it.
  public static let refusesNonfinite = true

  /// The model that the state belongs to.
  public let model: ModelReference
  /// Sequences, B.
  public let batch: Int
  /// Tokens that each sequence has read.
  public let position: Int
  /// The components by site.
  public let components: [(site: String, value: Tensor)]
  /// The file that it was read from, for refusals.
  public let file: String?

  /// A state to be saved.
  public init(
    model: ModelReference, batch: Int, position: Int,
    components: [(site: String, value: Tensor)]
  ) {
    self.model = model
    self.batch = batch
    self.position = position
    self.components = components
    file = nil
  }

  /// The state that an artifact holds.
  ///
  /// - Throws: `artifact.*`.
  public init(_ artifact: Artifact) throws(FormatError) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    batch = try node.member("batch").integer(in: 1...(1 << 20))
    position = try node.member("position").integer()
    model = artifact.manifest.model
    file = artifact.file
    guard artifact.tensors.count == artifact.manifest.sites.count, !artifact.tensors.isEmpty else {
      throw FormatError(
        .artifactEmpty, file: artifact.file, found: "\(artifact.tensors.count) tensors",
        expected: "one for each of \(artifact.manifest.sites.count) sites, and at least one")
    }
    var components: [(site: String, value: Tensor)] = []
    for site in artifact.manifest.sites {
      guard let value = artifact.tensor(site), value.dataType == .f32, value.shape.first == batch
      else {
        throw FormatError(
          .artifactTensorMissing, file: artifact.file, at: .tensor(site),
          found: "\(artifact.tensor(site)?.shape ?? [])",
          expected: "F32 with a first dimension of \(batch)")
      }
      components.append((site, value))
    }
    self.components = components
  }

  /// The state as an artifact, ready to be written.
  public var artifact: Artifact {
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: components.map(\.site),
      details: JSONObject([
        ("batch", .integer(Int64(batch))), ("position", .integer(Int64(position))),
      ]))
    return Artifact(manifest: manifest, tensors: components.map { ($0.site, $0.value) })
  }

  /// Refuses what is no state.
  public static func check(_ artifact: Artifact) throws(FormatError) {
    _ = try SavedState(artifact)
  }
}
