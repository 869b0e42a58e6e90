import CBLAS
import CProcessEnd
import CSextantKernels

/// Sums over many rows in f64, from which means and covariances are made.
package enum CrossProducts {
  /// Rows that are converted at a time: with 2,048 columns, 4 MiB of f64.
  private static let blockRows = 256
  /// Rows and columns of one tile of the result.
  private static let tile = 128

  /// sums += Σ_m x[m, …].
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - sums: D numbers.
  package static func addRows(_ x: some MatrixRows, to sums: inout [Double]) {
    precondition(sums.count == x.columnCount)
    let (rows, kernel) = (x.rowCount, Kernels.table.add_rows_f64)
    x.withRows { x, stride in
      sums.withUnsafeMutableBufferPointer { sums in
        kernel?(sums.baseAddress, x, stride, rows, sums.count)
      }
    }
  }

  /// sums += Σ_m (x[m, …] - center)ᵀ (x[m, …] - center), computed in f64.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`. A few hundred rows at a time keep the processor busy.
  ///   - center: D numbers near the mean, subtracted first so that little cancels later; nil for zeros.
  ///   - sums: `[D, D]`, row-major. Symmetric before and after.
  package static func add(
    of x: some MatrixRows, minus center: [Double]? = nil, to sums: inout [Double],
    pool: WorkerPool = .shared
  ) {
    let (rows, width) = (x.rowCount, x.columnCount)
    precondition(sums.count == width * width && (center == nil || center?.count == width))
    BLAS.prepare()
    let kernels = Kernels.table
    let block = UnsafeMutablePointer<Double>.allocate(
      capacity: max(min(rows, blockRows) * width, 1))
    defer { block.deallocate() }
    let tiles = upperTiles(width: width)
    x.withRows { x, stride in
      sums.withUnsafeMutableBufferPointer { sums in
        guard let base = sums.baseAddress else { return }
        nonisolated(unsafe) let (x, block, sums) = (x, block, base)
        for start in Swift.stride(from: 0, to: rows, by: blockRows) {
          let height = min(blockRows, rows - start)
          pool.split(height, by: Kernels.rowGrain(width: width)) { range in
            for row in range {
              let target = block + row * width
              kernels.f64_from_f32(target, x + (start + row) * stride, width)
              if let center { for column in 0..<width { target[column] -= center[column] } }
            }
          }
          pool.forEach(tiles.count) { index in
            let (row, column) = tiles[index]
            sextant_dgemm(
              SextantRowMajor, SextantTrans, SextantNoTrans, Int32(min(tile, width - row)),
              Int32(min(tile, width - column)), Int32(height), 1, block + row, Int32(width),
              block + column, Int32(width), 1, sums + row * width + column, Int32(width))
          }
        }
        for row in 0..<width {
          for column in 0..<row { base[row * width + column] = base[column * width + row] }
        }
      }
    }
  }

  /// sums += Σ_m (x[m, …] - center)ᵀ (y[m, …] - otherCenter), computed in f64.
  ///
  /// - Parameters:
  ///   - x: `[M, D]`. A few hundred rows at a time keep the processor busy.
  ///   - y: `[M, E]`.
  ///   - sums: `[D, E]`, row-major.
  package static func add(
    of x: some MatrixRows, minus center: [Double], and y: some MatrixRows,
    minus otherCenter: [Double], to sums: inout [Double], pool: WorkerPool = .shared
  ) {
    let (rows, height, width) = (x.rowCount, x.columnCount, y.columnCount)
    precondition(
      y.rowCount == rows && sums.count == height * width && center.count == height
        && otherCenter.count == width)
    BLAS.prepare()
    for start in stride(from: 0, to: rows, by: blockRows) {
      let range = start..<min(start + blockRows, rows)
      let (a, b) = (centered(x, range, center, pool), centered(y, range, otherCenter, pool))
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          sums.withUnsafeMutableBufferPointer { sums in
            guard let aBase = a.baseAddress, let bBase = b.baseAddress,
              let sumsBase = sums.baseAddress
            else { return }
            nonisolated(unsafe) let (a, b, sums) = (aBase, bBase, sumsBase)
            let across = (width + tile - 1) / tile
            pool.forEach((height + tile - 1) / tile * across) { index in
              let (row, column) = (index / across * tile, index % across * tile)
              sextant_dgemm(
                SextantRowMajor, SextantTrans, SextantNoTrans, Int32(min(tile, height - row)),
                Int32(min(tile, width - column)), Int32(range.count), 1, a + row, Int32(height),
                b + column, Int32(width), 1, sums + row * width + column, Int32(width))
            }
          }
        }
      }
    }
  }

  /// Some rows minus a center, in f64.
  private static func centered(
    _ x: some MatrixRows, _ range: Range<Int>, _ center: [Double], _ pool: WorkerPool
  ) -> [Double] {
    let (width, kernels) = (center.count, Kernels.table)
    return x.withRows { x, stride in
      [Double](unsafeUninitializedCapacity: range.count * width) { block, count in
        nonisolated(unsafe) let (x, target) = (x, block)
        pool.split(range.count, by: Kernels.rowGrain(width: width)) { rows in
          for row in rows {
            guard let to = target.baseAddress.map({ $0 + row * width }) else { continue }
            kernels.f64_from_f32(to, x + (range.lowerBound + row) * stride, width)
            for column in 0..<width { to[column] -= center[column] }
          }
        }
        count = range.count * width
      }
    }
  }

  /// The origins of the tiles on and above the diagonal.
  private static func upperTiles(width: Int) -> [(row: Int, column: Int)] {
    var tiles: [(Int, Int)] = []
    for row in stride(from: 0, to: width, by: tile) {
      for column in stride(from: row, to: width, by: tile) { tiles.append((row, column)) }
    }
    return tiles
  }
}

/// OpenBLAS, loaded when it is first needed.
package enum BLAS {
  private static let isPrepared: Bool = {
    var missing = 0
    guard let reason = sextant_load_blas(&missing) else { return true }
    if missing > 0 { sextant_end_without_memory(missing) }
    sextant_end_without_library(reason)
    fatalError(String(cString: reason))
  }()

  /// To be called before any call into BLAS. The process ends if OpenBLAS cannot be loaded.
  static func prepare() { precondition(isPrepared) }

  /// OpenBLAS's name of the processors that its kernels are for, such as `Haswell`. Results in double
  /// precision depend on it in the last bits.
  package static var core: String {
    prepare()
    return String(cString: sextant_blas_core())
  }

  /// The same for people, or why OpenBLAS cannot be loaded.
  package static var report: String {
    var missing = 0
    return String(cString: sextant_load_blas(&missing) ?? sextant_blas_core())
  }
}
