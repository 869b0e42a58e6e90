import SextantBytes

/// A checkpoint's shapes under an architecture's canonical names. A configuration is derived from
/// them if the checkpoint has none.
struct CanonicalShapes {
  private let checkpoint: CheckpointShapes
  private let dialect: Dialect

  /// - Throws: `model.dialect-unknown` when the tensors follow none of the architecture's namings.
  init(
    _ checkpoint: CheckpointShapes, of architecture: any Architecture.Type
  ) throws(Refusal) {
    guard let dialect = architecture.dialects.first(where: checkpoint.follow) else {
      throw Refusal(
        .modelDialectUnknown,
        found: "\(counted(checkpoint.shapes.count, "tensor")) of another naming",
        expected: architecture.dialects.map {
          "\($0.markers.joined(separator: " and ")) (\($0.name))"
        }.joined(separator: ", or "))
    }
    self.checkpoint = checkpoint
    self.dialect = dialect
  }

  /// Whether the checkpoint has the tensor.
  func contains(_ name: String) -> Bool { checkpoint.contains(dialect.source(name).name) }

  /// Whether the naming spells the tensor's shape as one dimension.
  func isFlat(_ name: String) -> Bool { dialect.source(name).form == .flat }

  /// How many elements a tensor of few has.
  ///
  /// - Throws: `model.tensor-missing`, and `model.shape` for none or more than 65,536.
  func elementCount(of name: String) throws(Refusal) -> Int {
    let source = dialect.source(name).name
    guard let shape = checkpoint.shape(ofAny: [source]) else {
      throw Refusal(
        .modelTensorMissing, found: "no \(source)", expected: "a tensor of every such model")
    }
    let sizes = shape.filter { $0 != 1 }
    guard sizes.count <= 1, (1...65_536).contains(sizes.first ?? 1) else {
      throw Refusal(
        .modelShape, at: .tensor(source), found: "\(shape)", expected: "one dimension")
    }
    return sizes.first ?? 1
  }

  /// The dimensions of a tensor, in the architecture's order.
  ///
  /// - Throws: `model.tensor-missing` or `h5.keras.count`, and `model.shape` for another number of
  ///   dimensions or one that no model has.
  func dimensions(of name: String, count: Int) throws(Refusal) -> [Int] {
    let source = dialect.source(name)
    guard let shape = checkpoint.shape(ofAny: [source.name]) else {
      throw Refusal(
        dialect.countsVariables ? .hdf5KerasCount : .modelTensorMissing, found: "no \(source.name)",
        expected: "a tensor of every such model")
    }
    guard shape.count == count, shape.allSatisfy({ (1...(1 << 24)).contains($0) }) else {
      throw Refusal(
        .modelShape, at: .tensor(source.name), found: "\(shape)",
        expected: counted(count, "dimension"))
    }
    return source.isTransposed ? shape.dropLast(2) + shape.suffix(2).reversed() : shape
  }

  /// The number of blocks up to the last one that has this tensor.
  func blockCount(having name: String) -> Int {
    (0..<1000).last { contains("blocks.\($0).\(name)") }.map { $0 + 1 } ?? 0
  }
}
