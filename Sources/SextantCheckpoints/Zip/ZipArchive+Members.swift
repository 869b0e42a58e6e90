import CZlib
import SextantBytes

extension ZipArchive {
  /// Opens an archive that is none of PyTorch's, whose refusals have codes of their own.
  ///
  /// - Throws: `zip.*`.
  static func open(
    _ file: InputFile, allowingDeflate: Bool = false
  ) throws(Refusal) -> ZipArchive {
    do throws(Refusal) {
      return try ZipArchive(of: file, allowingDeflate: allowingDeflate)
    } catch {
      throw error.ofAnyArchive
    }
  }

  /// Streams the bytes of a stored member in pieces, and refuses at the end if they are not those
  /// that the archive's checksum is of.
  ///
  /// - Throws: `zip.crc`; the errors of `body`.
  static func stream(
    _ member: Member, of file: InputFile,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    precondition(!member.isDeflated)
    var checksum = CRC32()
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(member.byteCount, StorageReader.pieceByteCount), alignment: 64)
    defer { unsafe buffer.deallocate() }
    var done = 0
    while done < member.byteCount {
      let piece = unsafe UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(buffer.count, member.byteCount - done)])
      unsafe try file.read(at: member.offset + done, into: piece)
      unsafe checksum.update(UnsafeRawBufferPointer(piece))
      unsafe try body(UnsafeRawBufferPointer(piece))
      done += piece.count
    }
    try check(checksum.value, member, file)
  }

  /// All bytes of a member, unpacked and checked.
  ///
  /// - Throws: `limit.file` for more than `limit` bytes, `zip.bomb`, `zip.deflate`, `zip.crc`.
  static func bytes(
    of member: Member, in file: InputFile, limit: Int
  ) throws(Refusal) -> [UInt8] {
    guard member.byteCount <= limit else {
      throw Refusal(
        .limitFile, file: file.path,
        found: "\(member.name) of \(counted(member.byteCount, "byte"))",
        expected: "at most \(counted(limit, "byte"))")
    }
    let bytes: [UInt8]
    if member.isDeflated {
      bytes = try Inflater.unpack(member, of: file)
    } else {
      bytes = try file.read(at: member.offset, count: member.byteCount)
    }
    try check(CRC32.checksum(bytes), member, file)
    return bytes
  }

  private static func check(
    _ found: UInt32, _ member: Member, _ file: InputFile
  ) throws(Refusal) {
    do throws(Refusal) { try member.region.check(found, in: file) } catch {
      throw error.ofAnyArchive
    }
  }
}

extension Refusal {
  /// The same refusal under the code for archives of other programs than PyTorch.
  fileprivate var ofAnyArchive: Refusal {
    let codes: [Code: Code] = [
      .pytorchZip: .zipStructure, .pytorchZipDirectory: .zipDirectory,
      .pytorchZipMethod: .zipMethod, .pytorchZipName: .zipName, .pytorchZipCRC: .zipCRC,
    ]
    guard let code = codes[code] else { return self }
    return Refusal(code, file: file, at: place, found: found, expected: expected)
  }
}
