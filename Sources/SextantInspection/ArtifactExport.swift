import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantReport
import SextantStore

/// The formats of other programs that artifacts are written in.
package enum ArtifactExport: Sendable {
  /// A control vector of llama.cpp (.gguf), of a steering vector.
  case controlVector
  /// All tensors under their sites' names, as .npz or for PyTorch (.pt).
  case tensors
  /// A folder of the tuned-lens package, of a lens.
  case tunedLens

  /// The format that a path's ending stands for.
  ///
  /// - Throws: `export.format` for an ending of none.
  package init(to path: String) throws(Refusal) {
    if path.hasSuffix(".gguf") {
      self = .controlVector
    } else if [".npz", ".pt", ".pth"].contains(where: path.hasSuffix) {
      self = .tensors
    } else if ModelExportFormat(path: path) == .huggingFace {
      self = .tunedLens
    } else {
      throw Refusal(
        .exportFormat, file: path, found: "an ending that is not one of an artifact format",
        expected: ".gguf, .npz, .pt, or a folder for a lens")
    }
  }

  /// Writes an artifact.
  ///
  /// - Parameter layers: the blocks of a control vector; nil for all.
  /// - Returns: tensors written.
  /// - Throws: `artifact.*`, `export.*`, `file.*`.
  package func write(
    _ artifact: Artifact, to path: String, layers: LayerSelection?, replacing: Bool
  ) throws(Refusal) -> Int {
    switch self {
    case .controlVector:
      let vector = try SteeringVector(artifact)
      try vector.writeControlVector(
        to: path, blocks: layers,
        modelHint: ModelExport.modelHint(of: vector.model.architecture), replacing: replacing)
      return try GGUFFile(path).tensors.count
    case .tensors: return try artifact.writeTensors(to: path, replacing: replacing)
    case .tunedLens:
      let lens = try Lens(artifact)
      try lens.writeTunedLens(to: path, replacing: replacing)
      return 2 * lens.model.layerCount
    }
  }
}

extension Report {
  /// What the export of an artifact did.
  package init(exported artifact: Artifact, of input: String, to output: String, tensorCount: Int) {
    self.init(
      title: "\(printable(output)): \(counted(tensorCount, "tensor")) of "
        + "\(printable(artifact.manifest.kind)) for \(printable(artifact.manifest.model.architecture))",
      json: JSONObject([
        ("input", .string(input)), ("output", .string(output)),
        ("kind", .string(artifact.manifest.kind)), ("tensors", JSONValue(tensorCount)),
      ]))
  }
}

extension ArtifactExport {
  /// The files in folders of exported models and lenses, except shards.
  package static let usualNames = [
    "config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja",
    "params.pt",
  ]
}
