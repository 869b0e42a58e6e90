import CZlib
import Glibc
import SextantBytes
import SextantTestSupport
import SextantTexts
import Testing

/// From the bytes of a file to its text.
@Suite struct TextFileTests {
  private let folder = TemporaryFolder()

  private func read(_ bytes: [UInt8]) throws -> TextFile {
    try TextFile(reading: folder.write(bytes, to: "a"))
  }

  // MARK: Encodings and line ends

  @Test(arguments: [
    ("a\nb", "a\nb"), ("\u{FEFF}a\r\nb\r\n", "a\nb\n"), ("a\rb\r", "a\nb\n"),
    ("a\r\r\nb\n\rc", "a\n\nb\n\nc"), ("\u{FEFF}\u{FEFF}é", "\u{FEFF}é"),
  ])
  func marksAndLineEndsAreReplaced(stored: String, text: String) throws {
    let file = try read(Array(stored.utf8))
    #expect(file.text.utf8.elementsEqual(text.utf8))
    #expect(file.digest == SHA256.digest(Array(stored.utf8)))
  }

  private static let words = Array("One film, two films.\n".utf8)
  private static let wide: [UInt8] = words.flatMap { byte -> [UInt8] in [byte, 0] }
  private static let wideBigEndian: [UInt8] = [0] + wide.dropLast()
  private static let encodings: [(stored: [UInt8], name: String, line: Int?)] = [
    ([0xFF, 0xFE] + wide, "UTF-16LE", nil), ([0xFE, 0xFF] + wideBigEndian, "UTF-16BE", nil),
    (wide, "UTF-16LE", nil), (wideBigEndian, "UTF-16BE", nil),
    ([0xFF, 0xFE, 0, 0] + wide, "UTF-32LE", nil), ([0, 0, 0xFE, 0xFF] + wide, "UTF-32BE", nil),
    (Array("one\ncaf".utf8) + [0xE9, 0x0A], "0xE9", 2), (words + [0xC3], "0xC3", 2),
    (words + words + [0] + words, "NUL", 3), ([0x61, 0], "NUL", 1), ([0, 0x61, 0, 0x62], "NUL", 1),
    (Array(wide.dropLast()), "NUL", 1), (Array(wide.prefix(6)), "NUL", 1),
    (Array(wide.prefix(8)), "UTF-16LE", nil),
  ]

  @Test(arguments: encodings)
  func otherEncodingsAreNamed(stored: [UInt8], name: String, line: Int?) throws {
    let refusal = expectRefusal(.textEncoding) { try read(stored) }
    #expect(refusal?.found.contains(name) == true, "\(String(describing: refusal))")
    #expect(refusal?.place == line.map { .line($0) })
  }

  private static let kinds: [(stored: [UInt8], name: String)] = [
    (Array("PAR1 and so on".utf8), "Parquet"), ([0x28, 0xB5, 0x2F, 0xFD, 0], "zstd"),
    ([0x50, 0x4B, 3, 4, 0], "zip"), ([0x89] + Array("HDF\r\n\u{1A}\n".utf8), "HDF5"),
    (Array("SQLite format 3\0".utf8), "SQLite"), (Array("%PDF-1.7".utf8), "PDF"),
  ]

  @Test(arguments: kinds)
  func otherKindsAreNamed(stored: [UInt8], name: String) throws {
    let refusal = expectRefusal(.textKind) { try read(stored) }
    #expect(refusal?.found.contains(name) == true, "\(String(describing: refusal))")
  }

