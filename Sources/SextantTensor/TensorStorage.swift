import Glibc

/// The memory behind tensors: either owned, or borrowed from something that keeps it alive.
///
/// Owned memory is aligned to 64 bytes, so that kernels may use whole vectors. Borrowed memory (a
/// mapped file) is read-only. `@unchecked Sendable`: owned memory is written only through a
/// `Tensor` that has the only reference to it; borrowed memory is never written.
final class TensorStorage: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  /// The object that keeps borrowed memory alive; nil if this object owns the memory.
  private let owner: AnyObject?

  static let alignment = 64

  /// Owned memory, undefined.
  init(unfilledByteCount byteCount: Int) {
    self.byteCount = byteCount
    owner = nil
    base = BlockCache.shared.take(byteCount)
  }

  /// Owned memory for f32 elements, undefined.
  convenience init(unfilledFloatCount count: Int) {
    self.init(unfilledByteCount: count * MemoryLayout<Float>.stride)
  }

  /// Owned memory, zeroed.
  convenience init(zeroedByteCount byteCount: Int) {
    self.init(unfilledByteCount: byteCount)
    memset(base, 0, byteCount)
  }

  /// Owned memory, a copy of another storage's bytes.
  convenience init(copying other: UnsafeRawBufferPointer) {
    self.init(unfilledByteCount: other.count)
    if let source = other.baseAddress { base.copyMemory(from: source, byteCount: other.count) }
  }

  /// Borrowed, read-only memory.
  init(borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    base =
      UnsafeMutableRawPointer(mutating: bytes.baseAddress)
      ?? UnsafeMutableRawPointer(bitPattern: Self.alignment)
      ?? UnsafeMutableRawPointer.allocate(byteCount: 0, alignment: Self.alignment)
    byteCount = bytes.count
    self.owner = owner
  }

  /// The bytes `range` of another storage, which is kept alive.
  convenience init(sharing other: TensorStorage, _ range: Range<Int>) {
    self.init(borrowing: UnsafeRawBufferPointer(rebasing: other.bytes[range]), owner: other)
  }

  var isBorrowed: Bool { owner != nil }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

  deinit {
    if owner == nil { BlockCache.shared.giveBack(base, byteCount) }
  }
}
