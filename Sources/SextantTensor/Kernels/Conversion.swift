import CSextantKernels

extension Tensor {
  /// The elements as another floating-point type: exact to a wider type, to nearest even otherwise.
  ///
  /// - Returns: nil when either type is not floating-point. A tensor of that type already is returned
  ///   as it is, without a copy.
  public func converted(to target: DataType, pool: WorkerPool = .shared) -> Tensor? {
    if target == dataType { return self }
    guard dataType.isFloatingPoint, target.isFloatingPoint else { return nil }
    if dataType != .f32 && target != .f32 {
      // f64 to a half type rounds twice: to f32, then to the target.
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
            x + range.lowerBound * source.byteWidth, source,
            y + range.lowerBound * target.byteWidth, target, range.count)
        }
      }
    }
    return result
  }
}

extension Kernels {
  /// Converts `count` elements between f32 and another floating-point type.
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
