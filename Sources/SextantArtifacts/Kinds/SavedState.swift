import SextantBytes
import SextantStore
import SextantTensor

/// A model's state between two tokens, saved to be continued, or the difference of two.
///
/// Tensors: `blocks.<i>.state.<component>`, F32, [B, component's shape].
/// Specification: `formats/state.md`.
package struct SavedState: ArtifactKind, Sendable {
  /// `state`.
  package static let name = "state"
  /// 1.
  package static let version = 1
  /// A NaN in a state never leaves it.
  package static let refusesNonfinite = true

  /// The model that the state belongs to.
  package let model: ModelReference
  /// Sequences, B.
  package let batch: Int
  /// Tokens that each sequence has read.
  package let position: Int
  /// Whether it is the difference of two states, which can be added to a state and cannot be
  /// continued.
  package let isDifference: Bool
  /// The components by site.
  package let components: [(site: SiteReference, value: Tensor)]
  /// The file that it was read from, for refusals.
  package let file: String?

  /// A state to be saved.
  package init(
    model: ModelReference, batch: Int, position: Int, isDifference: Bool = false,
    components: [(site: SiteReference, value: Tensor)]
  ) {
    self.model = model
    self.batch = batch
    self.position = position
    self.isDifference = isDifference
    self.components = components
    file = nil
  }

  /// The state that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  package init(_ artifact: Artifact) throws(Refusal) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    let batch = try node.member("batch").integer(in: 1...(1 << 20))
    // Positions are added to: the bound keeps every sum far from overflow.
    position = try node.member("position").integer(in: 0...(1 << 48))
    isDifference = try node.optionalMember("difference")?.boolean() ?? false
    if let index = artifact.manifest.sites.firstIndex(where: { !$0.isState }) {
      throw Refusal(
        .artifactSite, file: artifact.file, at: .pointer("/sites/\(index)"),
        found: artifact.manifest.sites[index].name, expected: "components of the state")
    }
    try artifact.expectTensors(
      artifact.manifest.sites.map { ExpectedTensor($0.name, .f32, [batch] + $0.shape) })
    self.batch = batch
    model = artifact.manifest.model
    file = artifact.file
    components = artifact.manifest.sites.compactMap { site in
      artifact.tensor(site.name).map { (site, $0) }
    }
  }

  /// The state as an artifact, ready to be written.
  package var artifact: Artifact {
    var details = JSONObject([
      ("batch", .integer(Int64(batch))), ("position", .integer(Int64(position))),
    ])
    if isDifference { details["difference"] = true }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: components.map(\.site),
      details: details)
    return Artifact(manifest: manifest, tensors: components.map { ($0.site.name, $0.value) })
  }

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    _ = try SavedState(artifact)
  }
}
