import Glibc

/// An n-dimensional array in row-major order: a value with copy-on-write storage.
///
/// Memory is either owned or borrowed from a mapped file. Copying a tensor costs only a reference
/// count. Writing to a copy, or to a tensor whose memory is borrowed, first copies the elements.
/// Activations are always `f32`; weights keep the type in which they are stored.
public struct Tensor: Sendable {
  /// The type of the elements.
  public let dataType: DataType
  /// The dimensions, outermost first. `[]` is a scalar.
  public private(set) var shape: [Int]
  private var storage: TensorStorage

  /// The number of elements.
  public var count: Int { storage.byteCount / dataType.byteWidth * dataType.blockLength }

  // MARK: Creation

  /// A tensor of zeros.
  public init(zeros shape: [Int], dataType: DataType = .f32) {
    guard let byteCount = dataType.byteCount(shape: shape) else {
      preconditionFailure("shape \(shape) is negative or overflows")
    }
    self.dataType = dataType
    self.shape = shape
    storage = TensorStorage(zeroedByteCount: byteCount)
  }

  /// A tensor whose elements are undefined, for kernels that write every one.
  init(unfilled shape: [Int], dataType: DataType = .f32) {
    guard let byteCount = dataType.byteCount(shape: shape) else {
      preconditionFailure("shape \(shape) is negative or overflows")
    }
    self.dataType = dataType
    self.shape = shape
    storage = TensorStorage(unfilledByteCount: byteCount)
  }

  /// An f32 tensor of the given values; `values.count` must equal the product of `shape`.
  public init(_ values: [Float], shape: [Int]) {
    precondition(Shape.elementCount(shape) == values.count, "\(values.count) values for \(shape)")
    dataType = .f32
    self.shape = shape
    storage = values.withUnsafeBytes { TensorStorage(copying: $0) }
  }

  /// An f64 tensor of the given values; `doubles.count` must equal the product of `shape`.
  public init(doubles: [Double], shape: [Int]) {
    precondition(Shape.elementCount(shape) == doubles.count, "\(doubles.count) values for \(shape)")
    dataType = .f64
    self.shape = shape
    storage = doubles.withUnsafeBytes { TensorStorage(copying: $0) }
  }

  /// An I64 tensor of the given values, [values.count].
  public init(integers: [Int]) {
    dataType = .i64
    shape = [integers.count]
    storage = integers.map(Int64.init).withUnsafeBytes { TensorStorage(copying: $0) }
  }

  /// A tensor whose little-endian elements are copied from `bytes`.
  ///
  /// - Returns: nil when the byte count does not fit the type and shape.
  public init?(copying bytes: UnsafeRawBufferPointer, dataType: DataType, shape: [Int]) {
    guard dataType.byteCount(shape: shape) == bytes.count else { return nil }
    self.dataType = dataType
    self.shape = shape
    storage = TensorStorage(copying: bytes)
  }

  /// A read-only tensor over memory that `owner` keeps alive, such as a mapped file.
  ///
  /// Memory that is not aligned for the type, as in foreign files, is copied instead.
  ///
  /// - Returns: nil when the byte count does not fit the type and shape.
  package init?(
    borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject, dataType: DataType, shape: [Int]
  ) {
    guard dataType.byteCount(shape: shape) == bytes.count else { return nil }
    self.dataType = dataType
    self.shape = shape
    let isAligned = Int(bitPattern: bytes.baseAddress) % dataType.alignment == 0
    storage =
      isAligned
      ? TensorStorage(borrowing: bytes, owner: owner) : TensorStorage(copying: bytes)
  }

  // MARK: Access

