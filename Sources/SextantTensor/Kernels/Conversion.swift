import CSextantKernels

extension Tensor {
  /// The elements as another floating-point type, or in blocks: exact to a wider type and from
  /// blocks, to nearest even otherwise.
  ///
  /// In blocks (`q8`) an element is off by at most half its block's scale, which is the block's
  /// largest magnitude / 127, rounded up to an f16. A block with a number that is not finite, or
  /// beyond 8.3e6, becomes NaN.
  ///
  /// - Returns: nil when either type is neither, or when the rows are no whole number of blocks. A
  ///   tensor of that type already is returned as it is, without a copy.
  public func converted(to target: DataType, pool: WorkerPool = .shared) -> Tensor? {
    if target == dataType { return self }
    guard [dataType, target].allSatisfy({ $0.isFloatingPoint || $0 == .q8 }),
      target.byteCount(shape: shape) != nil
    else { return nil }
    if dataType != .f32 && target != .f32 {
      // f64 to a smaller type rounds twice: to f32, then to the target.
      return converted(to: .f32, pool: pool)?.converted(to: target, pool: pool)
    }
    var result = Tensor(unfilled: shape, dataType: target)
    let (count, source) = (count, dataType)
    withUnsafeBytes { from in
      result.withMutableBytes { to in
        guard let from = from.baseAddress, let to = to.baseAddress else { return }
        nonisolated(unsafe) let (x, y) = (from, to)
        pool.split(count, by: Kernels.elementGrain) { range in
          Kernels.convert(
            x + range.lowerBound / source.blockLength * source.byteWidth, source,
            y + range.lowerBound / target.blockLength * target.byteWidth, target, range.count)
        }
      }
    }
    return result
  }
}

extension Kernels {
  /// Converts `count` elements, in whole blocks, between f32 and another type.
  static func convert(
    _ x: UnsafeRawPointer, _ source: DataType, _ y: UnsafeMutableRawPointer, _ target: DataType,
    _ count: Int
  ) {
    let kernels = table
    switch (source, target) {
    case (.bf16, .f32):
      kernels.f32_from_bf16(y.bound(), x.bound(), count)
    case (.f16, .f32):
      kernels.f32_from_f16(y.bound(), x.bound(), count)
    case (.f64, .f32):
      kernels.f32_from_f64(y.bound(), x.bound(), count)
    case (.q8, .f32):
      kernels.f32_from_q8(y.bound(), x.bound(), count)
    case (.f32, .q8):
      kernels.q8_from_f32(y.bound(), x.bound(), count)
    case (.f32, .bf16):
      kernels.bf16_from_f32(y.bound(), x.bound(), count)
    case (.f32, .f16):
      kernels.f16_from_f32(y.bound(), x.bound(), count)
    case (.f32, .f64):
      kernels.f64_from_f32(y.bound(), x.bound(), count)
    default:
      preconditionFailure("no conversion from \(source.rawValue) to \(target.rawValue)")
    }
  }
}

extension UnsafeRawPointer {
  fileprivate func bound<T>() -> UnsafePointer<T> { assumingMemoryBound(to: T.self) }
}

extension UnsafeMutableRawPointer {
  fileprivate func bound<T>() -> UnsafeMutablePointer<T> { assumingMemoryBound(to: T.self) }
}
