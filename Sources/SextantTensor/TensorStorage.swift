/// The memory behind tensors: either owned, or borrowed from something that keeps it alive.
///
/// Owned memory is aligned to 64 bytes, so that kernels may use whole vectors. Borrowed memory
/// (a mapped file) is read-only. `@unchecked Sendable`: owned memory is written only through a
/// `Tensor` that holds the one reference to it; borrowed memory is never written.
final class TensorStorage: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  /// What keeps borrowed memory alive; nil when this object owns the memory.
  private let owner: AnyObject?

  static let alignment = 64

  /// Owned memory, zeroed.
  init(zeroedByteCount byteCount: Int) {
    let allocated = max((byteCount + 63) & ~63, Self.alignment)
    base = UnsafeMutableRawPointer.allocate(
      byteCount: allocated, alignment: Self.alignment)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: allocated)
    self.byteCount = byteCount
    owner = nil
  }

  /// Owned memory, a copy of another storage's bytes.
  init(copying other: UnsafeRawBufferPointer) {
    let allocated = max((other.count + 63) & ~63, Self.alignment)
    base = UnsafeMutableRawPointer.allocate(
      byteCount: allocated, alignment: Self.alignment)
    if let source = other.baseAddress { base.copyMemory(from: source, byteCount: other.count) }
    byteCount = other.count
    owner = nil
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

  var isBorrowed: Bool { owner != nil }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

  deinit {
    if owner == nil { base.deallocate() }
  }
}
