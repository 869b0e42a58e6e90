import CSextantKernels

extension Tensor {
  /// The elements as another floating-point type, or in blocks: exact to a wider type and from
  /// blocks, to nearest even otherwise.
  ///
  /// In blocks of 8 bits (`q8`) an element is off by at most half its block's scale, which is the block's
  /// largest magnitude / 127, rounded up to an f16. In blocks of 4 bits (`q4v1`) scale and minimum make the
  /// sum of the squared errors small. A block with a number that is not finite, or beyond 8.3e6 (`q8`) or
  /// 65504 (`q4v1`), becomes NaN.
  ///
  /// - Returns: nil when there is no such conversion, or when the rows are not a whole number of blocks.
  ///   Blocks of other types than these two are not made. A tensor of that type already is returned as
  ///   it is, without a copy.
  public func converted(to target: DataType, pool: WorkerPool = .shared) -> Tensor? {
    if target == dataType { return self }
    guard dataType.isFloatingPoint || dataType.isBlocks,
      target.isFloatingPoint || Kernels.writtenBlocks.contains(target),
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
            x + source.byteCount(elements: range.lowerBound), source,
            y + target.byteCount(elements: range.lowerBound), target, range.count)
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
    default: type.isBlocks ? nonfiniteBlocks(bytes, type).count * type.blockLength : 0
    }
  }

  /// The types of blocks that numbers can be converted to.
  package static let writtenBlocks: [DataType] = [.q8, .q4v1]

  /// The blocks with a scale or a minimum that is NaN or infinite, by their places. No element of such a
  /// block is finite, and all elements of other blocks are.
  private static func nonfiniteBlocks(
    _ bytes: UnsafeRawBufferPointer, _ type: DataType
  ) -> [Int] {
    let offsets =
      switch type {
      case .q6k: [208]
      case .q4v1, .q5v1, .q4k, .q5k: [0, 2]
      default: [0]
      }
    return (0..<bytes.count / type.byteWidth).filter { block in
      offsets.contains { offset in
        let half = bytes.loadUnaligned(
          fromByteOffset: block * type.byteWidth + offset, as: UInt16.self)
        return UInt16(littleEndian: half) & 0x7C00 == 0x7C00
      }
    }
  }

  /// The number of elements that were finite before a conversion and are NaN or infinite after it.
  /// In types with blocks, all finite elements of a block count that contains NaN, infinity or a number that
  /// is too large.
  package static func overflowCount(
    from source: UnsafeRawBufferPointer, _ sourceType: DataType, to target: UnsafeRawBufferPointer,
    _ targetType: DataType
  ) -> Int {
    guard targetType.isBlocks, !sourceType.isBlocks else {
      let lost = nonfiniteCount(target, targetType)
      return lost == 0 ? 0 : lost - nonfiniteCount(source, sourceType)
    }
    let length = targetType.blockLength
    return nonfiniteBlocks(target, targetType).reduce(0) { sum, block in
      let bytes = length * sourceType.byteWidth
      let own = UnsafeRawBufferPointer(rebasing: source[block * bytes..<(block + 1) * bytes])
      return sum + length - nonfiniteCount(own, sourceType)
    }
  }

  /// The first element that was finite before a conversion and is NaN or infinite after it; nil if there
  /// is none. In types with blocks, it is the largest one of the first block that is lost.
  ///
  /// - Returns: its place, and its value before.
  package static func firstOverflow(
    from source: UnsafeRawBufferPointer, _ sourceType: DataType, to target: UnsafeRawBufferPointer,
    _ targetType: DataType
  ) -> (place: Int, value: Double)? {
    guard overflowCount(from: source, sourceType, to: target, targetType) > 0,
      let before = doubles(source, sourceType), let after = doubles(target, targetType)
    else { return nil }
    guard let first = before.indices.first(where: { before[$0].isFinite && !after[$0].isFinite })
    else { return nil }
    guard targetType.isBlocks else { return (first, before[first]) }
    let start = first / targetType.blockLength * targetType.blockLength
    let places = (start..<min(start + targetType.blockLength, before.count)).filter {
      before[$0].isFinite
    }
    let largest = places.max { before[$0].magnitude < before[$1].magnitude } ?? first
    return (largest, before[largest])
  }

  /// The elements as f64.
  private static func doubles(_ bytes: UnsafeRawBufferPointer, _ type: DataType) -> [Double]? {
    let count = bytes.count / type.byteWidth * type.blockLength
    let tensor = Tensor(copying: bytes, dataType: type, shape: [count])?.converted(to: .f64)
    return tensor?.withDoubles { Array($0) }
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
        && target.count == targetType.byteCount(elements: count),
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
    case (.f32, .q8):
      kernels.q8_from_f32(y.bound(), x.bound(), count)
    case (.f32, .q4v1):
      sxk_q4_from_f32(y, x.bound(), count)
    case (.f32, .bf16):
      kernels.bf16_from_f32(y.bound(), x.bound(), count)
    case (.f32, .f16):
      kernels.f16_from_f32(y.bound(), x.bound(), count)
    case (.f32, .f64):
      kernels.f64_from_f32(y.bound(), x.bound(), count)
    case (_, .f32) where source.isBlocks:
      kernels.f32_from_blocks(y.bound(), x, source.kernelType, count)
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
