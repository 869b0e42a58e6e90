import CBLAS

/// Dense linear algebra in f64, on row-major matrices: the closed forms for moments.
///
/// OpenBLAS does the work. Calls use one thread each, except products, which the pool splits.
/// The same input gives the same bits on the same machine.
package enum LinearAlgebra {
  /// Rows of a product that one task computes.
  private static let rowBlock = 64

  /// The product A B, `[rows, columns]`.
  ///
  /// - Parameters:
  ///   - a: `[rows, inner]`, or `[inner, rows]` when transposed.
  ///   - b: `[inner, columns]`, or `[columns, inner]` when transposed.
  package static func product(
    _ a: [Double], _ b: [Double], rows: Int, inner: Int, columns: Int,
    transposingFirst: Bool = false, transposingSecond: Bool = false, pool: WorkerPool = .shared
  ) -> [Double] {
    precondition(a.count == rows * inner && b.count == inner * columns)
    var result = [Double](repeating: 0, count: rows * columns)
    guard rows > 0, inner > 0, columns > 0 else { return result }
    BLAS.prepare()
    let (aStride, bStride) = (
      transposingFirst ? rows : inner, transposingSecond ? inner : columns
    )
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        result.withUnsafeMutableBufferPointer { result in
          nonisolated(unsafe) let (a, b, result) = (a, b, result)
          pool.forEach((rows + rowBlock - 1) / rowBlock) { task in
            let first = task * rowBlock
            guard let a = a.baseAddress, let b = b.baseAddress, let c = result.baseAddress else {
              return
            }
            let count = min(rowBlock, rows - first)
            let own = a + first * (transposingFirst ? 1 : inner)
            let aTransposed = transposingFirst ? SextantTrans : SextantNoTrans
            guard columns > 1 else {
              // OpenBLAS's product of matrices is several times slower for one column.
              sextant_dgemv(
                SextantRowMajor, aTransposed, Int32(transposingFirst ? inner : count),
                Int32(transposingFirst ? count : inner), 1, own, Int32(aStride), b, 1, 0, c + first,
                1)
              return
            }
            sextant_dgemm(
              SextantRowMajor, aTransposed, transposingSecond ? SextantTrans : SextantNoTrans,
              Int32(count), Int32(columns), Int32(inner), 1, own, Int32(aStride), b, Int32(bStride),
              0, c + first * columns, Int32(columns))
          }
        }
      }
    }
    return result
  }

  /// The eigenvalues of a symmetric matrix, ascending, `[n]`, and its unit eigenvectors, one in
  /// each row, `[n, n]`; nil if a number is not finite.
  ///
  /// An eigenvector's sign is chosen so that its element of largest size is positive.
  package static func eigen(
    symmetric a: [Double], size n: Int
  ) -> (values: [Double], vectors: [Double])? {
    precondition(a.count == n * n)
    guard a.allSatisfy(\.isFinite) else { return nil }
    guard n > 0 else { return ([], []) }
    BLAS.prepare()
    var (vectors, values) = (a, [Double](repeating: 0, count: n))
    var (size, info) = (Int32(n), Int32(0))
    var workCount = Int32(1 + 6 * n + 2 * n * n)
    var integerCount = Int32(3 + 5 * n)
    var work = [Double](repeating: 0, count: Int(workCount))
    var integers = [Int32](repeating: 0, count: Int(integerCount))
    sextant_dsyevd(
      "V", "U", &size, &vectors, &size, &values, &work, &workCount, &integers, &integerCount, &info)
    guard info == 0 else { return nil }
    for row in 0..<n {
      let range = row * n..<(row + 1) * n
      let largest = vectors[range].max { abs($0) < abs($1) } ?? 0
      if largest < 0 { for index in range { vectors[index] = -vectors[index] } }
    }
    return (values, vectors)
  }

  /// Solves A X = B for a symmetric positive definite A by its Cholesky factor.
  ///
  /// - Parameters:
  ///   - a: `[n, n]`.
  ///   - b: right sides, `[n, count]`.
  /// - Returns: X, `[n, count]`; nil if A is not positive definite in f64.
  package static func solve(
    positiveDefinite a: [Double], size n: Int, rightSides b: [Double], count: Int = 1
  ) -> [Double]? {
    precondition(a.count == n * n && b.count == n * count)
    guard a.allSatisfy(\.isFinite), b.allSatisfy(\.isFinite) else { return nil }
    guard n > 0, count > 0 else { return [] }
    BLAS.prepare()
    var (factor, columns) = (a, transposed(b, rows: n, columns: count))  // columns: [count, n]
    var (size, sides, info) = (Int32(n), Int32(count), Int32(0))
    sextant_dpotrf("U", &size, &factor, &size, &info)
    guard info == 0 else { return nil }
    sextant_dpotrs("U", &size, &sides, factor, &size, &columns, &size, &info)
    guard info == 0, columns.allSatisfy(\.isFinite) else { return nil }
    return transposed(columns, rows: count, columns: n)
  }

  /// The share of its largest eigenvalue up to which an eigenvalue of a symmetric matrix, [n, n], counts
  /// as zero everywhere: n times the rounding of f64. NumPy and SciPy use the same rule for ranks.
  package static func rounding(size n: Int) -> Double { Double(n) * Double.ulpOfOne }

  /// The Moore-Penrose inverse of a symmetric positive semidefinite matrix, `[n, n]`; nil if a
  /// number is not finite.
  ///
  /// Eigenvalues up to `rounding` of the largest count as zero.
  package static func pseudoInverse(symmetric a: [Double], size n: Int) -> [Double]? {
    spectral(a, size: n).map { $0 { 1 / $0 } }
  }

  /// The symmetric square root of the Moore-Penrose inverse, which whitens, and the symmetric
  /// square root of the matrix, which reverses this, each `[n, n]`; nil if a number is not finite.
  ///
  /// The bound for zero is that of `pseudoInverse`.
  package static func inverseSquareRoot(
    symmetric a: [Double], size n: Int
  ) -> (whitening: [Double], unwhitening: [Double])? {
    guard let function = spectral(a, size: n) else { return nil }
    return (function { 1 / $0.squareRoot() }, function { $0.squareRoot() })
  }

  /// The transpose, `[columns, rows]`, of a matrix `[rows, columns]`.
  package static func transposed(_ a: [Double], rows: Int, columns: Int) -> [Double] {
    precondition(a.count == rows * columns)
    if rows == 1 || columns == 1 { return a }
    return [Double](unsafeUninitializedCapacity: a.count) { target, count in
      a.withUnsafeBufferPointer { source in
        for row in 0..<rows {
          for column in 0..<columns {
            target.initializeElement(
              at: column * rows + row, to: source[row * columns + column])
          }
        }
      }
      count = a.count
    }
  }

  /// Makes Σ f(λ) v vᵀ over the eigenvalues λ of a matrix that count as more than zero.
  private static func spectral(
    _ a: [Double], size n: Int
  ) -> (((Double) -> Double) -> [Double])? {
    guard let (values, vectors) = eigen(symmetric: a, size: n) else { return nil }
    let limit = (values.last ?? 0) * rounding(size: n)
    let first = values.firstIndex { $0 > max(limit, 0) } ?? n
    let kept = Array(vectors[(first * n)...])  // [n - first, n]
    return { function in
      var scaled = kept  // [n - first, n]
      for row in 0..<n - first {
        let factor = function(values[first + row])
        for index in row * n..<(row + 1) * n { scaled[index] *= factor }
      }
      return product(
        kept, scaled, rows: n, inner: n - first, columns: n, transposingFirst: true)
    }
  }
}

extension UnsafeMutableBufferPointer<Double> {
  fileprivate func initializeElement(at index: Int, to value: Double) {
    (baseAddress.unsafelyUnwrapped + index).initialize(to: value)
  }
}
