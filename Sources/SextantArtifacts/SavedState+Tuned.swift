import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor

/// The files that RWKV's state tuning publishes: the recurrent matrices that a model starts from.
///
/// Specification: `formats/state.md`.
extension SavedState {
  private static let component = "wkv"
  /// The meaning of a published tensor's axes.
  private static let publishedAxes = ["head", "value", "key"]

  /// This state with its `wkv` components taken from a file.
  ///
  /// - Parameter path: a PyTorch or safetensors file with `blocks.<i>.att.time_state`, [H, N, N], for
  ///   every block.
  /// - Throws: `artifact.site` for a model without such components, `model.tensor-missing`,
  ///   `model.tensor-unexpected` for blocks that the model does not have, `model.shape`,
  ///   `model.dtype`; `file.*` and the format's codes.
  package func replacingTunedMatrices(from path: String) throws(Refusal) -> SavedState {
    let checkpoint = try CheckpointSource.open(path).checkpoint
    let places = try tunedPlaces(file: path)
    let names = Set(places.map { ExactString($0.name) })
    let strangers = checkpoint.tensors.map(\.name).filter {
      $0.hasSuffix(".att.time_state") && !names.contains(ExactString($0))
    }
    guard strangers.isEmpty else {
      throw Refusal(
        .modelTensorUnexpected, file: path, found: strangers.joined(separator: ", "),
        expected: "the \(counted(places.count, "block")) of the model")
    }
    var components = components
    for (name, place) in places {
      let site = components[place].site
      let matrices = try Self.read(name, shape: site.shape, from: checkpoint)  // [H, value, key]
      let own = Self.isTransposed(site) ? Self.transposed(matrices) : matrices
      components[place].value = Tensor.concatenated(
        [Tensor](repeating: own.reshaped([1] + site.shape), count: batch))  // [B, H, N, N]
    }
    try checkpoint.checkUnchanged()
    return SavedState(model: model, batch: batch, position: position, components: components)
  }

  /// Writes the `wkv` components as a state-tuning file, without the other components of the state.
  ///
  /// - Parameter path: the file; `.pth` and `.pt` are written as PyTorch does, others as
  ///   safetensors.
  /// - Throws: `artifact.site` for a model without such components, `model.state` for a state of
  ///   several sequences; `file.*`, `disk.*`.
  package func writeTunedMatrices(to path: String, replacing: Bool = false) throws(Refusal) {
    guard batch == 1 else {
      throw Refusal(
        .modelState, file: file, found: counted(batch, "sequence"), expected: "a state of one")
    }
    var tensors: [(name: String, value: Tensor)] = []
    for (name, place) in try tunedPlaces(file: file) {
      let (site, value) = components[place]
      let own = value.reshaped(site.shape)
      tensors.append((name, Self.isTransposed(site) ? Self.transposed(own) : own))
    }
    if path.hasSuffix(".pth") || path.hasSuffix(".pt") {
      var writer = PyTorchWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: replacing)
    } else {
      var writer = SafetensorsWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: replacing)
    }
  }

  /// The published names, and the places of their components.
  private func tunedPlaces(file: String?) throws(Refusal) -> [(name: String, place: Int)] {
    var places: [(name: String, place: Int)] = []
    for (place, (site, _)) in components.enumerated() {
      guard case .state(let block, Self.component)? = site.site, site.shape.count == 3 else {
        continue
      }
      guard site.axes == Self.publishedAxes || Self.isTransposed(site) else { continue }
      places.append(("blocks.\(block).att.time_state", place))
    }
    guard places.count == model.layerCount else {
      throw Refusal(
        .artifactSite, file: file, found: "a \(model.architecture)",
        expected: "a model with a \"\(Self.component)\" in every block: RWKV-5, 6 or 7")
    }
    return places
  }

  private static func isTransposed(_ site: SiteReference) -> Bool {
    site.axes == ["head", "key", "value"]
  }

  private static func read(
    _ name: String, shape: [Int], from checkpoint: any Checkpoint
  ) throws(Refusal) -> Tensor {
    guard let entry = checkpoint.tensor(named: name) else {
      throw Refusal(
        .modelTensorMissing, file: checkpoint.path, at: .tensor(name), found: "no such tensor",
        expected: "one for each block")
    }
    guard entry.shape == shape else {
      throw Refusal(
        .modelShape, file: checkpoint.path, at: .tensor(name), found: "\(entry.shape)",
        expected: "\(shape)")
    }
    let bytes = try checkpoint.bytes(of: entry)
    let stored = unsafe bytes.withUnsafeBytes {
      unsafe Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
    }
    guard let matrices = stored?.converted(to: .f32) else {
      throw Refusal(
        .modelDataType, file: checkpoint.path, at: .tensor(name),
        found: entry.dataType.rawValue, expected: "F32, BF16, F16 or F64")
    }
    return matrices
  }

  /// [H, N, M] as [H, M, N].
  private static func transposed(_ matrices: Tensor) -> Tensor {
    let (heads, rows, columns) = (matrices.shape[0], matrices.shape[1], matrices.shape[2])
    let values = matrices.values
    var result = [Float](repeating: 0, count: values.count)
    for head in 0..<heads {
      for row in 0..<rows {
        for column in 0..<columns {
          result[(head * columns + column) * rows + row] =
            values[(head * rows + row) * columns + column]
        }
      }
    }
    return Tensor(result, shape: [heads, columns, rows])
  }
}
