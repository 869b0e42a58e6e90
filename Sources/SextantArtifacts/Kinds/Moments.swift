import SextantBytes
import SextantStore
import SextantTensor

/// Moments of activations by site and class, from which vectors, lenses and probes are computed.
///
/// Tensors, all F64: `<site>.<class>.count` [], `.mean` [site's shape], and `.scatter` [n, n] or
/// `.squares` [site's shape] if they were collected; n counts the site's elements. The scatter is the
/// covariance times the count, as it is summed, so that a file loses no bit.
/// Specification: `formats/moments.md`.
package struct Moments: ArtifactKind, Sendable {
  /// `moments`.
  package static let name = "moments"
  /// 3: keeps scatters. 2 had covariances in their place, and is still read.
  package static let version = 3
  package static let oldestVersion = 2
  /// A NaN would spread into everything made from them.
  package static let refusesNonfinite = true

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    try expect(artifact)
    let classes = try classes(of: artifact)
    _ = try artifact.manifest.detailsNode(file: artifact.file).origin("data").object()
    _ = try positions(of: artifact)
    // Before a list of sites times classes is made, whose size no file limits.
    guard classes.count <= artifact.tensors.count / (2 * max(artifact.manifest.sites.count, 1))
    else {
      throw Refusal(
        .artifactTensorMissing, file: artifact.file,
        found: counted(artifact.tensors.count, "tensor"),
        expected:
          "count and mean of \(counted(classes.count, "class", plural: "classes")) at each of "
          + "\(artifact.manifest.sites.count) sites")
    }
    var (required, optional): ([ExpectedTensor], [ExpectedTensor]) = ([], [])
    for site in artifact.manifest.sites {
      let n = site.elementCount ?? 0
      for name in classes {
        let prefix = "\(site.name).\(name)."
        required.append(ExpectedTensor(prefix + "count", .f64, []))
        required.append(ExpectedTensor(prefix + "mean", .f64, site.shape))
        let (vector, matrix) = spreads(of: artifact)
        optional.append(ExpectedTensor(prefix + vector, .f64, site.shape))
        optional.append(ExpectedTensor(prefix + matrix, .f64, [n, n]))
      }
    }
    try artifact.expectTensors(required, optional: optional)
    try checkSpreads(artifact, classes)
    for expected in required where expected.shape.isEmpty {
      let count = artifact.tensor(expected.name).map { unsafe $0.withDoubles { unsafe $0[0] } } ?? 0
      guard count >= 0, count <= 0x1p53, count == count.rounded() else {
        throw Refusal(
          .artifactSchema, file: artifact.file, at: .tensor(expected.name), found: "\(count)",
          expected: "a count")
      }
    }
  }

  /// The names of the spreads, by element and as a matrix.
  private static func spreads(of artifact: Artifact) -> (vector: String, matrix: String) {
    artifact.manifest.kindVersion == 2 ? ("variance", "covariance") : ("squares", "scatter")
  }

  /// At each site a class has a matrix, a number for each element, or neither.
  private static func checkSpreads(
    _ artifact: Artifact, _ classes: [String]
  ) throws(Refusal) {
    let (vector, matrix) = spreads(of: artifact)
    for site in artifact.manifest.sites {
      for name in classes {
        let prefix = "\(site.name).\(name)."
        guard
          artifact.tensor(prefix + vector) == nil || artifact.tensor(prefix + matrix) == nil
        else {
          throw Refusal(
            .artifactSchema, file: artifact.file, at: .tensor(prefix + vector),
            found: "\(vector) and \(matrix)", expected: "one of them, or none")
        }
      }
    }
  }

  /// The positions at which the texts were read.
  ///
  /// - Throws: `artifact.schema`.
  package static func positions(of artifact: Artifact) throws(Refusal) -> PositionSelection {
    try PositionSelection(
      artifact.manifest.detailsNode(file: artifact.file).member("positions"))
  }

  /// The names of the classes.
  ///
  /// - Throws: `artifact.schema`, `artifact.classes`, `artifact.empty`.
  package static func classes(of artifact: Artifact) throws(Refusal) -> [String] {
    let node = try artifact.manifest.detailsNode(file: artifact.file).member("classes")
    var classes: [String] = []
    var seen: Set<ExactString> = []
    for element in try node.elements() {
      let name = try element.string()
      // A dot would make two splits of a tensor's name possible.
      guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: ".")),
        seen.insert(ExactString(name)).inserted
      else {
        throw Refusal(
          .artifactClasses, file: artifact.file, at: .pointer(element.pointer), found: name,
          expected: "different names without dots")
      }
      classes.append(name)
    }
    guard !classes.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: artifact.file, at: .pointer(node.pointer), found: "no classes",
        expected: "at least one")
    }
    return classes
  }
}
