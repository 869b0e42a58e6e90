import SextantBytes

/// Bytes of zip archives, good and bad.
package enum RawZip {
  /// A member, and the false values in its records.
  package struct Member: Sendable {
    /// The name in the directory.
    package var name: String
    /// The data.
    package var bytes: [UInt8]
    /// The name in the local header.
    package var localName: String?
    /// The flags in both records.
    package var flags = 0
    /// The flags in the local header.
    package var localFlags: Int?
    /// The method in both records.
    package var method = 0
    /// The checksum in all records.
    package var checksum: UInt32?
    /// The size in the local header.
    package var localByteCount: Int?
    /// The size in the directory.
    package var byteCount: Int?
    /// Bytes before packing, in both records.
    package var unpackedByteCount: Int?
    /// The extra block of the local header.
    package var extra: [UInt8] = []
    /// Sizes are after the data, in the form of 4 or of 8 bytes.
    package var descriptorWidth: Int?
    /// The directory gives sizes and offset in the field for 64 bits.
    package var isWide = false
    /// Bytes of no member after this one.
    package var gap: [UInt8] = []

    /// A valid member.
    package init(_ name: String, _ bytes: [UInt8]) {
      (self.name, self.bytes) = (name, bytes)
    }

    /// A member with text in it.
    package init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
  }

  /// An archive of these members.
  ///
  /// - Parameters:
  ///   - isWide: with a 64-bit end record and its locator.
  ///   - count: the number of members to declare.
  ///   - comment: what follows the end record.
  package static func file(
    _ members: [Member], isWide: Bool = false, count: Int? = nil, comment: [UInt8] = []
  ) -> [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      directory += entry(member, at: file.count)
      file += localHeader(member) + member.bytes + descriptor(member) + member.gap
    }
    let start = file.count
    let count = count ?? members.count
    file += directory
    if isWide {
      let record = file.count
      file += [0x50, 0x4B, 6, 6] + number(44, 8) + number(0x31E, 2) + number(45, 2) + number(0, 8)
      file += number(count, 8) + number(count, 8) + number(directory.count, 8) + number(start, 8)
      file += [0x50, 0x4B, 6, 7] + number(0, 4) + number(record, 8) + number(1, 4)
    }
    file += [0x50, 0x4B, 5, 6] + number(0, 4) + number(count, 2) + number(count, 2)
    file += number(directory.count, 4) + number(start, 4) + number(comment.count, 2) + comment
    return file
  }

  private static func flags(_ member: Member) -> Int {
    member.flags | (member.descriptorWidth == nil ? 0 : 8)
  }

  private static func checksum(_ member: Member) -> Int {
    Int(member.checksum ?? crc32(member.bytes))
  }

  private static func localHeader(_ member: Member) -> [UInt8] {
    let name = Array((member.localName ?? member.name).utf8)
    let follows = member.descriptorWidth != nil
    let byteCount = follows ? 0 : member.localByteCount ?? member.bytes.count
    return [0x50, 0x4B, 3, 4] + number(0, 2) + number(member.localFlags ?? flags(member), 2)
      + number(member.method, 2) + number(0, 4) + number(follows ? 0 : checksum(member), 4)
      + number(byteCount, 4) + number(member.unpackedByteCount ?? byteCount, 4)
      + number(name.count, 2) + number(member.extra.count, 2) + name + member.extra
  }

  private static func descriptor(_ member: Member) -> [UInt8] {
    guard let width = member.descriptorWidth else { return [] }
    let byteCount = number(member.localByteCount ?? member.bytes.count, width)
    return [0x50, 0x4B, 7, 8] + number(checksum(member), 4) + byteCount + byteCount
  }

  private static func entry(_ member: Member, at offset: Int) -> [UInt8] {
    let name = Array(member.name.utf8)
    let byteCount = member.byteCount ?? member.bytes.count
    let saturated = 0xFFFF_FFFF
    let extra =
      member.isWide
      ? number(1, 2) + number(24, 2) + number(byteCount, 8) + number(byteCount, 8)
        + number(offset, 8) : []
    return [0x50, 0x4B, 1, 2] + number(0, 4) + number(flags(member), 2) + number(member.method, 2)
      + number(0, 4) + number(checksum(member), 4)
      + number(member.isWide ? saturated : byteCount, 4)
      + number(member.isWide ? saturated : member.unpackedByteCount ?? byteCount, 4)
      + number(name.count, 2)
      + number(extra.count, 2) + number(0, 10) + number(member.isWide ? saturated : offset, 4)
      + name + extra
  }

  private static func number(_ value: Int, _ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> ($0 * 8)) : 0 }
  }

  /// CRC-32, bit by bit.
  package static func crc32(_ bytes: [UInt8]) -> UInt32 {
    var value = UInt32.max
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }
    return ~value
  }
}
