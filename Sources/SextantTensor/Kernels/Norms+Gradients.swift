import CSextantKernels

extension Kernels {
  /// Turns gradients by an RMS norm's output into those by its input.
  ///
  /// With r = 1 / sqrt(mean(x²) + epsilon) and g = gradient · weight, the gradient by x is
  /// r · g - x · r³ / D · Σ g x.
  ///
  /// - Parameters:
  ///   - gradient: `[M, D]`.
  ///   - x: `[M, D]`, the input of the norm.
  ///   - weight: `[D]`.
  package static func rmsNormGradient(
    _ gradient: inout Tensor, of x: some MatrixRows, weight: Tensor, epsilon: Float,
    pool: WorkerPool = .shared
  ) {
    let kernels = table
    normGradient(&gradient, x, weight, pool) { g, x, width in
      let square = kernels.dot(x, x, width) / Float(width)
      let r = 1 / (square + epsilon).squareRoot()
      let match = kernels.dot(g, x, width)
      kernels.scale(g, r, width)
      kernels.axpy(g, -match * r * r * r / Float(width), x, width)
    }
  }

  /// Turns gradients by a layer norm's output into those by its input.
  ///
  /// With c = x - mean, r = 1 / sqrt(variance + epsilon) and g = gradient · weight, the gradient by x
  /// is r · (g - mean(g)) - c · r³ / D · Σ g c.
  ///
  /// - Parameters:
  ///   - gradient: `[M, D]`.
  ///   - x: `[M, D]`, the input of the norm.
  ///   - weight: `[D]`.
  package static func layerNormGradient(
    _ gradient: inout Tensor, of x: some MatrixRows, weight: Tensor, epsilon: Float,
    pool: WorkerPool = .shared
  ) {
    let kernels = table
    normGradient(&gradient, x, weight, pool) { g, x, width in
      let mean = kernels.sum(x, width) / Float(width)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { centered in
        guard let c = centered.baseAddress else { return }
        for index in 0..<width { c[index] = x[index] - mean }
        let r = 1 / (kernels.dot(c, c, width) / Float(width) + epsilon).squareRoot()
        let (match, average) = (kernels.dot(g, c, width), kernels.sum(g, width) / Float(width))
        for index in 0..<width { g[index] = r * (g[index] - average) }
        kernels.axpy(g, -match * r * r * r / Float(width), c, width)
      }
    }
  }

  /// Multiplies each row of the gradient by the weight, then calls `body(gradient, x, D)` for it.
  private static func normGradient(
    _ gradient: inout Tensor, _ x: some MatrixRows, _ weight: Tensor, _ pool: WorkerPool,
    _ body: @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
  ) {
    let (rows, width, multiply) = (x.rowCount, x.columnCount, table.mul)
    precondition(
      gradient.rowCount == rows && gradient.columnCount == width && weight.count == width,
      "[\(rows), \(width)] does not fit \(gradient.shape)")
    gradient.withMutableRows { gradient in
      x.withRows { x, stride in
        weight.withRows { weight, _ in
          nonisolated(unsafe) let (gradient, x, weight) = (gradient, x, weight)
          pool.split(rows, by: rowGrain(width: width)) { range in
            for row in range {
              multiply?(gradient + row * width, weight, width)
              body(gradient + row * width, x + row * stride, width)
            }
          }
        }
      }
    }
  }
}
