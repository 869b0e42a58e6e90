import CBLAS
import CSextantKernels

// The products for training a matrix, or through one. OpenBLAS computes the tiles; tiles and the
// order of sums depend on the shapes alone.
extension Linear {
  /// Rows and columns of one tile of a result.
  private static let (tileRows, tileColumns) = (64, 192)
  /// Rows of weights that are widened to f32 at a time, if they are stored in fewer bits.
  private static let blockRows = 1024

  /// y · W: the gradient by x, for the gradient y by x · Wᵀ.
  ///
  /// - Parameters:
  ///   - y: `[M, N]`.
  ///   - weight: `[N, K]`, of type f32, bf16, f16 or blocks.
  /// - Returns: `[M, K]`.
  package static func applyTransposed(
    _ y: Tensor, weight: Tensor, pool: WorkerPool = .shared
  ) -> Tensor {
    let (m, n, k) = (y.rowCount, weight.rowCount, weight.columnCount)
    precondition(y.columnCount == n, "y \(y.shape), weight \(weight.shape)")
    var x = Tensor(zeros: [m, k])  // [M, K]
    let step = weight.dataType == .f32 ? max(n, 1) : blockRows
    for start in stride(from: 0, to: n, by: step) {
      let count = min(step, n - start)
      let block = weight.dataType == .f32 ? weight : widened(weight, start..<start + count)
      let first = weight.dataType == .f32 ? start * k : 0
      y.withRows { y, _ in
        block.withRows { block, _ in
          x.withMutableRows { x in
            gemm(
              transposed: false, rows: m, columns: k, inner: count, y + start, n, block + first, k,
              x, k, pool)
          }
        }
      }
    }
    return x
  }

  /// sums += yᵀ · x: the gradient by W, for the gradient y by x · Wᵀ.
  ///
  /// - Parameters:
  ///   - y: `[M, N]`.
  ///   - x: `[M, K]`.
  ///   - sums: `[N, K]`.
  package static func addWeightGradient(
    _ y: Tensor, _ x: some MatrixRows, to sums: inout Tensor, pool: WorkerPool = .shared
  ) {
    let (m, n, k) = (y.rowCount, y.columnCount, x.columnCount)
    precondition(x.rowCount == m && sums.shape == [n, k], "\(y.shape) does not fit \(sums.shape)")
    y.withRows { y, _ in
      x.withRows { x, stride in
        sums.withMutableRows { sums in
          gemm(transposed: true, rows: n, columns: k, inner: m, y, n, x, stride, sums, k, pool)
        }
      }
    }
  }

  private static func widened(_ weight: Tensor, _ rows: Range<Int>) -> Tensor {
    guard let block = weight.rows(rows).converted(to: .f32) else {
      preconditionFailure("no product with \(weight.dataType.rawValue) weights")
    }
    return block
  }

  /// c += op(a) · b by tiles; op transposes if requested.
  private static func gemm(
    transposed: Bool, rows: Int, columns: Int, inner: Int, _ a: UnsafePointer<Float>,
    _ aStride: Int, _ b: UnsafePointer<Float>, _ bStride: Int, _ c: UnsafeMutablePointer<Float>,
    _ cStride: Int, _ pool: WorkerPool
  ) {
    BLAS.prepare()
    let across = (columns + tileColumns - 1) / tileColumns
    let down = (rows + tileRows - 1) / tileRows
    nonisolated(unsafe) let (a, b, c) = (a, b, c)
    pool.forEach(down * across) { index in
      let (row, column) = (index / across * tileRows, index % across * tileColumns)
      sextant_sgemm(
        SextantRowMajor, transposed ? SextantTrans : SextantNoTrans, SextantNoTrans,
        Int32(min(tileRows, rows - row)), Int32(min(tileColumns, columns - column)), Int32(inner),
        1,
        a + (transposed ? row : row * aStride), Int32(aStride), b + column, Int32(bStride), 1,
        c + row * cStride + column, Int32(cStride))
    }
  }
}
