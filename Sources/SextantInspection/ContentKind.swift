import SextantArtifacts
import SextantBytes
import SextantCheckpoints

/// The kind of the file at a path, by its content.
public enum ContentKind: Sendable {
  /// A native model.
  case model
  /// A safetensors file with a manifest.
  case artifact
  /// A folder, or any other file: a checkpoint, if anything.
  case other

  /// Looks at a file.
  ///
  /// - Throws: `file.*`; `st.*` and `json.*` for a safetensors file whose header is damaged.
  public init(of path: String) throws(FormatError) {
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
