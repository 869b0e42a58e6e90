import CZlib

/// The checksum of zip archives (ISO 3309), by zlib.
struct CRC32: Sendable {
  /// The checksum of the bytes so far.
  private(set) var value: UInt32 = 0

  /// Adds bytes.
  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let pointer = unsafe bytes.baseAddress?.assumingMemoryBound(to: Bytef.self)
    // For zlib a null pointer means a new start.
    guard let pointer = unsafe pointer else { return }
    value = unsafe UInt32(truncatingIfNeeded: crc32_z(UInt(value), pointer, bytes.count))
  }

  /// The checksum of `bytes`.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var checksum = CRC32()
    unsafe bytes.withUnsafeBytes { unsafe checksum.update($0) }
    return checksum.value
  }
}
