import SextantBytes
import SextantTensor

/// Values of a model while it read some prompts, site by site.
///
/// Tensors: `tokens` I64 [R]; with several prompts `row.prompt` and `row.position` I64 [R]; residual
/// sites F32 [R, D], `logits` F32 [R, V]; states F32 [component's shape], or [P, …] for P prompts.
/// Specification: `formats/capture.md`.
public struct Capture: ArtifactKind, Sendable {
  /// `capture`.
  public static let name = "capture"
  /// 1.
  public static let version = 1
  /// A capture shows what is there.
  public static let refusesNonfinite = false

  /// The tensors that belong to no site.
  public static let indices: Set<String> = ["tokens", "row.prompt", "row.position"]

  /// Refuses what is no capture.
  public static func check(_ artifact: Artifact) throws(FormatError) {
    try expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    _ = try node.member("prompts").integer(in: 1...(1 << 30))
    let sites = Set(artifact.manifest.sites)
    for site in artifact.manifest.sites where artifact.tensor(site) == nil {
      throw FormatError(
        .artifactTensorMissing, file: artifact.file, at: .tensor(site), found: "no such tensor",
        expected: "a tensor for each site")
    }
    for (name, value) in artifact.tensors {
      let isIndex = indices.contains(name)
      guard isIndex || sites.contains(name) else {
        throw FormatError(
          .artifactTensorExtra, file: artifact.file, at: .tensor(name),
          found: "a tensor of no site", expected: "a site or \(indices.sorted())")
      }
      guard value.dataType == (isIndex ? .i64 : .f32) else {
        throw FormatError(
          .artifactSchema, file: artifact.file, at: .tensor(name),
          found: value.dataType.rawValue, expected: isIndex ? "I64" : "F32")
      }
    }
  }
}