  /// The bytes of the elements, little-endian, row-major.
  public func withUnsafeBytes<R, E>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    defer { withExtendedLifetime(storage) {} }
    return try body(storage.bytes)
  }

  /// The elements of an f32 tensor.
  public func withFloats<R, E>(
    _ body: (UnsafeBufferPointer<Float>) throws(E) -> R
  ) throws(E) -> R {
    precondition(dataType == .f32, "withFloats on \(dataType.rawValue)")
    defer { withExtendedLifetime(storage) {} }
    return try body(
      UnsafeBufferPointer(start: storage.base.assumingMemoryBound(to: Float.self), count: count))
  }

  /// The elements of an f32 tensor, for writing. Copies first when the memory is shared.
  public mutating func withMutableFloats<R, E>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(E) -> R
  ) throws(E) -> R {
    precondition(dataType == .f32, "withMutableFloats on \(dataType.rawValue)")
    makeUnique()
    defer { withExtendedLifetime(storage) {} }
    return try body(
      UnsafeMutableBufferPointer(
        start: storage.base.assumingMemoryBound(to: Float.self), count: count))
  }

  /// The elements of an f64 tensor.
  public func withDoubles<R, E>(
    _ body: (UnsafeBufferPointer<Double>) throws(E) -> R
  ) throws(E) -> R {
    precondition(dataType == .f64, "withDoubles on \(dataType.rawValue)")
    defer { withExtendedLifetime(storage) {} }
    return try body(
      UnsafeBufferPointer(start: storage.base.assumingMemoryBound(to: Double.self), count: count))
  }

  /// The elements of an f64 tensor, for writing. Copies first when the memory is shared.
  public mutating func withMutableDoubles<R, E>(
    _ body: (UnsafeMutableBufferPointer<Double>) throws(E) -> R
  ) throws(E) -> R {
    precondition(dataType == .f64, "withMutableDoubles on \(dataType.rawValue)")
    makeUnique()
    defer { withExtendedLifetime(storage) {} }
    return try body(
      UnsafeMutableBufferPointer(
        start: storage.base.assumingMemoryBound(to: Double.self), count: count))
  }

  /// The bytes of the elements, for writing. Copies first when the memory is shared.
  mutating func withMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) -> R) -> R {
    makeUnique()
    defer { withExtendedLifetime(storage) {} }
    return body(UnsafeMutableRawBufferPointer(start: storage.base, count: storage.byteCount))
  }

  private mutating func makeUnique() {
    if storage.isBorrowed || !isKnownUniquelyReferenced(&storage) {
      storage = TensorStorage(copying: storage.bytes)
    }
  }

  /// The elements of an f32 tensor as an array.
  public var values: [Float] { withFloats { Array($0) } }

  // MARK: Shape

  /// The same elements in another shape with the same count.
  public func reshaped(_ shape: [Int]) -> Tensor {
    precondition(
      dataType.byteCount(shape: shape) == storage.byteCount,
      "\(self.shape) does not reshape to \(shape)")
    var result = self
    result.shape = shape
    return result
  }

  /// The sub-tensor at `index` of the first axis, without a copy: one matrix of a stack of them.
  ///
  /// It keeps the memory of this tensor alive. Writing to either of the two copies its elements first.
  package func element(_ index: Int) -> Tensor {
    precondition(
      shape.count > (dataType.isBlocks ? 1 : 0) && (0..<shape[0]).contains(index),
      "element \(index) of \(shape)")
    let size = storage.byteCount / shape[0]
    var result = self
    result.shape = Array(shape.dropFirst())
    result.storage = TensorStorage(sharing: storage, index * size..<(index + 1) * size)
    return result
  }

  /// The sub-tensors `range` along the first axis, copied.
  public func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      shape.count > (dataType.isBlocks ? 1 : 0) && range.lowerBound >= 0
        && range.upperBound <= shape[0])
    let rowBytes = shape[0] == 0 ? 0 : storage.byteCount / shape[0]
    let slice = UnsafeRawBufferPointer(
      rebasing: storage.bytes[range.lowerBound * rowBytes..<range.upperBound * rowBytes])
    var result = self
    result.shape = [range.count] + shape.dropFirst()
    result.storage = TensorStorage(copying: slice)
    return result
  }

  /// Replaces the sub-tensor `row` along the first axis.
  ///
  /// - Parameter value: f32, with the elements of one row.
  package mutating func replace(_ row: Int, by value: Tensor) {
    let size = value.count
    precondition(size * (shape.first ?? 0) == count, "\(value.shape) is no row of \(shape)")
    value.withFloats { source in
      withMutableFloats { target in
        for place in 0..<size { target[row * size + place] = source[place] }
      }
    }
  }

  /// The tensors joined along the first axis; all other dimensions and types must be equal.
  public static func concatenated(_ parts: [Tensor]) -> Tensor {
    guard let first = parts.first else { return Tensor(zeros: [0]) }
    precondition(
      parts.allSatisfy {
        $0.dataType == first.dataType && $0.shape.dropFirst() == first.shape.dropFirst()
      })
    let rowCount = parts.reduce(0) { $0 + $1.shape[0] }
    let result = Tensor(unfilled: [rowCount] + first.shape.dropFirst(), dataType: first.dataType)
    var offset = 0
    for part in parts {
      part.withUnsafeBytes { bytes in
        if let source = bytes.baseAddress {
          (result.storage.base + offset).copyMemory(from: source, byteCount: bytes.count)
        }
        offset += bytes.count
      }
    }
    return result
  }
}

extension Tensor: Equatable {
  /// Equal type, shape and bytes; NaN equals the same NaN, and 0 differs from -0.
  public static func == (a: Tensor, b: Tensor) -> Bool {
    guard a.dataType == b.dataType && a.shape == b.shape else { return false }
    defer { withExtendedLifetime((a.storage, b.storage)) {} }
    return memcmp(a.storage.base, b.storage.base, a.storage.byteCount) == 0
  }
}
