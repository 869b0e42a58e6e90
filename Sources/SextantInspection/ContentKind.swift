import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantReport
import SextantStore

/// The kind of the file at a path, by its content.
package enum ContentKind: Sendable {
  /// A native model.
  case model
  /// A safetensors file with a manifest.
  case artifact
  /// A folder, or any other file: a checkpoint, if anything.
  case other

  /// Looks at a file.
  ///
  /// - Throws: `file.*`; `st.*` and `json.*` for a safetensors file whose header is damaged.
  package init(of path: String) throws(Refusal) {
    guard !CheckpointSource.isFolder(path) else {
      self = .other
      return
    }
    let file = try InputFile(path)
    switch try FileKind(of: file) {
    case .store: self = .model
    case .safetensors:
      let safetensors = try SafetensorsFile(file, stringLimit: Artifact.manifestLimit)
      self = Artifact.isArtifact(safetensors) ? .artifact : .other
    default: self = .other
    }
  }
}

extension Report {
  /// What a file is and contains.
  ///
  /// - Parameter rowLimit: tensors that are listed at most.
  /// - Throws: what opening the file throws.
  package init(inspecting path: String, rowLimit: Int) throws(Refusal) {
    switch try ContentKind(of: path) {
    case .model: try self.init(store: ModelStore(opening: path), rowLimit: rowLimit)
    case .artifact: try self.init(artifact: Artifact(reading: path), rowLimit: rowLimit)
    case .other: try self.init(checkpoint: CheckpointSource.open(path), rowLimit: rowLimit)
    }
  }
}
