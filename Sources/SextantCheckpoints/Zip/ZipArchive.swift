import SextantBytes

/// A zip archive of members that are stored, or deflated if that is allowed, read so strictly that
/// two readers cannot find different archives in it.
///
/// Local headers, members and directory must fill the file without a gap, each header must agree
/// with the directory, and nothing may follow the end record. So the archive cannot contain second
/// end records, flags, or members that only one of two readers finds, which hide content from
/// scanners in other archives.
struct ZipArchive: Sendable {
  /// A member.
  struct Member: Sendable {
    /// The name, with its folders.
    let name: String
    /// The position of its bytes in the file.
    let offset: Int
    /// Bytes in the file.
    let storedByteCount: Int
    /// Bytes of the member; those in the file if it is stored without compression.
    let byteCount: Int
    /// Whether the bytes in the file are a deflate stream.
    let isDeflated: Bool
    /// The CRC-32 that the bytes must have.
    let checksum: UInt32
  }

  /// The members, in the order in which they are in the file.
  let members: [Member]

  /// Reads the directory and all local headers.
  ///
  /// - Parameter allowingDeflate: whether members may be compressed.
  /// - Throws: `pth.zip`, `pth.zip.directory`, `pth.zip.method`, `pth.zip.name`.
  init(of file: InputFile, allowingDeflate: Bool = false) throws(Refusal) {
    let end = try ZipEnd(of: file)
    let entries = try ZipDirectoryEntry.readAll(from: file, end, allowingDeflate: allowingDeflate)
      .sorted { $0.headerOffset < $1.headerOffset }
    var members: [Member] = []
    members.reserveCapacity(entries.count)
    for (place, entry) in entries.enumerated() {
      let next =
        place + 1 < entries.count ? entries[place + 1].headerOffset : end.directory.lowerBound
      let start = place == 0 ? 0 : entry.headerOffset
      guard entry.headerOffset == start, start < next else {
        throw Refusal(
          .pytorchZipDirectory, file: file.path, at: .offset(entry.headerOffset),
          found: "a member that starts here", expected: "the first at byte 0, no two at one place")
      }
      members.append(try ZipLocalHeader.member(of: entry, in: file, until: next))
    }
    self.members = members
  }

  /// The fields of an extra block: pairs of an identifier and bytes.
  ///
  /// - Returns: nil when the block does not divide into fields.
  static func extraFields(_ bytes: ArraySlice<UInt8>) -> [(identifier: Int, bytes: [UInt8])]? {
    var fields: [(identifier: Int, bytes: [UInt8])] = []
    var rest = bytes
    while !rest.isEmpty {
      guard rest.count >= 4 else { return nil }
      let head = Array(rest.prefix(4))
      let count = Int(head[2]) | Int(head[3]) << 8
      guard rest.count >= 4 + count else { return nil }
      fields.append((Int(head[0]) | Int(head[1]) << 8, Array(rest.dropFirst(4).prefix(count))))
      rest = rest.dropFirst(4 + count)
    }
    return fields
  }

  /// The identifier of the field with 64-bit sizes.
  static let zip64Field = 0x0001
  /// The identifier of PyTorch's padding, "FB".
  static let paddingField = 0x4246
  /// The identifiers of the fields that are allowed.
  static let knownFields = [zip64Field, paddingField]
}

extension ByteReader {
  /// A little-endian number of 2, 4 or 8 bytes; one of 64 bits beyond 63 is refused.
  func zipNumber(at offset: Int, _ byteCount: Int) throws(Refusal) -> Int {
    let value = try unsigned(at: offset, byteCount: byteCount)
    guard let number = Int(exactly: value) else {
      throw Refusal(
        .pytorchZip, file: file, at: .offset(baseOffset + offset), found: "the number \(value)",
        expected: "a size or offset below 2^63")
    }
    return number
  }

  /// Refuses unless the four bytes at `offset` are `signature`.
  func expectZipSignature(
    _ signature: [UInt8], at offset: Int, _ name: String
  ) throws(Refusal) {
    guard try slice(at: offset, count: 4).elementsEqual(signature) else {
      throw Refusal(
        .pytorchZip, file: file, at: .offset(baseOffset + offset), found: "other bytes",
        expected: name)
    }
  }
}
