import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

/// Sites whose value only one artifact of a sort may set.
///
/// Additions compose. An affine vector or an eraser fixes the value after the edit, and a second
/// one at the same token would break this guarantee of the first.
struct ExclusiveSites {
  /// How far behind the prompt selections are compared: no longer text is expected.
  private static let horizon = 4096

  private let sort: String
  private var claims: [Site: [(positions: PositionSelection, file: String?)]] = [:]

  /// No claims yet, of artifacts that are called `sort` in refusals.
  init(_ sort: String) { self.sort = sort }

  /// Claims the sites whose value a tap sets.
  ///
  /// - Throws: as for each of the sites.
  mutating func claim(
    sitesOf tap: EditTap, prompt: Range<Int>, by file: String?
  ) throws(Refusal) {
    for (sites, positions) in tap.exclusiveSites {
      try claim(sites, at: positions, prompt: prompt, by: file)
    }
  }

  /// Claims sites at the selected tokens.
  ///
  /// - Throws: `artifact.conflict` if another artifact has claimed one at a token that both select.
  private mutating func claim(
    _ sites: Set<Site>, at positions: PositionSelection, prompt: Range<Int>, by file: String?
  ) throws(Refusal) {
    for site in sites.sorted(by: { $0.name < $1.name }) {
      for claim in claims[site, default: []]
      where Self.overlap(positions, claim.positions, prompt: prompt) {
        throw Refusal(
          .artifactConflict, file: file, at: .tensor(site.name),
          found: "\(sort) at a site that \(claim.file ?? "another one") sets at the same tokens",
          expected: "one at each site")
      }
      claims[site, default: []].append((positions, file))
    }
  }

  /// Whether both select a token; selections that depend on tokens that are not known yet may.
  private static func overlap(
    _ a: PositionSelection, _ b: PositionSelection, prompt: Range<Int>
  ) -> Bool {
    if a.dependsOnTokens || b.dependsOnTokens { return true }
    return (prompt.lowerBound..<prompt.upperBound + horizon).contains {
      a.contains($0, prompt: prompt) && b.contains($0, prompt: prompt)
    }
  }
}
