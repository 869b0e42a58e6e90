import CSextantKernels

extension Kernels {
  /// Rows of a matrix, converted to f32 if they are stored in another type.
  ///
  /// - Parameters:
  ///   - table: `[V, D]`, of type f32, bf16, f16 or blocks.
  ///   - rows: M indices below V.
  /// - Returns: `[M, D]`.
  package static func gather(_ table: Tensor, rows: [Int]) -> Tensor {
    let (height, width, type) = (table.rowCount, table.columnCount, table.dataType)
    let rowBytes = type.byteCount(elements: width)
    precondition(rows.allSatisfy { (0..<height).contains($0) }, "a row outside 0..<\(height)")
    var y = Tensor(unfilled: [rows.count, width])  // [M, D]
    table.withUnsafeBytes { table in
      y.withMutableBytes { y in
        guard let table = table.baseAddress, let y = y.baseAddress else { return }
        for (place, row) in rows.enumerated() {
          let (source, target) = (table + row * rowBytes, y + place * width * 4)
          if type == .f32 {
            target.copyMemory(from: source, byteCount: width * 4)
          } else {
            convert(source, type, target, .f32, width)
          }
        }
      }
    }
    return y
  }
}
