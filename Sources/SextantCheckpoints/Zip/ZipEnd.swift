import SextantBytes

/// The records that end a zip archive: where the directory is, and how many members it lists.
struct ZipEnd {
  /// The bytes of the directory.
  let directory: Range<Int>
  /// The members it lists.
  let memberCount: Int

  private static let byteCount = 22
  /// The largest directory: a million members with names of PyTorch's length fit.
  private static let directoryLimit = 128 << 20

  /// Reads the end record, which must be the last 22 bytes, and its 64-bit form if there is one.
  ///
  /// - Throws: `pth.zip`.
  init(of file: InputFile) throws(Refusal) {
    let start = file.byteCount - Self.byteCount
    guard start >= 0 else {
      throw Refusal(
        .pytorchZip, file: file.path, found: counted(file.byteCount, "byte"),
        expected: "at least an end record of \(counted(Self.byteCount, "byte"))")
    }
    let record = ByteReader(
      try file.read(at: start, count: Self.byteCount), baseOffset: start, file: file.path)
    try record.expectZipSignature([0x50, 0x4B, 5, 6], at: 0, "an end record without a comment")
    let disks = try (record.zipNumber(at: 4, 2), record.zipNumber(at: 6, 2))
    let counts = try (record.zipNumber(at: 8, 2), record.zipNumber(at: 10, 2))
    let (size, offset) = try (record.zipNumber(at: 12, 4), record.zipNumber(at: 16, 4))
    guard disks == (0, 0), counts.0 == counts.1, try record.zipNumber(at: 20, 2) == 0 else {
      throw Refusal(
        .pytorchZip, file: file.path, at: .offset(start), found: "a comment, or several disks",
        expected: "one disk and no comment")
    }
    let wide = try Zip64End(of: file, before: start)
    if let wide {
      // A field that is not saturated must agree in both records.
      guard [wide.memberCount, 0xFFFF].contains(counts.0), [wide.size, 0xFFFF_FFFF].contains(size),
        [wide.offset, 0xFFFF_FFFF].contains(offset)
      else {
        throw Refusal(
          .pytorchZip, file: file.path, at: .offset(start), found: "two end records that differ",
          expected: "the same directory in both")
      }
    }
    // Both numbers are below 2^63; the sum of offset and size is compared without being taken.
    let (begin, count) = (wide?.offset ?? offset, wide?.size ?? size)
    let end = wide?.start ?? start
    guard begin <= end, end - begin == count, count <= Self.directoryLimit else {
      throw Refusal(
        .pytorchZip, file: file.path, at: .offset(begin),
        found: "a directory of \(counted(count, "byte"))",
        expected: "one that ends at byte \(end) and has at most \(Self.directoryLimit)")
    }
    directory = begin..<end
    memberCount = wide?.memberCount ?? counts.0
  }
}

/// The end record of an archive that may be larger than 4 GiB, and its locator.
private struct Zip64End {
  /// The position of the record.
  let start: Int
  let memberCount: Int
  let size: Int
  let offset: Int

  private static let locatorByteCount = 20
  private static let byteCount = 56

  /// Reads both, which are right before the end record; nil if there is no locator.
  ///
  /// - Throws: `pth.zip`.
  init?(of file: InputFile, before end: Int) throws(Refusal) {
    let start = end - Self.locatorByteCount - Self.byteCount
    guard start >= 0 else { return nil }
    let both = ByteReader(
      try file.read(at: start, count: end - start), baseOffset: start, file: file.path)
    let locator = Self.byteCount
    guard try both.slice(at: locator, count: 4).elementsEqual([0x50, 0x4B, 6, 7]) else {
      return nil
    }
    try both.expectZipSignature([0x50, 0x4B, 6, 6], at: 0, "a 64-bit end record")
    let located = try both.zipNumber(at: locator + 8, 8)
    let disks = try [
      both.zipNumber(at: locator + 4, 4), both.zipNumber(at: 16, 4), both.zipNumber(at: 20, 4),
    ]
    let diskCount = try both.zipNumber(at: locator + 16, 4)
    let restByteCount = try both.zipNumber(at: 4, 8)
    let counts = try (both.zipNumber(at: 24, 8), both.zipNumber(at: 32, 8))
    guard located == start, disks == [0, 0, 0], diskCount <= 1, counts.0 == counts.1,
      restByteCount == Self.byteCount - 12
    else {
      throw Refusal(
        .pytorchZip, file: file.path, at: .offset(start), found: "a 64-bit end record in disorder",
        expected: "one of \(counted(Self.byteCount, "byte")) right before its locator")
    }
    self.start = start
    memberCount = counts.0
    size = try both.zipNumber(at: 40, 8)
    offset = try both.zipNumber(at: 48, 8)
  }
}
