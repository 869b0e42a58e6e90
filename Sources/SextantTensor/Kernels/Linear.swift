import CSextantKernels

/// Products of activations with weights, y = x · Wᵀ + bias.
///
/// Weights are `[N, K]` in the type in which they are stored (f32, bf16, f16 or blocks) and are read in
/// place. With few rows of x the weights' bandwidth is the limit, and they are read once; with
/// more, the arithmetic is, and blocks of x and of the weights are kept in the caches. Both are our
/// own kernels: they support every weight type, need no packed copy of the weights, and are about
/// as fast as OpenBLAS in f32. Both sum up each output in the same order, which depends on K only:
/// the bits of a row of y do not depend on the other rows. `Precision` decides whether x may be
/// rounded to the type of the weights.
package enum Linear {
  /// Rows of weights in one chunk of the few-row kernels: some microseconds of reading, and a multiple of
  /// the outputs that a kernel sums up together.
  private static func chunkRows(rowBytes: Int) -> Int {
    (64 * 1024 / max(rowBytes, 1) + 15) / 16 * 16
  }

  /// Rows of x in one chunk of the many-row kernel.
  private static let panelChunkRows = 128

  /// x · Wᵀ + bias.
  ///
  /// - Parameters:
  ///   - x: `[M, K]`.
  ///   - weight: `[N, K]`, of type f32, bf16, f16 or blocks.
  ///   - bias: `[N]`, f32.
  ///   - precision: whether x may be rounded to the precision of the weights' type.
  /// - Returns: `[M, N]`.
  package static func apply(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor? = nil, precision: Precision = .current,
    pool: WorkerPool = .shared
  ) -> Tensor {
    var y = Tensor(unfilled: [x.rowCount, weight.rowCount])  // [M, N]
    apply(x, weight: weight, bias: bias, into: &y, precision: precision, pool: pool)
    return y
  }

  /// As `apply`, into an f32 tensor with M rows of N columns, whose contents it replaces.
  package static func apply(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor? = nil, into y: inout Tensor,
    precision: Precision = .current, pool: WorkerPool = .shared
  ) {
    precondition(
      x.columnCount == weight.columnCount && y.rowCount == x.rowCount
        && y.columnCount == weight.rowCount && (bias == nil || bias?.count == weight.rowCount),
      "x [\(x.rowCount), \(x.columnCount)], weight \(weight.shape), y \(y.shape)")
    Kernels.withOptionalFloats(bias) { bias in
      weight.withUnsafeBytes { weightBytes in
        x.withRows { first, stride in
          y.withMutableRows { y in
            let product = sxk_linear(
              weight: weightBytes.baseAddress, weight_stride: weight.columnCount,
              weight_type: weight.dataType.kernelType, x: first, x_stride: stride, bias: bias,
              y: y, y_stride: weight.rowCount, m: x.rowCount, k: x.columnCount)
            let outputs = weight.rowCount
            let rowBytes = weightBytes.count / max(outputs, 1)
            let isBlocks = weight.dataType.isBlocks
            // Blocks are read in place twice before it is worth while to unpack them.
            let isFew = x.rowCount <= Int(SXK_LINEAR_MAX_M) * (isBlocks ? 2 : 1)
            if precision == .fast && canRound(product) {
              if isFew || isBlocks {
                roundedRows(product, outputs: outputs, rowBytes: rowBytes, pool)
              } else {
                roundedPanels(product, outputs: outputs, pool)
              }
            } else if isFew {
              fewRows(product, outputs: outputs, rowBytes: rowBytes, pool)
            } else {
              manyRows(product, outputs: outputs, pool)
            }
          }
        }
      }
    }
  }

  /// The rows `range` of a product.
  private static func part(_ product: sxk_linear, _ range: Range<Int>) -> sxk_linear {
    var part = product
    part.x = product.x + range.lowerBound * product.x_stride
    part.y = product.y + range.lowerBound * product.y_stride
    part.m = range.count
    return part
  }

  private static func fewRows(
    _ product: sxk_linear, outputs: Int, rowBytes: Int, _ pool: WorkerPool
  ) {
    nonisolated(unsafe) let product = product
    let (kernel, most) = (Kernels.table.linear, Int(SXK_LINEAR_MAX_M))
    pool.split(outputs, by: chunkRows(rowBytes: rowBytes)) { columns in
      for row in stride(from: 0, to: product.m, by: most) {
        withUnsafePointer(to: part(product, row..<min(row + most, product.m))) {
          kernel?($0, columns.lowerBound, columns.upperBound)
        }
      }
    }
  }

  private static func manyRows(_ product: sxk_linear, outputs: Int, _ pool: WorkerPool) {
    nonisolated(unsafe) let product = product
    let kernels = Kernels.table
    let height = kernels.panel_rows()
    let panelCount = (product.m + height - 1) / height
    let scratchSize = Int(SXK_GEMM_COLUMNS * SXK_GEMM_DEPTH)
    let packed = TensorStorage(unfilledFloatCount: panelCount * height * product.k)
    let converted = TensorStorage(
      unfilledFloatCount: product.weight_type == SXK_F32 ? 0 : scratchSize * pool.threadCount)
    defer { withExtendedLifetime((packed, converted)) {} }
    nonisolated(unsafe) let packedPanels = packed.base.assumingMemoryBound(to: Float.self)
    nonisolated(unsafe) let scratch = converted.base.assumingMemoryBound(to: Float.self)
    let scratchPerSlot = product.weight_type == SXK_F32 ? 0 : scratchSize
    pool.split(panelCount, by: max(Kernels.rowGrain(width: product.k) / height, 1)) { range in
      kernels.pack_panels(
        packedPanels, product.x, product.x_stride, product.m, product.k, range.lowerBound,
        range.upperBound)
    }
    blocks(panelCount, height, outputs: outputs, pool) { panels, columns, slot in
      withUnsafePointer(to: product) {
        kernels.gemm(
          $0, packedPanels, scratch + slot * scratchPerSlot, panels.lowerBound, panels.upperBound,
          columns.lowerBound, columns.upperBound)
      }
    }
  }

  /// Calls `body` with ranges of panels and of columns that together are the whole product.
  private static func blocks(
    _ panelCount: Int, _ height: Int, outputs: Int, _ pool: WorkerPool,
    _ body: @Sendable (_ panels: Range<Int>, _ columns: Range<Int>, _ slot: Int) -> Void
  ) {
    // Neighbours in the order of chunks share their weights.
    let width = Int(SXK_GEMM_COLUMNS)
    let grain = max(panelChunkRows / height, 1)
    let groups = (panelCount + grain - 1) / grain
    pool.forEach((outputs + width - 1) / width * groups) { chunk, slot in
      let (column, panel) = (chunk / groups * width, chunk % groups * grain)
      body(
        panel..<min(panel + grain, panelCount), column..<min(column + width, outputs), slot)
    }
  }

  // MARK: x rounded to the type of the weights

  /// Whether there is a product with x rounded.
  private static func canRound(_ product: sxk_linear) -> Bool {
    switch product.weight_type {
    case SXK_F32, SXK_F16: false
    // There are instructions on some processors. Panels contain pairs of neighbours.
    case SXK_BF16: Kernels.table.dot_gemm != nil && product.k.isMultiple(of: 2)
    default: true
    }
  }

  private static func roundedRows(
    _ product: sxk_linear, outputs: Int, rowBytes: Int, _ pool: WorkerPool
  ) {
    let kernels = Kernels.table
    let roundedBytes = kernels.dot_row_bytes(product.weight_type, product.k)
    let rounded = TensorStorage(unfilledByteCount: product.m * roundedBytes)
    defer { withExtendedLifetime(rounded) {} }
    nonisolated(unsafe) let (product, rows) = (product, rounded.base)
    pool.split(product.m, by: Kernels.rowGrain(width: product.k)) { range in
      withUnsafePointer(to: part(product, range)) {
        kernels.dot_rows(rows + range.lowerBound * roundedBytes, $0)
      }
    }
    let most = Int(SXK_DOT_MAX_M)
    pool.split(outputs, by: chunkRows(rowBytes: rowBytes)) { columns in
      for row in stride(from: 0, to: product.m, by: most) {
        withUnsafePointer(to: part(product, row..<min(row + most, product.m))) {
          kernels.dot_linear($0, rows + row * roundedBytes, columns.lowerBound, columns.upperBound)
        }
      }
    }
  }

  private static func roundedPanels(_ product: sxk_linear, outputs: Int, _ pool: WorkerPool) {
    nonisolated(unsafe) let product = product
    let kernels = Kernels.table
    let height = kernels.panel_rows()
    let panelCount = (product.m + height - 1) / height
    let packed = TensorStorage(unfilledFloatCount: panelCount * height * product.k / 2)
    defer { withExtendedLifetime(packed) {} }
    nonisolated(unsafe) let packedPanels = packed.base.assumingMemoryBound(to: UInt32.self)
    pool.split(panelCount, by: max(Kernels.rowGrain(width: product.k) / height, 1)) { range in
      kernels.dot_pack_panels(
        packedPanels, product.x, product.x_stride, product.m, product.k, range.lowerBound,
        range.upperBound)
    }
    blocks(panelCount, height, outputs: outputs, pool) { panels, columns, _ in
      withUnsafePointer(to: product) {
        kernels.dot_gemm(
          $0, packedPanels, panels.lowerBound, panels.upperBound, columns.lowerBound,
          columns.upperBound)
      }
    }
  }
}

extension DataType {
  /// The kernels' word for the type of weights.
  package var kernelType: sxk_type {
    switch self {
    case .f32: SXK_F32
    case .bf16: SXK_BF16
    case .f16: SXK_F16
    case .q8: SXK_Q8
    case .q4v0: SXK_Q4_0
    case .q4v1: SXK_Q4_1
    case .q5v0: SXK_Q5_0
    case .q5v1: SXK_Q5_1
    case .q4k: SXK_Q4_K
    case .q5k: SXK_Q5_K
    case .q6k: SXK_Q6_K
    default: preconditionFailure("no product with \(rawValue) weights")
    }
  }
}
