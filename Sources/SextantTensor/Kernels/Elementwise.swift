import CSextantKernels

/// A kernel y = f(x) over an array.
private typealias Map =
  @convention(c) (
    UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, Int
  ) -> Void

extension Kernels {
  // MARK: Functions of one array, in place

  /// y = e^y, within 2 ulp.
  public static func exp(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.exp, to: &y, pool)
  }

  /// y = 1 / (1 + e^-y), within 4 ulp.
  public static func sigmoid(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.sigmoid, to: &y, pool)
  }

  /// y = tanh(y), within 3 ulp.
  public static func tanh(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.tanh, to: &y, pool)
  }

  /// y = y · sigmoid(y), within 4 ulp.
  public static func silu(_ y: inout Tensor, pool: WorkerPool = .shared) {
    apply(table.silu, to: &y, pool)
  }

  /// y = a · y.
  public static func scale(_ y: inout Tensor, by a: Float, pool: WorkerPool = .shared) {
    let (count, kernel) = (y.count, table.scale)
    y.withMutableRows { first in
      nonisolated(unsafe) let first = first
      pool.split(count, by: elementGrain) { kernel?(first + $0.lowerBound, a, $0.count) }
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

  /// y += x.
  public static func add(
    _ x: some MatrixRows, to y: inout Tensor, pool: WorkerPool = .shared
  ) {
    let kernel = table.add
    update(&y, with: x, pool) { kernel?($0, $1, $2) }
  }

  /// y += a · x.
  public static func add(
    _ x: some MatrixRows, scaledBy a: Float, to y: inout Tensor, pool: WorkerPool = .shared
  ) {
    let kernel = table.axpy
    update(&y, with: x, pool) { kernel?($0, a, $1, $2) }
  }

  /// y *= x.
  public static func multiply(
    _ y: inout Tensor, by x: some MatrixRows, pool: WorkerPool = .shared
  ) {
    let kernel = table.mul
    update(&y, with: x, pool) { kernel?($0, $1, $2) }
  }

  /// y *= z · sigmoid(z): the gate of Mamba and of gated perceptrons.
  public static func multiply(
    _ y: inout Tensor, bySiLUOf z: some MatrixRows, pool: WorkerPool = .shared
  ) {
    let kernel = table.silu_mul
    update(&y, with: z, pool) { kernel?($0, $1, $2) }
  }

  /// log(1 + e^(x + bias)), within 4 ulp of the exact value everywhere.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - bias: `[D]`, added to every row.
  /// - Returns: `[M, D]`.
  public static func softplus(
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

  /// Calls `kernel(y, x, count)` for rows of equal shape.
  private static func update(
    _ y: inout Tensor, with x: some MatrixRows, _ pool: WorkerPool,
    _ kernel: @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
  ) {
    let (rows, width) = (y.rowCount, y.columnCount)
    precondition(
      x.rowCount == rows && x.columnCount == width,
      "[\(x.rowCount), \(x.columnCount)] does not fit \(y.shape)")
    y.withMutableRows { y in
      x.withRows { x, stride in
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
