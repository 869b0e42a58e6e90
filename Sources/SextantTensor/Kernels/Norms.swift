import CSextantKernels

extension Kernels {
  /// x / sqrt(mean(x²) + epsilon) · weight, for each row; NaN if the mean overflows.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - weight: `[D]`, or `[D / groups]` for every group; nil means ones.
  ///   - groups: parts of equal width that are normalised each on its own.
  /// - Returns: `[M, D]`.
  package static func rmsNorm(
    _ x: some MatrixRows, weight: Tensor?, epsilon: Float, groups: Int = 1,
    pool: WorkerPool = .shared
  ) -> Tensor {
    var y = Tensor(unfilled: [x.rowCount, x.columnCount])  // [M, D]
    rmsNorm(x, weight: weight, epsilon: epsilon, groups: groups, into: &y, pool: pool)
    return y
  }

  /// As `rmsNorm`, into a tensor with as many rows and columns as `x`.
  package static func rmsNorm(
    _ x: some MatrixRows, weight: Tensor?, epsilon: Float, groups: Int = 1,
    into y: inout Tensor, pool: WorkerPool = .shared
  ) {
    let kernel = table.rms_norm
    precondition(groups >= 1 && x.columnCount % groups == 0, "\(groups) groups")
    let width = x.columnCount / groups
    let step = weight?.count == width ? 0 : width
    precondition(weight == nil || weight?.count == (step == 0 ? width : x.columnCount))
    withOptionalFloats(weight) { weight in
      nonisolated(unsafe) let weight = weight
      eachRow(of: x, into: &y, pool) { y, x, count in
        for group in 0..<groups {
          let first = group * width
          kernel?(y + first, x + first, weight.map { $0 + group * step }, epsilon, width)
        }
      }
    }
  }

  /// (x - mean) / sqrt(variance + epsilon) · weight + bias, for each row; NaN if the variance
  /// overflows.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - weight: `[D]`; nil means ones.
  ///   - bias: `[D]`; nil means zeros.
  /// - Returns: `[M, D]`.
  package static func layerNorm(
    _ x: some MatrixRows, weight: Tensor?, bias: Tensor?, epsilon: Float,
    pool: WorkerPool = .shared
  ) -> Tensor {
    var y = Tensor(unfilled: [x.rowCount, x.columnCount])  // [M, D]
    layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: &y, pool: pool)
    return y
  }

  /// As `layerNorm`, into a tensor with as many rows and columns as `x`.
  package static func layerNorm(
    _ x: some MatrixRows, weight: Tensor?, bias: Tensor?, epsilon: Float, into y: inout Tensor,
    pool: WorkerPool = .shared
  ) {
    let kernel = table.layer_norm
    precondition(weight == nil || weight?.count == x.columnCount)
    precondition(bias == nil || bias?.count == x.columnCount)
    withOptionalFloats(weight) { weight in
      withOptionalFloats(bias) { bias in
        nonisolated(unsafe) let (weight, bias) = (weight, bias)
        eachRow(of: x, into: &y, pool) { kernel?($0, $1, weight, bias, epsilon, $2) }
      }
    }
  }

  /// Calls `kernel(y, x, count)` for each row of `x` and the same row of `y`.
  static func eachRow(
    of x: some MatrixRows, into y: inout Tensor, _ pool: WorkerPool,
    _ kernel: @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
  ) {
    let (rows, width) = (x.rowCount, x.columnCount)
    precondition(
      y.rowCount == rows && y.columnCount == width,
      "[\(rows), \(width)] does not fit \(y.shape)")
    y.withMutableRows { y in
      x.withRows { x, stride in
        nonisolated(unsafe) let (x, y) = (x, y)
        pool.split(rows, by: rowGrain(width: width)) { range in
          for row in range { kernel(y + row * width, x + row * stride, width) }
        }
      }
    }
  }
}
