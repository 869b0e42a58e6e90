import CSextantKernels

// What a mixture of experts does around its products: rows of tokens are collected with `gather`, multiplied
// by one expert's matrix, `Tensor.element`, and added to their tokens.
extension Kernels {
  /// y[rows[i]] += weights[i] · x[i], for i = 0, 1, …: a row that occurs several times gets all of them,
  /// in that order.
  ///
  /// - Parameters:
  ///   - x: `[N, D]`.
  ///   - weights: N factors.
  ///   - rows: N rows of y.
  ///   - y: `[M, D]`.
  package static func add(
    _ x: some MatrixRows, scaledBy weights: [Float], toRows rows: [Int], of y: inout Tensor,
    pool: WorkerPool = .shared
  ) {
    let (height, width, kernel) = (y.rowCount, y.columnCount, table.axpy)
    precondition(
      x.columnCount == width && x.rowCount == rows.count && weights.count == rows.count
        && rows.allSatisfy { (0..<height).contains($0) },
      "[\(x.rowCount), \(x.columnCount)] to \(rows.count) rows of \(y.shape)")
    y.withMutableRows { y in
      x.withRows { x, stride in
        nonisolated(unsafe) let (x, y) = (x, y)
        // Threads share the columns: each adds all rows of its own in the given order.
        pool.split(width, by: max(rowGrain(width: rows.count) / 16, 1) * 16) { columns in
          let first = columns.lowerBound
          for (index, row) in rows.enumerated() {
            kernel?(
              y + row * width + first, weights[index], x + index * stride + first, columns.count)
          }
        }
      }
    }
  }
}
