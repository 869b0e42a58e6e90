/// Rows of f32 numbers at equal distances in memory, the input of kernels.
///
/// A tensor is one (its last axis makes the rows), and so is a slice of a tensor's rows and
/// columns, which is read in place.
public protocol MatrixRows: Sendable {
  /// The number of rows.
  var rowCount: Int { get }
  /// The number of elements in each row.
  var columnCount: Int { get }
  /// Gives the address of the first row, and the distance from one row to the next in elements.
  func withRows<R>(_ body: (_ first: UnsafePointer<Float>, _ stride: Int) -> R) -> R
}

extension Tensor: MatrixRows {
  /// The product of all dimensions except the last; 1 for a vector or a scalar.
  public var rowCount: Int { shape.dropLast().reduce(1, *) }

  /// The last dimension; 1 for a scalar.
  public var columnCount: Int { shape.last ?? 1 }

  /// Gives the address of the elements of an f32 tensor.
  public func withRows<R>(_ body: (_ first: UnsafePointer<Float>, _ stride: Int) -> R) -> R {
    withFloats { body($0.baseAddress.unsafelyUnwrapped, columnCount) }
  }
}

/// Some of the rows and columns of an f32 tensor, read in place.
///
/// It keeps a reference to the tensor: writing to the tensor meanwhile copies it first.
package struct MatrixSlice: MatrixRows {
  private let tensor: Tensor
  private let rows: Range<Int>
  private let columns: Range<Int>

  init(_ tensor: Tensor, rows: Range<Int>, columns: Range<Int>) {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= tensor.rowCount && columns.lowerBound >= 0
        && columns.upperBound <= tensor.columnCount,
      "rows \(rows) and columns \(columns) of \(tensor.shape)")
    self.tensor = tensor
    self.rows = rows
    self.columns = columns
  }

  /// The number of rows.
  package var rowCount: Int { rows.count }

  /// The number of elements in each row.
  package var columnCount: Int { columns.count }

  /// Gives the address of the first element, and the tensor's row length.
  package func withRows<R>(_ body: (_ first: UnsafePointer<Float>, _ stride: Int) -> R) -> R {
    tensor.withRows { first, stride in
      body(first + rows.lowerBound * stride + columns.lowerBound, stride)
    }
  }
}

extension Tensor {
  /// Some rows (of the last axis) and columns, read in place; nil means all.
  package func slice(rows: Range<Int>? = nil, columns: Range<Int>? = nil) -> MatrixSlice {
    MatrixSlice(self, rows: rows ?? 0..<rowCount, columns: columns ?? 0..<columnCount)
  }

  /// The columns `range` of every row, read in place.
  package func columns(_ range: Range<Int>) -> MatrixSlice { slice(columns: range) }

  /// A tensor `[rows, columns]` with a copy of the elements.
  public init(copying rows: some MatrixRows) {
    self.init(unfilled: [rows.rowCount, rows.columnCount])
    let (height, width) = (rows.rowCount, rows.columnCount)
    rows.withRows { first, stride in
      withMutableRows { target in
        for row in 0..<height {
          (target + row * width).update(from: first + row * stride, count: width)
        }
      }
    }
  }

  /// The columns of f32 matrices with equally many rows, side by side.
  package init(joiningColumns parts: [Tensor], pool: WorkerPool = .shared) {
    let (rows, width) = (parts[0].rowCount, parts.reduce(0) { $0 + $1.columnCount })
    precondition(parts.allSatisfy { $0.rowCount == rows })
    self.init(unfilled: [rows, width])
    var first = 0
    withMutableRows { target in
      for part in parts {
        part.withRows { source, count in
          nonisolated(unsafe) let (target, source) = (target + first, source)
          pool.split(rows, by: Kernels.rowGrain(width: count)) { range in
            for row in range {
              (target + row * width).update(from: source + row * count, count: count)
            }
          }
        }
        first += part.columnCount
      }
    }
  }

  /// The address of the elements of an f32 tensor, for writing.
  mutating func withMutableRows<R>(_ body: (UnsafeMutablePointer<Float>) -> R) -> R {
    withMutableFloats { body($0.baseAddress.unsafelyUnwrapped) }
  }
}

/// The position of a matrix's rows in memory: the address of the first row, and the distance from
/// one row to the next in elements.
struct RowAddress {
  let first: UnsafePointer<Float>
  let stride: Int
}

extension Kernels {
  /// Gives the addresses of two matrices.
  static func withRows<R>(
    _ a: some MatrixRows, _ b: some MatrixRows, _ body: (RowAddress, RowAddress) -> R
  ) -> R {
    a.withRows { a, aStride in
      b.withRows { b, bStride in
        body(RowAddress(first: a, stride: aStride), RowAddress(first: b, stride: bStride))
      }
    }
  }

  /// Gives the addresses of three matrices.
  static func withRows<R>(
    _ a: some MatrixRows, _ b: some MatrixRows, _ c: some MatrixRows,
    _ body: (RowAddress, RowAddress, RowAddress) -> R
  ) -> R {
    withRows(a, b) { a, b in
      c.withRows { c, stride in body(a, b, RowAddress(first: c, stride: stride)) }
    }
  }
}
