import CBLAS
import CSextantKernels

/// Products of activations with weights, y = x · Wᵀ + bias.
///
/// Weights are `[N, K]` in the type in which they are stored and are read in place. With few rows of x
/// the weights' bandwidth is the limit and our own kernels read them once; with more, the arithmetic is,
/// and blocks of them go to BLAS, converted first where they are bf16 or f16. Each output element is
/// summed within one chunk.
public enum Linear {
  /// Up to this many rows of x, our kernels beat BLAS.
  static let fewRows = Int(SXK_LINEAR_MAX_M)

  /// Bytes of weights in one chunk of the few-row kernels.
  private static let chunkBytes = 128 * 1024

  /// Elements of one block of converted weights: 512 KiB of f32, which the second-level cache holds.
  private static let blockElements = 128 * 1024

  /// x · Wᵀ + bias.
  ///
  /// - Parameters:
  ///   - x: `[M, K]`.
  ///   - weight: `[N, K]`, of type f32, bf16 or f16.
  ///   - bias: `[N]`, f32.
  /// - Returns: `[M, N]`.
  public static func apply(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor? = nil, pool: WorkerPool = .shared
  ) -> Tensor {
    var y = Tensor(unfilled: [x.rowCount, weight.rowCount])  // [M, N]
    apply(x, weight: weight, bias: bias, into: &y, pool: pool)
    return y
  }

  /// As `apply`, into an f32 tensor with M rows of N columns, whose contents it replaces.
  public static func apply(
    _ x: some MatrixRows, weight: Tensor, bias: Tensor? = nil, into y: inout Tensor,
    pool: WorkerPool = .shared
  ) {
    precondition(
      x.columnCount == weight.columnCount && y.rowCount == x.rowCount
        && y.columnCount == weight.rowCount && (bias == nil || bias?.count == weight.rowCount),
      "x [\(x.rowCount), \(x.columnCount)], weight \(weight.shape), y \(y.shape)")
    Kernels.withOptionalFloats(bias) { bias in
      weight.withUnsafeBytes { weightBytes in
        x.withRows { first, stride in
          y.withMutableRows { y in
            let product = Product(
              x: first, xStride: stride, weight: weightBytes.baseAddress.unsafelyUnwrapped,
              type: weight.dataType, bias: bias, y: y, rows: x.rowCount,
              inner: x.columnCount, outputs: weight.rowCount)
            if product.rows <= fewRows { fewRows(product, pool) } else { manyRows(product, pool) }
          }
        }
      }
    }
  }

  /// The operands. `@unchecked Sendable`: chunks write disjoint columns of y.
  private struct Product: @unchecked Sendable {
    let x: UnsafePointer<Float>
    let xStride: Int
    let weight: UnsafeRawPointer
    let type: DataType
    let bias: UnsafePointer<Float>?
    let y: UnsafeMutablePointer<Float>
    let rows: Int
    let inner: Int
    let outputs: Int
  }

  private static func fewRows(_ product: Product, _ pool: WorkerPool) {
    let type: sxk_type =
      switch product.type {
      case .f32: SXK_F32
      case .bf16: SXK_BF16
      case .f16: SXK_F16
      default: preconditionFailure("no product with \(product.type.rawValue) weights")
      }
    nonisolated(unsafe) let job = sxk_linear(
      weight: product.weight, weight_stride: product.inner, weight_type: type, x: product.x,
      x_stride: product.xStride, bias: product.bias, y: product.y, y_stride: product.outputs,
      m: product.rows, k: product.inner)
    let kernel = Kernels.table.linear
    let grain = chunkBytes / max(product.inner * product.type.byteWidth, 1)
    pool.split(product.outputs, by: grain) { range in
      withUnsafePointer(to: job) { kernel?($0, range.lowerBound, range.upperBound) }
    }
  }

  private static func manyRows(_ product: Product, _ pool: WorkerPool) {
    BLAS.prepare()
    if product.type == .f32 {
      pool.split(product.outputs, by: 256) { range in
        let weight = product.weight.assumingMemoryBound(to: Float.self)
        multiply(product, range, weight + range.lowerBound * product.inner)
      }
      return
    }
    let grain = max(blockElements / max(product.inner, 1) / 16 * 16, 16)
    let blockSize = grain * product.inner
    let scratch = UnsafeMutablePointer<Float>.allocate(capacity: blockSize * pool.threadCount)
    defer { scratch.deallocate() }
    nonisolated(unsafe) let blocks = scratch
    pool.forEach((product.outputs + grain - 1) / grain) { chunk, slot in
      let range = chunk * grain..<min((chunk + 1) * grain, product.outputs)
      let block = blocks + slot * blockSize
      let start = range.lowerBound * product.inner * product.type.byteWidth
      Kernels.convert(
        product.weight + start, product.type, block, .f32, range.count * product.inner)
      multiply(product, range, block)
    }
  }

  /// The columns `range` of y, from those rows of the weights.
  private static func multiply(
    _ product: Product, _ range: Range<Int>, _ weight: UnsafePointer<Float>
  ) {
    let y = product.y + range.lowerBound
    if let bias = product.bias {
      for row in 0..<product.rows {
        (y + row * product.outputs).update(from: bias + range.lowerBound, count: range.count)
      }
    }
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(product.rows), Int32(range.count),
      Int32(product.inner), 1, product.x, Int32(product.xStride), weight, Int32(product.inner),
      product.bias == nil ? 0 : 1, y, Int32(product.outputs))
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