  @Test func pointersAndEmptyFilesAreRefused() throws {
    expectRefusal(.fileHTML) {
      try read(Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\n".utf8))
    }
    expectRefusal(.fileEmpty) { try read([]) }
    expectRefusal(.fileMissing) { try TextFile(reading: folder.path("none")) }
    expectRefusal(.fileNotRegular) { try TextFile(reading: folder.path) }
    expectRefusal(.limitFile) {
      try TextFile(reading: folder.write([0x61, 0x61, 0x61], to: "a"), limit: 2)
    }
  }

  // MARK: Pipes

  @Test func aPipeIsReadOnceLikeAFile() throws {
    let text = Array(String(repeating: "a line of text\n", count: 1000).utf8)
    let file = try read(text)
    for stored in [text, Gzip.pack(text)] {
      var ends: [Int32] = [-1, -1]
      try #require(pipe(&ends) == 0)
      try #require(write(ends[1], stored, stored.count) == stored.count)
      close(ends[1])
      defer { close(ends[0]) }
      let path = "/dev/fd/\(ends[0])"
      let piped = try TextFile(reading: path)
      #expect(piped.bytes == file.bytes && piped.digest == file.digest && piped.path == path)
      let refusal = expectRefusal(.fileEmpty) { try TextFile(reading: path) }
      #expect(refusal?.file == path)
    }
  }

  @Test func aStreamWithoutEndStopsAtTheLimit() throws {
    expectRefusal(.limitFile) { try TextFile(reading: "/dev/zero", limit: 1 << 20) }
  }

  // MARK: gzip

  @Test func gzipIsUnpackedByItsContent() throws {
    let text = Array("One film.\r\nTwo films.\n".utf8)
    let plain = try read(text)
    for stored in [Gzip.pack(text), Gzip.pack(Array(text[..<5])) + Gzip.pack(Array(text[5...]))] {
      let packed = try read(stored)
      #expect(packed.bytes == plain.bytes && packed.digest == plain.digest)
    }
    let again = expectRefusal(.textKind) { try read(Gzip.pack(Gzip.pack(text))) }
    #expect(again?.found.contains("gzip") == true)
  }

  @Test func zerosAfterTheLastMemberAreFilling() throws {
    let text = Array("One film.\n".utf8)
    for count in [1, 2, 512, 100_000] {
      let filled = Gzip.pack(text) + [UInt8](repeating: 0, count: count)
      #expect(try read(filled).bytes == text, "\(count)")
    }
    expectRefusal(.textGzip) { try read(Gzip.pack(text) + [0] + Gzip.pack(text)) }
  }

  @Test func damagedGzipIsRefused() throws {
    let whole = Gzip.pack(Array("One film. Two films.".utf8))
    for count in 2..<whole.count {
      expectRefusal(.textGzip, "\(count)") { try read(Array(whole[..<count])) }
    }
    for index in whole.count - 8..<whole.count {
      var changed = whole
      changed[index] ^= 1
      expectRefusal(.textGzip, "\(index)") { try read(changed) }
    }
    let refusal = expectRefusal(.textGzip) { try read(whole + [0, 1]) }
    #expect(refusal?.place == .offset(whole.count) && refusal?.found.hasPrefix("2 bytes") == true)
  }

  @Test func whatUnpacksToTooMuchIsRefused() throws {
    let path = folder.write(Gzip.pack([UInt8](repeating: 0x61, count: 1 << 20)), to: "bomb.gz")
    expectRefusal(.limitFile) { try TextFile(reading: path, limit: 1 << 18) }
    #expect(try TextFile(reading: path, limit: 1 << 20).bytes.count == 1 << 20)
    // The sum of the members counts, not only each member.
    let many = (0..<300).flatMap { _ in Gzip.pack(Array("0123456789".utf8)) }
    expectRefusal(.limitFile) {
      try TextFile(many, path: "many", limit: 2999)
    }
  }
}

/// Makes gzip files.
private enum Gzip {
  static func pack(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    guard
      deflateInit2_(
        &stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { fatalError("no memory") }
    defer { deflateEnd(&stream) }
    var (source, packed) = (bytes, [UInt8](repeating: 0, count: bytes.count + 256))
    let count = source.withUnsafeMutableBufferPointer { source in
      packed.withUnsafeMutableBufferPointer { target in
        stream.next_in = source.baseAddress
        stream.avail_in = UInt32(source.count)
        stream.next_out = target.baseAddress
        stream.avail_out = UInt32(target.count)
        guard deflate(&stream, Z_FINISH) == Z_STREAM_END else { fatalError("not packed") }
        return target.count - Int(stream.avail_out)
      }
    }
    return Array(packed[..<count])
  }
}
