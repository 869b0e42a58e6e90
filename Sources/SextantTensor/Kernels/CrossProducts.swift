import CBLAS
import CSextantKernels

/// Sums over many rows in f64, from which means and covariances are made.
public enum CrossProducts {
  /// Rows that are converted at a time: with 2,048 columns, 4 MiB of f64.
  private static let blockRows = 256
  /// Rows and columns of one tile of the result.
  private static let tile = 128

  /// sums += Σ_m x[m, …].
  ///
  /// - Parameters:
  ///   - x: `[M, D]`.
  ///   - sums: D numbers.
  public static func addRows(_ x: some MatrixRows, to sums: inout [Double]) {
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
  public static func add(
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
            cblas_dgemm(
              CblasRowMajor, CblasTrans, CblasNoTrans, Int32(min(tile, width - row)),
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

  /// The origins of the tiles on and above the diagonal.
  private static func upperTiles(width: Int) -> [(row: Int, column: Int)] {
    var tiles: [(Int, Int)] = []
    for row in stride(from: 0, to: width, by: tile) {
      for column in stride(from: row, to: width, by: tile) { tiles.append((row, column)) }
    }
    return tiles
  }
}

/// The BLAS library's own settings.
enum BLAS {
  private static let isPrepared: Bool = {
    // Our pool splits the work; two pools would fight for the processors.
    openblas_set_num_threads(1)
    return true
  }()

  /// To be called before any call into BLAS.
  static func prepare() { precondition(isPrepared) }
}
