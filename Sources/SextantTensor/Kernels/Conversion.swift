import CSextantKernels

extension Tensor {
  /// The elements as another floating-point type, or in blocks: exact to a wider type and from
  /// blocks, to nearest even otherwise.
  ///
  /// In blocks (`q8`) an element is off by at most half its block's scale, which is the block's
  /// largest magnitude / 127, rounded up to an f16. A block with a number that is not finite, or
  /// beyond 8.3e6, becomes NaN.
  ///
  /// - Returns: nil when either type is neither, or when the rows are not a whole number of blocks.
  ///   A tensor of that type already is returned as it is, without a copy.
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
  /// How many of the elements, little-endian in memory of any alignment, are NaN or infinite; 0 for
  /// types that have no such values. A block is NaN as a whole.
  package static func nonfiniteCount(_ bytes: UnsafeRawBufferPointer, _ type: DataType) -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    return switch type {
    case .f32: table.nonfinite_32(base, 0x7F80_0000, bytes.count / 4)
    case .bf16: table.nonfinite_16(base, 0x7F80, bytes.count / 2)
    case .f16: table.nonfinite_16(base, 0x7C00, bytes.count / 2)
    case .f64: table.nonfinite_64(base, 0x7FF0_0000_0000_0000, bytes.count / 8)
    case .q8: nonfiniteBlocks(bytes).count * DataType.q8.blockLength
    default: 0
    }
  }

  /// The blocks whose scale is NaN or infinite, by their places.
  private static func nonfiniteBlocks(_ bytes: UnsafeRawBufferPointer) -> [Int] {
    let width = DataType.q8.byteWidth
    return (0..<bytes.count / width).filter { block in
      let scale = bytes.loadUnaligned(fromByteOffset: block * width, as: UInt16.self)
      return UInt16(littleEndian: scale) & 0x7C00 == 0x7C00
    }
  }

  /// The number of elements that were finite before a conversion and are NaN or infinite after it.
  /// In types with blocks, all finite elements of a block count that contains NaN, infinity or a number that
  /// is too large.
  package static func overflowCount(
    from source: UnsafeRawBufferPointer, _ sourceType: DataType, to target: UnsafeRawBufferPointer,
    _ targetType: DataType
  ) -> Int {
    guard targetType == .q8, sourceType != .q8 else {
      let lost = nonfiniteCount(target, targetType)
      return lost == 0 ? 0 : lost - nonfiniteCount(source, sourceType)
    }
    let length = DataType.q8.blockLength
    return nonfiniteBlocks(target).reduce(0) { sum, block in
      let bytes = length * sourceType.byteWidth
      let own = UnsafeRawBufferPointer(rebasing: source[block * bytes..<(block + 1) * bytes])
      return sum + length - nonfiniteCount(own, sourceType)
    }
  }

  /// Converts elements as `Tensor.converted` does, on the calling thread.
  ///
  /// - Parameters:
  ///   - source: whole blocks of the target, aligned for their type.
  ///   - target: memory for the same number of elements of the target's type.
  package static func convert(
    _ source: UnsafeRawBufferPointer, from sourceType: DataType,
    into target: UnsafeMutableRawBufferPointer, as targetType: DataType
  ) {
    let count = source.count / sourceType.byteWidth * sourceType.blockLength
    precondition(
      count % targetType.blockLength == 0
        && target.count == count / targetType.blockLength * targetType.byteWidth,
      "\(source.count) bytes of \(sourceType.rawValue) into \(target.count) of \(targetType.rawValue)"
    )
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    if sourceType == targetType { return target.copyMemory(from: source) }
    if sourceType == .f32 || targetType == .f32 {
      return convert(from, sourceType, to, targetType, count)
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: min(count, 4096)) { wide in
      guard let wide = wide.baseAddress else { return }
      for start in stride(from: 0, to: count, by: 4096) {
        let length = min(4096, count - start)
        let place = start / sourceType.blockLength * sourceType.byteWidth
        convert(from + place, sourceType, UnsafeMutableRawPointer(wide), .f32, length)
        convert(
          UnsafeRawPointer(wide), .f32,
          to + start / targetType.blockLength * targetType.byteWidth, targetType, length)
      }
    }
  }

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
