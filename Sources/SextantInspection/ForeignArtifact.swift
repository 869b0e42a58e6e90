import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantReport
import SextantStore

/// A vector or a lens of another tool.
package struct ForeignArtifact: Sendable {
  /// The artifact that it becomes.
  package let artifact: Artifact
  fileprivate let kind: String
  fileprivate let words: String
  fileprivate let sites: [String]
  /// Notes for the user.
  package private(set) var notes: [String] = []

  /// Reads a control vector (.gguf), a bare vector, or a folder of tuned-lens.
  ///
  /// - Parameters:
  ///   - reference: the model that it was made for.
  ///   - layer: the block that a bare vector belongs to; nil for none.
  ///   - convention: what the numbers of a control vector's directions mean; nil for what the file tells.
  ///   - allowsModelMismatch: accept a file that records the identity of another model.
  /// - Throws: `usage.option` for a bare vector without a block; `file.unknown` for an artifact; `foreign.*`, `artifact.*`, what reading
  ///   throws.
  package init(
    reading source: String, for reference: ModelReference, layer: Int?,
    convention: LayerConvention?, allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    if Lens.isTunedLens(source) {
      let lens = try Lens(
        tunedLens: source, for: reference, allowsModelMismatch: allowsModelMismatch)
      (artifact, kind, words) = (lens.artifact, "lens", "a lens")
      sites = lens.translators.map(\.site.name)
      return
    }
    guard try ContentKind(of: source) != .artifact else {
      throw Refusal(
        .fileUnknown, file: source, found: "an artifact of Sextant",
        expected: "a vector of another tool",
        remedy: "Use it as it is: an artifact needs no conversion.")
    }
    let vector: SteeringVector
    var notes: [String] = []
    if let layer {
      vector = try SteeringVector(bareVector: source, block: layer, for: reference)
    } else if try FileKind(of: InputFile(source)) == .gguf {
      let file = try ControlVectorFile(reading: source)
      vector = try file.steeringVector(
        for: reference, convention: convention, allowsModelMismatch: allowsModelMismatch)
      let own = [reference.architecture, ModelExport.modelHint(of: reference.architecture)]
      if let hint = file.modelHint, !own.contains(hint) {
        notes.append(
          "the file was made for a model of the kind \(printable(hint)); this model's kind is \(own[1])"
        )
      }
    } else {
      throw Refusal(
        .usageOption, file: source, at: .parameter("layer"), found: "a vector without a layer",
        expected: "its block")
    }
    (artifact, kind) = (vector.artifact, "steering")
    words = "a steering vector (\(vector.operation.rawValue))"
    sites = vector.vectors.map(\.site.name)
    self.notes = notes
  }
}

extension Report {
  /// What was read from another tool's file.
  package init(_ foreign: ForeignArtifact, of source: String, to output: String) {
    self.init(
      title: "\(printable(output)): \(foreign.words) for \(counted(foreign.sites.count, "site"))",
      facts: [("sites", foreign.sites.joined(separator: ", "))],
      notes: foreign.notes,
      json: JSONObject([
        ("source", .string(source)), ("output", .string(output)), ("kind", .string(foreign.kind)),
        ("sites", .array(foreign.sites.map { .string($0) })),
        ("notes", .array(foreign.notes.map { .string($0) })),
      ]))
  }
}
