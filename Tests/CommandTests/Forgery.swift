import SextantArtifacts
import SextantTensor
import Testing

/// Artifacts that are well-formed and wrong.
enum Forgery {
  /// Writes a copy of an artifact in which one tensor has the opposite sign.
  static func flip(_ path: String, tensor name: String, to copy: String) throws {
    let artifact = try Artifact(reading: path)
    var tensors = artifact.tensors
    let place = try #require(tensors.firstIndex { $0.name == name })
    tensors[place].value.withMutableFloats { values in
      for index in values.indices { values[index].negate() }
    }
    try Artifact(manifest: artifact.manifest, tensors: tensors).write(to: copy)
  }
}
