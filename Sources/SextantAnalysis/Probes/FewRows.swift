import SextantTensor

/// Rows that are far fewer than their elements, without the means of their classes. Their covariance has
/// a low rank, so that what follows from it needs a matrix of rows by rows only.
struct FewRows {
  /// Rows, N.
  let count: Int
  /// Elements of a row, n.
  let elementCount: Int
  private let values: [Double]  // [N, n]

  /// Takes rows, [N, n], if they are few.
  ///
  /// - Parameters:
  ///   - means: of each class, [n].
  ///   - classOfRow: the class of each row.
  /// - Returns: nil for more rows than a quarter of the elements.
  init?(_ rows: Tensor, means: [[Double]], classOfRow: (Int) -> Int) {
    (count, elementCount) = (rows.rowCount, rows.columnCount)
    guard count > 0, count <= elementCount / 4 else { return nil }
    var values = rows.values.map(Double.init)
    for row in 0..<count {
      let mean = means[classOfRow(row)]
      for column in 0..<elementCount { values[row * elementCount + column] -= mean[column] }
    }
    self.values = values
  }

  /// X Xᵀ, [N, N].
  var gram: [Double] {
    LinearAlgebra.product(
      values, values, rows: count, inner: elementCount, columns: count, transposingSecond: true)
  }

  /// X v, [N].
  func product(_ vector: [Double]) -> [Double] {
    LinearAlgebra.product(values, vector, rows: count, inner: elementCount, columns: 1)
  }

  /// Xᵀ v, [n].
  func transposedProduct(_ vector: [Double]) -> [Double] {
    LinearAlgebra.product(
      values, vector, rows: elementCount, inner: count, columns: 1, transposingFirst: true)
  }

  /// S⁺ v, [n], for the covariance S = Xᵀ X / N: the eigenvectors of S follow from those of X Xᵀ / N, which
  /// has the same eigenvalues. Nil if a number is not finite.
  ///
  /// The bound for zero is that of `LinearAlgebra.pseudoInverse`.
  func pseudoInverseProduct(_ vector: [Double]) -> [Double]? {
    let gram = gram.map { $0 / Double(count) }
    guard let (values, vectors) = LinearAlgebra.eigen(symmetric: gram, size: count) else {
      return nil
    }
    let limit = max((values.last ?? 0) * LinearAlgebra.rounding(size: elementCount), 0)
    let along = product(vector)  // [N]
    var weights = [Double](repeating: 0, count: count)
    for (index, value) in values.enumerated() where value > limit {
      let own = vectors[index * count..<(index + 1) * count]
      let factor = zip(own, along).reduce(0) { $0 + $1.0 * $1.1 } / (Double(count) * value * value)
      for (row, element) in own.enumerated() { weights[row] += factor * element }
    }
    let result = transposedProduct(weights)
    return result.allSatisfy(\.isFinite) ? result : nil
  }
}
