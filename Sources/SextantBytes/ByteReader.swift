/// The one door to the bytes of an untrusted buffer: every access is checked and may refuse.
package struct ByteReader: Sendable {
  /// The bytes.
  package let bytes: [UInt8]
  /// Added to offsets in refusals: where these bytes start in their file.
  package let baseOffset: Int
  /// The file that the bytes come from, for refusals.
  package let file: String?

  /// Reads `bytes`, which start at `baseOffset` of `file`.
  package init(_ bytes: [UInt8], baseOffset: Int = 0, file: String? = nil) {
    self.bytes = bytes
    self.baseOffset = baseOffset
    self.file = file
  }

  /// The bytes `offset ..< offset + count`.
  ///
  /// - Throws: `file.too-short` when they are not all there.
  package func slice(at offset: Int, count: Int) throws(Refusal) -> ArraySlice<UInt8> {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= bytes.count else {
      throw Refusal(
        .fileTooShort, file: file, at: .offset(baseOffset &+ offset),
        found: counted(bytes.count, "byte"), expected: "\(counted(count, "byte")) from here")
    }
    return bytes[offset..<end]
  }

  /// A little-endian unsigned integer of 1 to 8 bytes.
  package func unsigned(at offset: Int, byteCount: Int) throws(Refusal) -> UInt64 {
    var value: UInt64 = 0
    for byte in try slice(at: offset, count: byteCount).reversed() {
      value = value << 8 | UInt64(byte)
    }
    return value
  }
}

extension FixedWidthInteger {
  /// The bytes of the number, least significant first.
  package var littleEndianBytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> Self($0 * 8)) }
  }
}
