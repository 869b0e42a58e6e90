import Glibc
import SextantArtifacts
import SextantBytes

/// Files of artifacts, in their order, as interventions.
package struct AppliedArtifacts {
  /// The items that act on the run: one item for each of `files`, then the condition that ends the
  /// text.
  package private(set) var interventions: Interventions
  /// The files.
  package private(set) var files: [AppliedFile]
  /// What they contain.
  package let artifacts: [AppliedArtifact]

  /// Whether some artifact edits the state in the chosen blocks.
  package let editsState: Bool

  /// The kind of each of them.
  package var kinds: [String] { artifacts.map(\.artifact.manifest.kind) }
  /// Whether some artifact edits.
  package var hasEdits: Bool { interventions.hasEdits }
  /// Whether some artifact reports of tokens.
  package var hasReports: Bool { kinds.contains { $0 == Probe.name || $0 == Lens.name } }

  /// Reads the artifacts.
  ///
  /// - Parameters:
  ///   - options: the options for all of them.
  ///   - stop: the condition that ends the text; nil if none.
  /// - Throws: `artifact.kind` for one that cannot be applied, `usage.option` for a strength that
  ///   it cannot have, `usage.nothing-steered` for an option that applies to none; the errors of
  ///   reading.
  package init(
    _ files: [AppliedFile], _ options: ApplyingOptions = ApplyingOptions(),
    stop: ScoreCondition? = nil
  ) throws(Refusal) {
    self.files = files
    artifacts = try files.map { file throws(Refusal) in try AppliedArtifact(file) }
    editsState = artifacts.contains { $0.editsState(in: options.layers) }
    interventions = try Interventions(applying: artifacts, options)
    if let stop { interventions.items.append(.stop(stop)) }
  }

  /// The same artifacts, with the strengths of all vectors times a factor.
  package func scaled(by factor: Float) -> AppliedArtifacts {
    var scaled = self
    scaled.files = files.map { $0.scaled(by: factor) }
    scaled.interventions = interventions.scaled(by: factor)
    return scaled
  }
}

extension AppliedArtifact {
  /// Reads a file.
  ///
  /// - Throws: `usage.option` for a strength that is not valid; the errors of reading and of
  ///   `AppliedArtifact`.
  package init(_ file: AppliedFile) throws(Refusal) {
    try Self.checkStrength(of: file.path)
    // FILE#NAME names one probe; a path may have a # itself.
    let named = ProbeFile(argument: file.path)
    let isPath = named?.name == nil || access(file.path, F_OK) == 0
    try self.init(
      Artifact(reading: isPath ? file.path : named?.path ?? file.path),
      strength: file.hasStrength ? file.strength.value : nil,
      layerStrengths: file.strength.layers, unit: file.strength.unit,
      probe: isPath ? nil : named?.name, named: LensNames.name(of: file.path))
  }

  /// Refuses text that looks like a strength and is not one, if the file with the name before it
  /// exists.
  private static func checkStrength(of path: String) throws(Refusal) {
    guard access(path, F_OK) != 0, let colon = path.lastIndex(of: ":"),
      access(String(path[..<colon]), F_OK) == 0
    else { return }
    throw Refusal(
      .usageOption, file: String(path[..<colon]), at: .parameter("apply"),
      found: "the strength \"\(path[path.index(after: colon)...])\"",
      expected: WrittenStrength.forms)
  }
}

extension SteeringVector {
  /// Reads the vector of a sweep, which applies it at several strengths.
  ///
  /// - Throws: `usage.option` for a strength after the path, which a single application takes; the errors of
  ///   reading.
  package init(ofSweep argument: String) throws(Refusal) {
    do throws(Refusal) {
      self = try SteeringVector(reading: argument)
    } catch {
      guard error.code == .fileMissing, let file = AppliedFile(argument: argument),
        file.hasStrength
      else { throw error }
      throw Refusal(
        .usageOption, at: .parameter("apply"), found: "a strength after \(file.path)",
        expected: "only the path of a vector: a sweep applies it at each of `multipliers`",
        remedy: "Leave the strength out, or give it with `multipliers`.")
    }
  }
}
