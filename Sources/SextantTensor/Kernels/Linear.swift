import CSextantKernels

/// Products of activations with weights, y = x · Wᵀ + bias.
///
/// Weights are `[N, K]` in the type in which they are stored (f32, bf16, f16 or q8) and are read in
/// place.
/// With few rows of x the weights' bandwidth is the limit, and they are read once; with more, the
/// arithmetic is, and blocks of x and of the weights are kept in the caches. Both are our own kernels:
/// they take every weight type, need no packed copy of the weights, and hold their own against OpenBLAS
/// in f32. Each output element is summed within one chunk, in an order that K alone decides.
public enum Linear {
  /// Bytes of weights in one chunk of the few-row kernel.
  private static let chunkBytes = 128 * 1024

  /// Rows of x in one chunk of the many-row kernel.
  private static let chunkRows = 128

  /// x · Wᵀ + bias.
  ///
  /// - Parameters:
  ///   - x: `[M, K]`.
  ///   - weight: `[N, K]`, of type f32, bf16, f16 or q8.
  ///   - bias: `[N]`, f32.
  /// - Returns: `[M, N]`.
  public static func apply(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor? = nil, pool: WorkerPool = .shared
  ) -> Tensor {
    var y = Tensor(unfilled: [x.rowCount, weight.rowCount])  // [M, N]
    apply(x, weight: weight, bias: bias, into: &y, pool: pool)
    return y
  }

  /// As `apply`, into an f32 tensor with M rows of N columns, whose contents it replaces.
  public static func apply(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor? = nil, into y: inout Tensor,
    pool: WorkerPool = .shared
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
              weight_type: kernelType(weight.dataType), x: first, x_stride: stride, bias: bias,
              y: y, y_stride: weight.rowCount, m: x.rowCount, k: x.columnCount)
            if x.rowCount <= Int(SXK_LINEAR_MAX_M) {
              fewRows(
                product, outputs: weight.rowCount,
                rowBytes: weightBytes.count / max(weight.rowCount, 1), pool)
            } else {
              manyRows(product, outputs: weight.rowCount, pool)
            }
          }
        }
      }
    }
  }

  private static func kernelType(_ type: DataType) -> sxk_type {
    switch type {
    case .f32: SXK_F32
    case .bf16: SXK_BF16
    case .f16: SXK_F16
    case .q8: SXK_Q8
    default: preconditionFailure("no product with \(type.rawValue) weights")
    }
  }

  private static func fewRows(
    _ product: sxk_linear, outputs: Int, rowBytes: Int, _ pool: WorkerPool
  ) {
    nonisolated(unsafe) let product = product
    let kernel = Kernels.table.linear
    pool.split(outputs, by: chunkBytes / max(rowBytes, 1)) { range in
      withUnsafePointer(to: product) { kernel?($0, range.lowerBound, range.upperBound) }
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
    nonisolated(unsafe) let panels = packed.base.assumingMemoryBound(to: Float.self)
    nonisolated(unsafe) let scratch = converted.base.assumingMemoryBound(to: Float.self)
    let scratchPerSlot = product.weight_type == SXK_F32 ? 0 : scratchSize
    pool.split(panelCount, by: max(Kernels.rowGrain(width: product.k) / height, 1)) { range in
      kernels.pack_panels(
        panels, product.x, product.x_stride, product.m, product.k, range.lowerBound,
        range.upperBound)
    }
    // Neighbours in the order of chunks share their weights.
    let columns = Int(SXK_GEMM_COLUMNS)
    let panelGrain = max(chunkRows / height, 1)
    let groups = (panelCount + panelGrain - 1) / panelGrain
    pool.forEach((outputs + columns - 1) / columns * groups) { chunk, slot in
      let (column, panel) = (chunk / groups * columns, chunk % groups * panelGrain)
      withUnsafePointer(to: product) {
        kernels.gemm(
          $0, panels, scratch + slot * scratchPerSlot, panel,
          min(panel + panelGrain, panelCount), column, min(column + columns, outputs))
      }
    }
  }
}
