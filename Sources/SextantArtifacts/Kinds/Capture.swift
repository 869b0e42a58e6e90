import SextantBytes
import SextantStore
import SextantTensor

/// Values of a model while it read some prompts, site by site.
///
/// Tensors: `tokens` I64 [R]; with several prompts `row.prompt` and `row.position` I64 [R]; sites of
/// tokens F32 [R, site's shape]; states F32 [site's shape], or [P, site's shape] for P > 1 prompts;
/// states whose first axis is the position F32 [R, …], a row for each token.
/// Specification: `formats/capture.md`.
package struct Capture: ArtifactKind, Sendable {
  /// `capture`.
  package static let name = "capture"
  /// 1.
  package static let version = 1
  /// A capture contains activations.
  package static let refusesNonfinite = false

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    try expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    let prompts = try node.member("prompts").integer(in: 1...(1 << 30))
    _ = try isEdited(artifact)
    _ = try precision(of: artifact)
    let rows = artifact.tensor("tokens")?.shape.first ?? 0
    let indices = ["tokens"] + (prompts > 1 ? ["row.prompt", "row.position"] : [])
    try artifact.expectTensors(
      indices.map { ExpectedTensor($0, .i64, [rows]) }
        + artifact.manifest.sites.map { site in
          guard site.axes.first != SiteReference.positionAxis else {
            return ExpectedTensor(site.name, .f32, [rows] + site.shape.dropFirst())
          }
          let leading = site.isState ? (prompts > 1 ? [prompts] : []) : [rows]
          return ExpectedTensor(site.name, .f32, leading + site.shape)
        })
    try checkRows(artifact, prompts: prompts, rows: rows)
  }

  /// Every prompt has a row, and the rows are ordered by prompt and by position. Whether artifacts
  /// edited the run that was captured.
  ///
  /// - Throws: `artifact.schema`.
  package static func isEdited(_ artifact: Artifact) throws(Refusal) -> Bool {
    let node = artifact.manifest.detailsNode(file: artifact.file)
    return try node.optionalMember("edited")?.boolean() ?? false
  }

  /// The precision with which the model ran.
  ///
  /// - Throws: `artifact.schema`.
  package static func precision(of artifact: Artifact) throws(Refusal) -> Precision {
    let node = try artifact.manifest.detailsNode(file: artifact.file).optionalMember("precision")
    return try node?.precision() ?? .exact
  }

  private static func checkRows(
    _ artifact: Artifact, prompts: Int, rows: Int
  ) throws(Refusal) {
    var found = rows > 0 ? 1 : 0
    if let prompt = artifact.tensor("row.prompt")?.integers,
      let position = artifact.tensor("row.position")?.integers
    {
      var expected = (prompt: 0, position: 0)
      for row in 0..<rows {
        if prompt[row] == expected.prompt + 1, expected.position > 0 {
          expected = (expected.prompt + 1, 0)
        }
        guard prompt[row] == expected.prompt, position[row] == expected.position else {
          throw Refusal(
            .artifactSchema, file: artifact.file, at: .tensor("row.position"),
            found: "prompt \(prompt[row]), position \(position[row]) in row \(row)",
            expected: "prompt \(expected.prompt), position \(expected.position)")
        }
        expected.position += 1
      }
      found = rows > 0 ? expected.prompt + 1 : 0
    }
    guard found == prompts else {
      throw Refusal(
        .artifactSchema, file: artifact.file, at: .tensor("tokens"),
        found: "rows of \(counted(found, "prompt"))", expected: "\(prompts)")
    }
  }
}

extension Tensor {
  /// The elements of an I64 tensor.
  fileprivate var integers: [Int] {
    unsafe withUnsafeBytes { bytes in
      unsafe bytes.bindMemory(to: Int64.self).map(Int.init)
    }
  }
}

extension JSONNode {
  /// The precision that a manifest records.
  ///
  /// - Throws: the node's code.
  package func precision() throws(Refusal) -> Precision {
    guard let precision = Precision(rawValue: try string()) else {
      throw refusal(expected: "exact or fast")
    }
    return precision
  }
}
