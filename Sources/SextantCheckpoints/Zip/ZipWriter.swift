import SextantBytes

/// Writes a zip archive of stored members whose data starts at multiples of 64.
struct ZipWriter {
  private let file: FilePublisher
  private var directory: [UInt8] = []
  private var memberCount = 0

  /// Beyond these, the fields of 64 bits are used.
  private static let (wordLimit, shortLimit) = (0xFFFF_FFFF, 0xFFFF)
  private static let alignment = 64
  private static let headerByteCount = 30
  private static let checksumOffset = 14

  /// An archive in a file without content.
  init(_ file: FilePublisher) {
    self.file = file
  }

  /// Adds a member.
  ///
  /// - Throws: `file.write`, `disk.full`.
  mutating func add(_ name: String, _ bytes: [UInt8]) throws(Refusal) {
    var failure: Refusal?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(Refusal) { unsafe try add(name, buffer) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Adds a member.
  ///
  /// - Throws: `file.write`, `disk.full`.
  mutating func add(_ name: String, _ bytes: UnsafeRawBufferPointer) throws(Refusal) {
    try unsafe add(name, byteCount: bytes.count) { sink throws(Refusal) in
      unsafe try sink(bytes)
    }
  }

  /// Adds a member whose bytes `source` streams.
  ///
  /// - Throws: `pth.storage.size` if their number differs from the declared one; `file.write`,
  ///   `disk.full`; the errors of `source`.
  mutating func add(
    _ name: String, byteCount: Int, source: SafetensorsWriter.Source
  ) throws(Refusal) {
    let offset = file.byteCount
    let isLong = byteCount >= Self.wordLimit
    let sizes = number(byteCount, 8) + number(byteCount, 8)
    // Both records have flags, method, date and checksum in one row.
    func common(_ checksum: CRC32) -> [UInt8] {
      number(0, 2) + number(0, 2) + number(0, 4) + number(Int(checksum.value), 4)
        + number(isLong ? Self.wordLimit : byteCount, 4)
        + number(isLong ? Self.wordLimit : byteCount, 4) + number(name.utf8.count, 2)
    }

    var extra = isLong ? number(ZipArchive.zip64Field, 2) + number(sizes.count, 2) + sizes : []
    let unpadded = offset + Self.headerByteCount + name.utf8.count + extra.count + 4
    let padding = (Self.alignment - unpadded % Self.alignment) % Self.alignment
    extra += number(ZipArchive.paddingField, 2) + number(padding, 2)
    extra += [UInt8](repeating: UInt8(ascii: "Z"), count: padding)
    try file.append(
      [0x50, 0x4B, 3, 4] + number(isLong ? 45 : 20, 2) + common(CRC32()) + number(extra.count, 2)
        + Array(name.utf8) + extra)
    let start = file.byteCount
    var checksum = CRC32()
    try unsafe source { piece throws(Refusal) in
      unsafe checksum.update(piece)
      if file.byteCount - start + piece.count <= byteCount { unsafe try file.append(piece) }
    }
    guard file.byteCount - start == byteCount else {
      throw Refusal(
        .pytorchStorageSize, file: file.destination, at: .tensor(name),
        found: counted(file.byteCount - start, "byte"), expected: counted(byteCount, "byte"))
    }
    // The checksum is before its data.
    try file.write(number(Int(checksum.value), 4), at: offset + Self.checksumOffset)

    let isFar = offset >= Self.wordLimit
    let wide = (isLong ? sizes : []) + (isFar ? number(offset, 8) : [])
    let field =
      wide.isEmpty ? [] : number(ZipArchive.zip64Field, 2) + number(wide.count, 2) + wide
    directory += [0x50, 0x4B, 1, 2] + number(20, 2) + number(wide.isEmpty ? 20 : 45, 2)
    directory += common(checksum)
    directory += number(field.count, 2) + number(0, 10)
    directory += number(isFar ? Self.wordLimit : offset, 4) + Array(name.utf8) + field
    memberCount += 1
  }

  /// Writes the directory and the end records.
  ///
  /// - Throws: `file.write`, `disk.full`.
  consuming func finish() throws(Refusal) {
    let (start, count, size) = (file.byteCount, memberCount, directory.count)
    try file.append(directory)
    if start >= Self.wordLimit || count >= Self.shortLimit || size >= Self.wordLimit {
      try file.append(
        [0x50, 0x4B, 6, 6] + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8)
          + number(count, 8) + number(count, 8) + number(size, 8) + number(start, 8)
          + [0x50, 0x4B, 6, 7] + number(0, 4) + number(start + size, 8) + number(1, 4))
    }
    let shortCount = number(min(count, Self.shortLimit), 2)
    try file.append(
      [0x50, 0x4B, 5, 6] + number(0, 4) + shortCount + shortCount
        + number(min(size, Self.wordLimit), 4) + number(min(start, Self.wordLimit), 4)
        + number(0, 2))
  }

  private func number(_ value: Int, _ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> ($0 * 8)) : 0 }
  }
}
