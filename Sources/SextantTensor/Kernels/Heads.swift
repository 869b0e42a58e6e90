import CSextantKernels

// Operations on each head of a row: a row [H · N] is H heads of N neighbouring columns.
extension Kernels {
  /// The layer norm of each head by itself: (x - mean) / sqrt(variance + epsilon) · weight + bias.
  ///
  /// - Parameters:
  ///   - x: `[M, H·N]`.
  ///   - heads: H.
  ///   - weight: `[H·N]`.
  ///   - bias: `[H·N]`.
  /// - Returns: `[M, H·N]`.
  package static func groupNorm(
    _ x: some MatrixRows, heads: Int, weight: Tensor, bias: Tensor, epsilon: Float,
    pool: WorkerPool = .shared
  ) -> Tensor {
    let kernel = table.layer_norm
    let size = headSize(x.columnCount, heads)
    precondition(weight.count == x.columnCount && bias.count == x.columnCount)
    var y = Tensor(unfilled: [x.rowCount, x.columnCount])  // [M, H·N]
    weight.withRows { weight, _ in
      bias.withRows { bias, _ in
        nonisolated(unsafe) let (weight, bias) = (weight, bias)
        eachRow(of: x, into: &y, pool) { y, x, width in
          for start in stride(from: 0, to: width, by: size) {
            kernel?(y + start, x + start, weight + start, bias + start, epsilon, size)
          }
        }
      }
    }
    return y
  }

  /// Each head divided by its Euclidean length, or by 1e-12 if that is less.
  ///
  /// - Parameters:
  ///   - x: `[M, H·N]`.
  ///   - heads: H.
  package static func normalize(_ x: inout Tensor, heads: Int, pool: WorkerPool = .shared) {
    let kernels = table
    let (rows, width) = (x.rowCount, x.columnCount)
    let size = headSize(width, heads)
    x.withMutableRows { x in
      nonisolated(unsafe) let x = x
      pool.split(rows * heads, by: rowGrain(width: size)) { range in
        for head in range {
          let first = x + head * size
          let length = kernels.dot(first, first, size).squareRoot()
          kernels.scale(first, 1 / max(length, 1e-12), size)
        }
      }
    }
  }

  /// Each head x becomes x / √(Σ x² + epsilon), in place; NaN if the sum overflows.
  ///
  /// - Parameters:
  ///   - x: `[M, …]`; columns outside of the heads stay.
  ///   - layout: the positions of a row's heads.
  ///   - epsilon: the number inside the root.
  package static func normalize(
    _ x: inout Tensor, _ layout: HeadColumns, epsilon: Float, pool: WorkerPool = .shared
  ) {
    let kernels = table
    eachHead(of: &x, layout, pool) { head, _, width in
      let square = kernels.dot(head, head, width)
      kernels.scale(head, square.isFinite ? 1 / (square + epsilon).squareRoot() : .nan, width)
    }
  }

  /// The RMS norm of each head by itself, in place: x / √(mean(x²) + epsilon) · weight; NaN if the mean
  /// overflows.
  ///
  /// - Parameters:
  ///   - x: `[M, …]`; columns outside of the heads stay.
  ///   - layout: the positions of a row's heads.
  ///   - weight: `[width]` for every head, or `[H·width]`; nil means ones.
  package static func rmsNorm(
    _ x: inout Tensor, _ layout: HeadColumns, weight: Tensor?, epsilon: Float,
    pool: WorkerPool = .shared
  ) {
    let kernel = table.rms_norm
    let step = weight.map { $0.count == layout.width ? 0 : layout.width } ?? 0
    precondition(
      weight == nil || weight?.count == (step == 0 ? layout.width : layout.count * layout.width))
    withOptionalFloats(weight) { weight in
      nonisolated(unsafe) let weight = weight
      eachHead(of: &x, layout, pool) { head, index, width in
        kernel?(head, head, weight.map { $0 + index * step }, epsilon, width)
      }
    }
  }

  /// Calls `body` with the address, the number and the width of each head of each row.
  private static func eachHead(
    of x: inout Tensor, _ layout: HeadColumns, _ pool: WorkerPool,
    _ body: @Sendable (UnsafeMutablePointer<Float>, _ index: Int, _ width: Int) -> Void
  ) {
    let (rows, columns) = (x.rowCount, x.columnCount)
    precondition(layout.fits(columns), "\(layout.count) heads of \(layout.width) in \(columns)")
    x.withMutableRows { x in
      nonisolated(unsafe) let x = x
      pool.split(rows * layout.count, by: rowGrain(width: layout.width)) { range in
        for place in range {
          let (row, head) = (place / layout.count, place % layout.count)
          body(x + row * columns + layout.first + head * layout.stride, head, layout.width)
        }
      }
    }
  }

  /// y += (Σ over the head of x · weight) · v, for each head.
  ///
  /// - Parameters:
  ///   - y: `[M, H·N]`.
  ///   - v: `[M, H·N]`.
  ///   - x: `[M, H·N]`.
  ///   - weight: `[H·N]`.
  ///   - heads: H.
  package static func add(
    _ v: Tensor, scaledByHeadsOf x: Tensor, weight: Tensor, heads: Int, to y: inout Tensor,
    pool: WorkerPool = .shared
  ) {
    let kernels = table
    let (rows, width) = (y.rowCount, y.columnCount)
    let size = headSize(width, heads)
    precondition(v.count == y.count && x.count == y.count && weight.count == width)
    y.withMutableRows { y in
      v.withRows { v, _ in
        x.withRows { x, _ in
          weight.withRows { weight, _ in
            nonisolated(unsafe) let (y, v, x, weight) = (y, v, x, weight)
            pool.split(rows * heads, by: rowGrain(width: size)) { range in
              for head in range {
                let (start, column) = (head * size, head % heads * size)
                let factor = kernels.dot(x + start, weight + column, size)
                kernels.axpy(y + start, factor, v + start, size)
              }
            }
          }
        }
      }
    }
  }

  private static func headSize(_ width: Int, _ heads: Int) -> Int {
    precondition(heads > 0 && width % heads == 0, "\(width) columns in \(heads) heads")
    return width / heads
  }
}
