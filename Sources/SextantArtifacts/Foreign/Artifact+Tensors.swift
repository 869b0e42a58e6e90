import SextantBytes
import SextantCheckpoints

extension Artifact {
  /// Writes the tensors alone, under the names of their sites, for NumPy or PyTorch.
  ///
  /// The manifest is not copied: the file can no longer be checked against a model.
  ///
  /// - Parameter path: `*.npz` is written for `numpy.load`, anything else for `torch.load`.
  /// - Returns: the number of tensors.
  /// - Throws: `export.inexpressible` for an artifact without tensors; `pth.*`, `file.*`, `disk.*`.
  package func writeTensors(to path: String, replacing: Bool = false) throws(Refusal) -> Int {
    guard !tensors.isEmpty else {
      throw Refusal(
        .exportInexpressible, file: file, found: "no tensors", expected: "at least one")
    }
    if path.hasSuffix(".npz") {
      var writer = NumPyWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: replacing)
    } else {
      var writer = PyTorchWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: replacing)
    }
    return tensors.count
  }
}
