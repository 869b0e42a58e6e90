import SextantBytes
import SextantTensor

/// Moments of activations by site and class: what vectors, lenses and probes are computed from.
///
/// Tensors, all F64: `<site>.<class>.count` [], `.mean` [n], and `.covariance` [n, n] or
/// `.variance` [n] where they were collected; n counts the site's elements. Means and covariances
/// are of the population (divided by the count), so that merging is exact.
/// Specification: `formats/moments.md`.
public struct Moments: ArtifactKind, Sendable {
  /// `moments`.
  public static let name = "moments"
  /// 1.
  public static let version = 1
  /// A NaN would spread into everything made from them.
  public static let refusesNonfinite = true

  /// The last parts of tensor names.
  public static let statistics = ["count", "mean", "covariance", "variance"]

  /// Refuses what are no moments.
  public static func check(_ artifact: Artifact) throws(FormatError) {
    try expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    var classes: [String] = []
    for name in try node.member("classes").elements() { classes.append(try name.string()) }
    var expected: [String: Int?] = [:]
    for site in artifact.manifest.sites {
      for name in classes {
        guard let mean = artifact.tensor("\(site).\(name).mean") else {
          throw FormatError(
            .artifactTensorMissing, file: artifact.file, at: .tensor("\(site).\(name).mean"),
            found: "no such tensor", expected: "count and mean for each site and class")
        }
        expected["\(site).\(name).count"] = 1
        expected["\(site).\(name).mean"] = mean.count
        expected["\(site).\(name).variance"] = mean.count
        expected["\(site).\(name).covariance"] = mean.count * mean.count
      }
    }
    guard !expected.isEmpty else {
      throw FormatError(
        .artifactEmpty, file: artifact.file, found: "no sites or classes",
        expected: "at least one of each")
    }
    for (name, value) in artifact.tensors {
      guard let count = expected[name] else {
        throw FormatError(
          .artifactTensorExtra, file: artifact.file, at: .tensor(name),
          found: "a tensor of no site and class", expected: "<site>.<class>.<statistic>")
      }
      guard value.dataType == .f64, value.count == count else {
        throw FormatError(
          .artifactSchema, file: artifact.file, at: .tensor(name),
          found: "\(value.dataType.rawValue) \(value.shape)",
          expected: "F64 with \(count ?? 0) elements")
      }
    }
  }
}
