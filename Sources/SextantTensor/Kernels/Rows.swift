import CSextantKernels
import Glibc

extension Kernels {
  /// e^x / Σ e^x, for each row.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`; minus infinity means a probability of 0, unless a whole row is (NaN then).
  ///   - temperature: the divisor of `x`; positive.
  /// - Returns: `[M, D]`.
  package static func softmax(
    _ x: some MatrixRows, temperature: Float = 1, pool: WorkerPool = .shared
  ) -> Tensor {
    var y = Tensor(unfilled: [x.rowCount, x.columnCount])  // [M, D]
    let kernels = table
    eachRow(of: x, into: &y, pool) { y, x, width in
      y.update(from: x, count: width)
      if temperature != 1 { kernels.scale(y, 1 / temperature, width) }
      let sum = kernels.exp_sum(y, y, kernels.max(y, width), width)
      kernels.scale(y, 1 / sum, width)
    }
    return y
  }

  /// log Σ e^x of each row of `[M, D]`; -infinity for a row of -infinity.
  package static func logSumExp(_ x: some MatrixRows, pool: WorkerPool = .shared) -> [Float] {
    let kernels = table
    return reduceRows(x, pool) { x, width in
      let largest = kernels.max(x, width)
      guard largest.isFinite else { return largest }
      return largest + log(kernels.exp_sum(nil, x, largest, width))
    }
  }

  /// The first index of the largest number in each row of `[M, D]`; NaN is passed over.
  package static func argmax(_ x: some MatrixRows, pool: WorkerPool = .shared) -> [Int] {
    let kernels = table
    return reduceRows(x, pool) { kernels.argmax($0, $1) }
  }

  /// The largest number in each row of `[M, D]`; NaN is passed over.
  package static func maximum(_ x: some MatrixRows, pool: WorkerPool = .shared) -> [Float] {
    let kernels = table
    return reduceRows(x, pool) { kernels.max($0, $1) }
  }

  /// The sum of each row of `[M, D]`.
  package static func sum(_ x: some MatrixRows, pool: WorkerPool = .shared) -> [Float] {
    let kernels = table
    return reduceRows(x, pool) { kernels.sum($0, $1) }
  }

  private static func reduceRows<Value: Sendable>(
    _ x: some MatrixRows, _ pool: WorkerPool,
    _ kernel: @Sendable (UnsafePointer<Float>, Int) -> Value
  ) -> [Value] {
    let (rows, width) = (x.rowCount, x.columnCount)
    return x.withRows { x, stride in
      [Value](unsafeUninitializedCapacity: rows) { buffer, count in
        nonisolated(unsafe) let (x, y) = (x, buffer)
        pool.split(rows, by: rowGrain(width: width)) { range in
          for row in range { y.initializeElement(at: row, to: kernel(x + row * stride, width)) }
        }
        count = rows
      }
    }
  }
}
