import CBLAS
import CSextantKernels

/// Products of many f32 rows with few f64 vectors, in f64, which dominate the time of iterative
/// fits.
///
/// Rows are converted block by block, so that memory is read once. Sums of blocks are added in the
/// order of the rows: results do not depend on the thread count.
package enum RowProducts {
  private static let blockRows = 256

  /// For each block of rows: z = X v, then w from `body`, and Σ Xᵀ w over all blocks.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - vector: D numbers.
  ///   - body: converts z of some rows to w, in place; called from several threads.
  /// - Returns: D numbers.
  package static func transposedProduct(
    _ x: some MatrixRows, times vector: [Double], pool: WorkerPool = .shared,
    _ body: @Sendable (_ rows: Range<Int>, _ z: UnsafeMutableBufferPointer<Double>) -> Void
  ) -> [Double] {
    let (rows, width) = (x.rowCount, x.columnCount)
    precondition(vector.count == width)
    BLAS.prepare()
    let blocks = (rows + blockRows - 1) / blockRows
    var sums = [Double](repeating: 0, count: max(blocks, 1) * width)  // [blocks, D]
    let scratchCount = blockRows * (width + 1)
    let scratch = UnsafeMutablePointer<Double>.allocate(
      capacity: max(pool.threadCount * scratchCount, 1))
    defer { scratch.deallocate() }
    let kernels = Kernels.table
    x.withRows { x, stride in
      sums.withUnsafeMutableBufferPointer { sums in
        vector.withUnsafeBufferPointer { vector in
          nonisolated(unsafe) let (x, sums, vector, scratch) = (x, sums, vector, scratch)
          pool.forEach(blocks) { (block: Int, slot: Int) in
            guard let sums = sums.baseAddress, let vector = vector.baseAddress else { return }
            let range = block * blockRows..<min((block + 1) * blockRows, rows)
            let z = scratch + slot * scratchCount
            let copy = z + blockRows  // [block, D]
            for row in range {
              kernels.f64_from_f32(
                copy + (row - range.lowerBound) * width, x + row * stride, width)
            }
            sextant_dgemv(
              SextantRowMajor, SextantNoTrans, Int32(range.count), Int32(width), 1, copy,
              Int32(width), vector, 1, 0, z, 1)
            body(range, UnsafeMutableBufferPointer(start: z, count: range.count))
            sextant_dgemv(
              SextantRowMajor, SextantTrans, Int32(range.count), Int32(width), 1, copy,
              Int32(width), z, 1, 0, sums + block * width, 1)
          }
        }
      }
    }
    for block in 1..<max(blocks, 1) {
      for column in 0..<width { sums[column] += sums[block * width + column] }
    }
    return Array(sums[..<width])
  }

  /// X V, [M, k] row-major.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - vectors: `[k, D]`, one vector in each row.
  package static func product(
    _ x: some MatrixRows, vectors: [Double], count k: Int, pool: WorkerPool = .shared
  ) -> [Double] {
    let (rows, width) = (x.rowCount, x.columnCount)
    precondition(vectors.count == k * width)
    var result = [Double](repeating: 0, count: rows * k)
    guard rows > 0, k > 0, width > 0 else { return result }
    BLAS.prepare()
    let scratch = UnsafeMutablePointer<Double>.allocate(
      capacity: pool.threadCount * blockRows * width)
    defer { scratch.deallocate() }
    let kernels = Kernels.table
    x.withRows { x, stride in
      result.withUnsafeMutableBufferPointer { result in
        vectors.withUnsafeBufferPointer { vectors in
          nonisolated(unsafe) let (x, result, vectors, scratch) = (x, result, vectors, scratch)
          pool.forEach((rows + blockRows - 1) / blockRows) { (block: Int, slot: Int) in
            guard let result = result.baseAddress, let vectors = vectors.baseAddress else {
              return
            }
            let range = block * blockRows..<min((block + 1) * blockRows, rows)
            let copy = scratch + slot * blockRows * width
            for row in range {
              kernels.f64_from_f32(
                copy + (row - range.lowerBound) * width, x + row * stride, width)
            }
            sextant_dgemm(
              SextantRowMajor, SextantNoTrans, SextantTrans, Int32(range.count), Int32(k),
              Int32(width), 1, copy, Int32(width), vectors, Int32(width), 0,
              result + range.lowerBound * k, Int32(k))
          }
        }
      }
    }
    return result
  }
}
