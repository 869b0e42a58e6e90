import CSextantKernels

/// A kernel y = f(x) over an array.
private typealias Map =
  @convention(c) (
    UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, Int
  ) -> Void

extension Kernels {
  // MARK: Functions of one array, in place

  /// y = e^y, within 2 ulp.
  package static func exp(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.exp, to: &y, pool)
  }

  /// y = 1 / (1 + e^-y), within 4 ulp.
  package static func sigmoid(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.sigmoid, to: &y, pool)
  }

  /// y = tanh(y), within 3 ulp.
  package static func tanh(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.tanh, to: &y, pool)
  }

  /// y = y · sigmoid(y), within 4 ulp.
  package static func silu(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.silu, to: &y, pool)
  }

  /// y = max(y, 0)².
  package static func squaredReLU(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.squared_relu, to: &y, pool)
  }

  /// y = y · Φ(y), Φ the normal distribution; relative error below 6e-7 + 4e-8 y².
  package static func gelu(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.gelu, to: &y, pool)
  }

  /// y = y / 2 · (1 + tanh(√(2 / π) · (y + 0.044715 y³))), an approximation of `gelu` that some models
  /// were trained with; relative error below 6e-7 + 2e-7 y².
  package static func geluTanh(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.gelu_tanh, to: &y, pool)
  }

  /// y = a · y.
  package static func scale(_ y: inout Tensor, by a: Float, pool: WorkerPool = .shared) {
    let (count, kernel) = (y.count, table.scale)
    y.withMutableRows { first in
      nonisolated(unsafe) let first = first
      pool.split(count, by: elementGrain) { kernel?(first + $0.lowerBound, a, $0.count) }
    }
  }

  /// y = a · y for some of the columns.
  ///
  /// - Parameters:
  ///   - y: `[M, D]`; the other columns stay.
  package static func scale(
    _ y: inout Tensor, columns: Range<Int>, by a: Float, pool: WorkerPool = .shared
  ) {
    let (rows, stride, kernel) = (y.rowCount, y.columnCount, table.scale)
    precondition(columns.lowerBound >= 0 && columns.upperBound <= stride, "\(columns) of \(stride)")
    y.withMutableRows { y in
      nonisolated(unsafe) let first = y + columns.lowerBound
      pool.split(rows, by: rowGrain(width: columns.count)) { range in
        for row in range { kernel?(first + row * stride, a, columns.count) }
      }
    }
  }

  private static func apply(_ kernel: Map?, to y: inout Tensor, _ pool: WorkerPool) {
    let count = y.count
    y.withMutableRows { first in
      nonisolated(unsafe) let first = first
      pool.split(count, by: elementGrain) {
        kernel?(first + $0.lowerBound, first + $0.lowerBound, $0.count)
      }
    }
  }

  // MARK: Functions of two arrays

  /// y += x; x has the same number of rows as y, or one row for all.
  package static func add(
    _ x: some MatrixRows, to y: inout Tensor, pool: WorkerPool = .shared
  ) {
    let kernel = table.add
    update(&y, with: x, pool) { kernel?($0, $1, $2) }
  }

  /// y += a · x; x has the same number of rows as y, or one row for all.
  package static func add(
    _ x: some MatrixRows, scaledBy a: Float, to y: inout Tensor, pool: WorkerPool = .shared
  ) {
    let kernel = table.axpy
    update(&y, with: x, pool) { kernel?($0, a, $1, $2) }
  }

  /// y *= x; x has the same number of rows as y, or one row for all.
  package static func multiply(
    _ y: inout Tensor, by x: some MatrixRows, pool: WorkerPool = .shared
  ) {
    let kernel = table.mul
    update(&y, with: x, pool) { kernel?($0, $1, $2) }
  }

  /// y *= z · sigmoid(z), the gate of Mamba and of gated perceptrons; z has the same number of rows
  /// as y, or one row for all.
  package static func multiply(
    _ y: inout Tensor, bySiLUOf z: some MatrixRows, pool: WorkerPool = .shared
  ) {
    let kernel = table.silu_mul
    update(&y, with: z, pool) { kernel?($0, $1, $2) }
  }

  /// y *= sigmoid(z), the gate of attention; z has the same number of rows as y, or one row for all.
  package static func multiply(
    _ y: inout Tensor, bySigmoidOf z: some MatrixRows, pool: WorkerPool = .shared
  ) {
    let kernel = table.sigmoid_mul
    update(&y, with: z, pool) { kernel?($0, $1, $2) }
  }

  /// y *= sigmoid(z), where z is the heads of wider rows.
  ///
  /// - Parameters:
  ///   - y: `[M, H·width]`.
  ///   - z: `[M, …]`.
  ///   - layout: the positions of the H heads in a row of z.
  package static func multiply(
    _ y: inout Tensor, bySigmoidOf z: some MatrixRows, _ layout: HeadColumns,
    pool: WorkerPool = .shared
  ) {
    let (rows, columns, kernel) = (y.rowCount, y.columnCount, table.sigmoid_mul)
    let width = layout.width
    precondition(
      z.rowCount == rows && layout.fits(z.columnCount) && columns == layout.count * width,
      "\(layout.count) heads of \(width) in \(z.columnCount) columns, y \(y.shape)")
    y.withMutableRows { y in
      z.withRows { z, stride in
        nonisolated(unsafe) let (y, z) = (y, z + layout.first)
        pool.split(rows, by: rowGrain(width: columns)) { range in
          for row in range {
            for head in 0..<layout.count {
              kernel?(
                y + row * columns + head * width, z + row * stride + head * layout.stride, width)
            }
          }
        }
      }
    }
  }

  /// p + (q - p) · weight: p if the weight is 0, q if it is 1.
  ///
  /// - Parameters:
  ///   - p: `[M, D]`.
  ///   - q: `[M, D]`.
  ///   - weight: `[M, D]`, or `[D]` for every row.
  /// - Returns: `[M, D]`.
  package static func interpolate(
    from p: some MatrixRows, to q: some MatrixRows, by weight: some MatrixRows,
    pool: WorkerPool = .shared
  ) -> Tensor {
    let (rows, width, kernel) = (p.rowCount, p.columnCount, table.lerp)
    precondition(
      q.rowCount == rows && q.columnCount == width && weight.columnCount == width
        && (weight.rowCount == rows || weight.rowCount == 1),
      "[\(rows), \(width)], [\(q.rowCount), \(q.columnCount)] and \(weight.rowCount) weights")
    var y = Tensor(unfilled: [rows, width])  // [M, D]
    let isShared = weight.rowCount == 1
    y.withMutableRows { y in
      p.withRows { p, pStride in
        q.withRows { q, qStride in
          weight.withRows { weight, weightStride in
            nonisolated(unsafe) let (y, p, q, weight) = (y, p, q, weight)
            let step = isShared ? 0 : weightStride
            pool.split(rows, by: rowGrain(width: width)) { range in
              for row in range {
                kernel?(
                  y + row * width, p + row * pStride, q + row * qStride, weight + row * step, width)
              }
            }
          }
        }
      }
    }
    return y
  }

  /// log(1 + e^(x + bias)), within 4 ulp of the exact value everywhere.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - bias: `[D]`, added to every row.
  /// - Returns: `[M, D]`.
  package static func softplus(
    _ x: some MatrixRows, bias: Tensor? = nil, pool: WorkerPool = .shared
  ) -> Tensor {
    let (rows, width, kernel) = (x.rowCount, x.columnCount, table.softplus)
    precondition(bias == nil || bias?.count == width)
    var y = Tensor(unfilled: [rows, width])  // [M, D]
    withOptionalFloats(bias) { bias in
      y.withMutableRows { y in
        x.withRows { x, stride in
          nonisolated(unsafe) let (x, y, bias) = (x, y, bias)
          pool.split(rows, by: rowGrain(width: width)) { range in
            for row in range { kernel?(y + row * width, x + row * stride, bias, width) }
          }
        }
      }
    }
    return y
  }

  /// Calls `kernel(y, x, count)` for each row of `y` with the same row of `x`, or its only one.
  private static func update(
    _ y: inout Tensor, with x: some MatrixRows, _ pool: WorkerPool,
    _ kernel: @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
  ) {
    let (rows, width) = (y.rowCount, y.columnCount)
    precondition(
      (x.rowCount == rows || x.rowCount == 1) && x.columnCount == width,
      "[\(x.rowCount), \(x.columnCount)] does not fit \(y.shape)")
    let isShared = x.rowCount == 1
    y.withMutableRows { y in
      x.withRows { x, rowStride in
        let stride = isShared ? 0 : rowStride
        nonisolated(unsafe) let (x, y) = (x, y)
        pool.split(rows, by: rowGrain(width: width)) { range in
          for row in range { kernel(y + row * width, x + row * stride, width) }
        }
      }
    }
  }

  /// The address of an f32 tensor's elements, or nil.
  static func withOptionalFloats<R>(
    _ tensor: Tensor?, _ body: (UnsafePointer<Float>?) -> R
  ) -> R {
    guard let tensor else { return body(nil) }
    return tensor.withFloats { body($0.baseAddress) }
  }
}
