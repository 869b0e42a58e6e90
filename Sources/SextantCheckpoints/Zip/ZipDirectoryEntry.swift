import SextantBytes

/// The entry of one member in the directory of a zip archive.
struct ZipDirectoryEntry {
  /// The name.
  let name: String
  /// The flags: bit 3 (sizes follow the data) and bit 11 (UTF-8) are allowed.
  let flags: Int
  /// The CRC-32 of the data.
  let checksum: Int
  /// The method: 0, stored, or 8, deflate.
  let method: Int
  /// Bytes of the data in the file.
  let storedByteCount: Int
  /// Bytes of the member.
  let byteCount: Int
  /// The position of the member's local header.
  let headerOffset: Int

  /// The method whose data is a deflate stream.
  static let deflate = 8
  /// The flag that sizes and checksum follow the data.
  static let descriptorFlag = 1 << 3
  private static let allowedFlags = descriptorFlag | 1 << 11
  private static let fixedByteCount = 46

  /// Reads the directory.
  ///
  /// - Throws: `pth.zip`, `pth.zip.method`, `pth.zip.name`.
  static func readAll(
    from file: InputFile, _ end: ZipEnd, allowingDeflate: Bool
  ) throws(Refusal) -> [ZipDirectoryEntry] {
    let reader = ByteReader(
      try file.read(at: end.directory.lowerBound, count: end.directory.count),
      baseOffset: end.directory.lowerBound, file: file.path)
    guard end.memberCount <= reader.bytes.count / fixedByteCount else {
      throw refusal(reader, 0, "\(end.memberCount) members", "as many as fit the directory")
    }
    var entries: [ZipDirectoryEntry] = []
    var names = Set<String>()
    var position = 0
    for _ in 0..<end.memberCount {
      let entry = try read(from: reader, at: &position, allowingDeflate)
      // By canonical equivalence, because file systems and other readers may compare names in this
      // way.
      guard names.insert(entry.name).inserted else {
        throw Refusal(
          .pytorchZipName, file: file.path, found: "two members \"\(entry.name)\"",
          expected: "names that differ")
      }
      entries.append(entry)
    }
    guard position == reader.bytes.count else {
      throw refusal(reader, position, "bytes after the last entry", "the directory's end")
    }
    return entries
  }

  private static func read(
    from reader: ByteReader, at position: inout Int, _ allowingDeflate: Bool
  ) throws(Refusal) -> ZipDirectoryEntry {
    let start = position
    guard reader.bytes.count - start >= fixedByteCount else {
      throw refusal(reader, start, "the directory's end", "another member")
    }
    try reader.expectZipSignature([0x50, 0x4B, 1, 2], at: start, "a directory entry")
    let (flags, method) = try (
      reader.zipNumber(at: start + 8, 2), reader.zipNumber(at: start + 10, 2)
    )
    let sizes = try (reader.zipNumber(at: start + 20, 4), reader.zipNumber(at: start + 24, 4))
    let nameCount = try reader.zipNumber(at: start + 28, 2)
    let extraCount = try reader.zipNumber(at: start + 30, 2)
    let (comment, disk) = try (
      reader.zipNumber(at: start + 32, 2), reader.zipNumber(at: start + 34, 2)
    )
    guard reader.bytes.count - start - fixedByteCount >= nameCount + extraCount else {
      throw refusal(reader, start, "the directory's end", "a name and extra fields")
    }
    position = start + fixedByteCount + nameCount + extraCount
    let name = try decodeName(
      reader.slice(at: start + fixedByteCount, count: nameCount), reader, start)
    guard flags & ~allowedFlags == 0, comment == 0, disk == 0 else {
      throw refusal(
        reader, start, "flags 0x\(String(flags, radix: 16))", "no encryption or comment")
    }
    guard method == 0 || allowingDeflate && method == deflate else {
      throw Refusal(
        .pytorchZipMethod, file: reader.file, at: .offset(reader.baseOffset + start),
        found: "method \(method) for \"\(name)\"",
        expected: allowingDeflate ? "0, stored, or 8, deflate" : "0, stored")
    }
    let extra = try reader.slice(at: start + fixedByteCount + nameCount, count: extraCount)
    guard
      let wide = try widened(
        [sizes.1, sizes.0, reader.zipNumber(at: start + 42, 4)], extra, reader.file),
      method == deflate || wide[0] == wide[1]
    else {
      throw refusal(
        reader, start, "sizes that contradict each other", "the sizes of a stored member")
    }
    return ZipDirectoryEntry(
      name: name, flags: flags, checksum: try reader.zipNumber(at: start + 16, 4),
      method: method, storedByteCount: wide[1], byteCount: wide[0], headerOffset: wide[2])
  }

  /// Numbers of 32 bits, with those that are saturated taken from the extra field of 64-bit sizes.
  ///
  /// - Returns: nil unless the extra block contains exactly these numbers.
  private static func widened(
    _ numbers: [Int], _ extra: ArraySlice<UInt8>, _ file: String?
  ) throws(Refusal) -> [Int]? {
    let saturated = numbers.indices.filter { numbers[$0] == 0xFFFF_FFFF }
    guard let fields = ZipArchive.extraFields(extra) else { return nil }
    let wide = fields.filter { $0.identifier == ZipArchive.zip64Field }
    guard fields.allSatisfy({ ZipArchive.knownFields.contains($0.identifier) }), wide.count <= 1,
      wide.first?.bytes.count ?? 0 == 8 * saturated.count
    else { return nil }
    var result = numbers
    for (place, index) in saturated.enumerated() {
      result[index] = try ByteReader(wide[0].bytes, file: file).zipNumber(at: 8 * place, 8)
    }
    return result
  }

  private static func decodeName(
    _ bytes: ArraySlice<UInt8>, _ reader: ByteReader, _ start: Int
  ) throws(Refusal) -> String {
    let name = String(validating: bytes, as: UTF8.self)
    // A name is `folder/member`, so that no tool writes outside its own folder.
    guard let name, TensorName.flaw(name) == nil, !name.utf8.contains(UInt8(ascii: "\\")) else {
      throw Refusal(
        .pytorchZipName, file: reader.file, at: .offset(reader.baseOffset + start),
        found: name ?? "bytes that are not UTF-8", expected: "a plain name in one folder")
    }
    return name
  }

  private static func refusal(
    _ reader: ByteReader, _ position: Int, _ found: String, _ expected: String
  ) -> Refusal {
    Refusal(
      .pytorchZip, file: reader.file, at: .offset(reader.baseOffset + position), found: found,
      expected: expected)
  }
}
