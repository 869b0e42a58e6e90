import SextantBytes

/// The header before a member's data, and the descriptor after it.
enum ZipLocalHeader {
  private static let fixedByteCount = 30
  /// Bytes of the record that follows the data if sizes were not known before it.
  private static let descriptorByteCounts = [16, 24]

  /// Checks the bytes from an entry's header to the next one (or the directory) at `next`.
  ///
  /// - Returns: the member, with its data between header and descriptor.
  /// - Throws: `pth.zip`, `pth.zip.directory`.
  static func member(
    of entry: ZipDirectoryEntry, in file: InputFile, until next: Int
  ) throws(Refusal) -> ZipArchive.Member {
    let start = entry.headerOffset
    func refusal(_ found: String, _ expected: String) -> Refusal {
      Refusal(
        .pytorchZipDirectory, file: file.path, at: .offset(start),
        found: "\(found) (\"\(entry.name)\")", expected: expected)
    }
    guard next - start >= fixedByteCount else {
      throw refusal(counted(next - start, "byte"), "a local header")
    }
    let header = ByteReader(
      try file.read(at: start, count: fixedByteCount), baseOffset: start, file: file.path)
    guard try header.slice(at: 0, count: 4).elementsEqual([0x50, 0x4B, 3, 4]) else {
      throw refusal("other bytes", "a local header")
    }
    let (flags, method) = try (header.zipNumber(at: 6, 2), header.zipNumber(at: 8, 2))
    let nameCount = try header.zipNumber(at: 26, 2)
    let extraCount = try header.zipNumber(at: 28, 2)
    let headerByteCount = fixedByteCount + nameCount + extraCount
    guard headerByteCount <= next - start else {
      throw refusal(
        "a header of \(counted(headerByteCount, "byte"))", "one that ends before the next")
    }
    let names = try file.read(at: start + fixedByteCount, count: nameCount + extraCount)
    guard flags == entry.flags, method == entry.method,
      names.prefix(nameCount).elementsEqual(entry.name.utf8)
    else { throw refusal("another name, method or flags", "the values of the directory") }
    guard let extra = ZipArchive.extraFields(names.dropFirst(nameCount)),
      extra.allSatisfy({ ZipArchive.knownFields.contains($0.identifier) })
    else { throw refusal("an unknown extra field", "padding or 64-bit sizes") }

    let stated = try [14, 18, 22].map { place throws(Refusal) in
      try header.zipNumber(at: place, 4)
    }
    let actual = [entry.checksum, entry.storedByteCount, entry.byteCount]
    let follows = entry.flags & ZipDirectoryEntry.descriptorFlag != 0
    let sizes = extra.first { $0.identifier == ZipArchive.zip64Field }?.bytes
    if let sizes, sizes.count == 16 {
      let sizes = ByteReader(sizes, file: file.path)
      let wide = try [sizes.zipNumber(at: 0, 8), sizes.zipNumber(at: 8, 8)]
      // If sizes follow the data, either may be 0: torch.save knows one of them before the data.
      let isRight = zip(wide, [entry.byteCount, entry.storedByteCount]).allSatisfy {
        $0 == $1 || follows && $0 == 0
      }
      guard isRight else { throw refusal("another 64-bit size", "the size in the directory") }
    }
    let wide = sizes != nil
    for (stated, actual) in zip(stated, actual) {
      // Sizes that follow the data are zero here; wide ones are saturated.
      guard stated == actual || follows && stated == 0 || wide && stated == 0xFFFF_FFFF else {
        throw refusal("another checksum or size", "the values of the directory")
      }
    }
    guard entry.storedByteCount <= next - start - headerByteCount else {
      throw refusal(
        "\(counted(entry.storedByteCount, "byte")) of data",
        "at most \(next - start - headerByteCount)")
    }
    let dataEnd = start + headerByteCount + entry.storedByteCount
    if follows {
      try checkDescriptor(actual, file, dataEnd..<next)
    } else if dataEnd != next {
      throw refusal("\(next - dataEnd) bytes that belong to no member", "the next member")
    }
    return ZipArchive.Member(
      name: entry.name, offset: start + headerByteCount, storedByteCount: entry.storedByteCount,
      byteCount: entry.byteCount, isDeflated: entry.method == ZipDirectoryEntry.deflate,
      checksum: UInt32(truncatingIfNeeded: entry.checksum))
  }

  /// The descriptor must fill the space up to the next member, and agree with the directory.
  private static func checkDescriptor(
    _ actual: [Int], _ file: InputFile, _ range: Range<Int>
  ) throws(Refusal) {
    func refusal(_ found: String) -> Refusal {
      Refusal(
        .pytorchZipDirectory, file: file.path, at: .offset(range.lowerBound), found: found,
        expected: "a data descriptor that agrees with the directory")
    }
    guard descriptorByteCounts.contains(range.count) else {
      throw refusal(counted(range.count, "byte"))
    }
    let descriptor = ByteReader(
      try file.read(at: range.lowerBound, count: range.count), baseOffset: range.lowerBound,
      file: file.path)
    let width = (range.count - 8) / 2
    let stated = try [
      descriptor.zipNumber(at: 4, 4), descriptor.zipNumber(at: 8, width),
      descriptor.zipNumber(at: 8 + width, width),
    ]
    guard try descriptor.slice(at: 0, count: 4).elementsEqual([0x50, 0x4B, 7, 8]), stated == actual
    else { throw refusal("another checksum or size") }
  }
}
