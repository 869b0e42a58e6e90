import SextantBytes

/// The fixed 32 bytes at the start of a store.
struct StorePreamble {
  static let byteCount = 32

  /// Bytes of the JSON header.
  var headerByteCount: Int
  /// Bytes of the whole file.
  var fileByteCount: Int

  /// The end of the header's padding, at which the data starts; nil if it overflows.
  var dataStart: Int? {
    let (end, overflow) = headerByteCount.addingReportingOverflow(Self.byteCount)
    return overflow ? nil : StoreFormat.aligned(end)
  }

  var bytes: [UInt8] {
    StoreFormat.magic + UInt32(StoreFormat.version).littleEndianBytes
      + StoreFormat.byteOrderMark.littleEndianBytes + UInt64(headerByteCount).littleEndianBytes
      + UInt64(fileByteCount).littleEndianBytes
  }

  init(headerByteCount: Int, fileByteCount: Int) {
    self.headerByteCount = headerByteCount
    self.fileByteCount = fileByteCount
  }

  /// What to do with a checkpoint that was named in the place of a model.
  static func remedy(for checkpoint: String) -> String {
    "Convert it first: sextant convert \(checkpoint) -o model.sxt"
  }

  /// Reads the preamble and compares it with the length of the file.
  ///
  /// - Throws: `file.html`, `file.too-short`, `store.magic`, `store.endianness`, `store.version`,
  ///   `store.header`, `store.partial`, `store.size`.
  init(of file: InputFile) throws(Refusal) {
    let kind = try FileKind(of: file)
    guard kind == .store else {
      throw Refusal(
        .storeMagic, file: file.path, at: .offset(0),
        found: kind == .unknown ? "other bytes" : "a file of kind \(kind.rawValue)",
        expected: "the bytes \"SEXTANT\\0\"",
        remedy: [.safetensors, .hdf5, .gguf, .zip].contains(kind)
          ? Self.remedy(for: file.path) : nil)
    }
    // One byte more: the first byte of the JSON text identifies an unfinished file.
    let reader = ByteReader(
      try file.read(at: 0, count: min(file.byteCount, Self.byteCount + 1)), file: file.path)
    let mark = UInt32(try reader.unsigned(at: 12, byteCount: 4))
    guard mark == StoreFormat.byteOrderMark else {
      throw Refusal(
        .storeEndianness, file: file.path, at: .offset(12),
        found: "the mark 0x\(String(mark, radix: 16))",
        expected: "0x\(String(StoreFormat.byteOrderMark, radix: 16)) in little-endian order")
    }
    let version = try reader.unsigned(at: 8, byteCount: 4)
    guard version == StoreFormat.version else {
      throw Refusal(
        .storeVersion, file: file.path, at: .offset(8), found: "version \(version)",
        expected: "version \(StoreFormat.version)")
    }
    let headerLength = try reader.unsigned(at: 16, byteCount: 8)
    guard (2...UInt64(StoreFormat.headerLimit)).contains(headerLength) else {
      throw Refusal(
        .storeHeader, file: file.path, at: .offset(16),
        found: "a header of \(counted(headerLength, "byte"))",
        expected: "2 to \(counted(StoreFormat.headerLimit, "byte"))")
    }
    let fileLength = try reader.unsigned(at: 24, byteCount: 8)
    // The writer fills in the header last, so that a file it left behind is recognised as such.
    if let first = reader.bytes.dropFirst(Self.byteCount).first, first == 0 {
      throw Refusal(
        .storePartial, file: file.path, at: .offset(Self.byteCount), found: "an empty header",
        expected: "the header, which is written when everything else is")
    }
    guard fileLength == file.byteCount else {
      throw Refusal(
        .storeSize, file: file.path, at: .offset(24),
        found: "a file of \(counted(file.byteCount, "byte"))",
        expected: counted(fileLength, "byte"))
    }
    self.init(headerByteCount: Int(headerLength), fileByteCount: file.byteCount)
    guard let dataStart, dataStart <= fileByteCount - StoreFooter.byteCount else {
      throw Refusal(
        .storeHeader, file: file.path, at: .offset(16),
        found: "a header of \(counted(headerLength, "byte"))",
        expected: "header and footer within a file of \(counted(fileByteCount, "byte"))")
    }
  }
}

/// The fixed 64 bytes at the end of a store.
struct StoreFooter {
  static let byteCount = 64

  /// The digest of every byte before the data.
  var headerDigest: Digest
  /// Bytes of the whole file.
  var fileByteCount: Int

  var bytes: [UInt8] {
    StoreFormat.footerMagic + headerDigest.bytes + UInt64(fileByteCount).littleEndianBytes
      + [UInt8](repeating: 0, count: 16)
  }

  init(headerDigest: Digest, fileByteCount: Int) {
    self.headerDigest = headerDigest
    self.fileByteCount = fileByteCount
  }

  /// Reads the footer of a file whose length is already known to be the recorded one.
  ///
  /// - Throws: `store.partial`, `store.size`, `store.padding`.
  init(of file: InputFile) throws(Refusal) {
    let start = file.byteCount - Self.byteCount
    let reader = ByteReader(
      try file.read(at: start, count: Self.byteCount), baseOffset: start, file: file.path)
    guard try reader.slice(at: 0, count: 8).elementsEqual(StoreFormat.footerMagic) else {
      throw Refusal(
        .storePartial, file: file.path, at: .offset(start), found: "no footer",
        expected: "the bytes \"SXTEND\\0\\0\"")
    }
    let fileLength = try reader.unsigned(at: 40, byteCount: 8)
    guard fileLength == file.byteCount else {
      throw Refusal(
        .storeSize, file: file.path, at: .offset(start + 40),
        found: "a file of \(counted(file.byteCount, "byte"))", expected: counted(fileLength, "byte")
      )
    }
    let rest = try reader.slice(at: 48, count: 16)
    if let place = rest.firstIndex(where: { $0 != 0 }) {
      throw Refusal(
        .storePadding, file: file.path, at: .offset(start + place), found: "a byte that is not 0",
        expected: "zeros")
    }
    guard let digest = Digest(bytes: Array(try reader.slice(at: 8, count: 32))) else {
      throw Refusal(
        .storeHeader, file: file.path, at: .offset(start + 8), found: "no digest",
        expected: "32 bytes")
    }
    self.init(headerDigest: digest, fileByteCount: file.byteCount)
  }
}
