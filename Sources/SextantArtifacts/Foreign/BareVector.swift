import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor

extension SteeringVector {
  /// A vector in a file that does not record its site, as in the CAA repository: a single tensor of
  /// the model's width.
  ///
  /// - Parameters:
  ///   - path: a PyTorch, safetensors or NumPy file.
  ///   - block: the block whose output it was measured at.
  /// - Throws: `foreign.layout` for files of several tensors or other shapes, `foreign.layer`,
  ///   `artifact.width`, `artifact.nonfinite`; `file.*` and the format's codes.
  public init(
    bareVector path: String, block: Int, for model: ModelReference
  ) throws(Refusal) {
    let checkpoint = try CheckpointSource.open(path).checkpoint
    guard checkpoint.tensors.count == 1, let tensor = checkpoint.tensors.first,
      tensor.shape.count(where: { $0 != 1 }) <= 1
    else {
      throw Refusal(
        .foreignLayout, file: path,
        found: checkpoint.tensors.prefix(4).map { "\($0.name) \($0.shape)" }
          .joined(separator: ", "),
        expected: "a single vector")
    }
    guard (0..<model.layerCount).contains(block) else {
      throw Refusal(
        .foreignLayer, file: path, at: .parameter("layer"), found: "\(block)",
        expected: "one of the blocks 0 to \(model.layerCount - 1)")
    }
    let bytes = try checkpoint.bytes(of: tensor)
    let stored = unsafe bytes.withUnsafeBytes {
      unsafe Tensor(copying: $0, dataType: tensor.dataType, shape: [tensor.shape.reduce(1, *)])
    }
    guard let value = stored?.converted(to: .f32) else {
      throw Refusal(
        .modelDataType, file: path, at: .tensor(tensor.name), found: tensor.dataType.rawValue,
        expected: "F32, BF16, F16 or F64")
    }
    try checkpoint.checkUnchanged()
    self.init(
      model: model, vectors: [try Self.residual(block, value, of: model, file: path)],
      positions: PositionSelection([.all]),
      training: Training(
        method: "imported", positions: .last,
        data: JSONObject([
          ("format", "bare-vector"), ("sha256", .string(SHA256.digest(bytes).description)),
        ])), statistics: JSONObject())
  }
}
