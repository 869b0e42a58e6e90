import CZlib
import SextantBytes

/// Unpacks deflate streams of zip archives.
enum Inflater {
  /// The largest number of bytes that one byte of a deflate stream unpacks to.
  static let ratioLimit = 1032

  /// All bytes of a deflated member, or its first ones.
  ///
  /// - Parameter limit: the largest number of bytes; nil for all, which must then be exactly as
  ///   many as the archive declares and end with the stream.
  /// - Throws: `zip.bomb`, `zip.deflate`, `file.*`.
  static func unpack(
    _ member: ZipArchive.Member, of file: InputFile, atMost limit: Int? = nil
  ) throws(Refusal) -> [UInt8] {
    // Before anything is allocated: no stream unpacks to more than this.
    guard member.byteCount / ratioLimit <= member.storedByteCount else {
      throw Refusal(
        .zipBomb, file: file.path, at: .offset(member.offset),
        found:
          "\(counted(member.byteCount, "byte")) from \(member.storedByteCount) (\"\(member.name)\")",
        expected: "at most \(ratioLimit) for each stored byte")
    }
    let wanted = min(limit ?? member.byteCount, member.byteCount)
    var bytes = [UInt8](repeating: 0, count: wanted)
    var stream = unsafe z_stream()
    // Negative: a bare deflate stream, without zlib's own header.
    guard
      unsafe inflateInit2_(
        &stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw damaged(member, file, "no memory to unpack it") }
    defer { unsafe _ = inflateEnd(&stream) }
    var (read, done, status) = (0, 0, Z_OK)
    // One byte more than there should be, to see where a stream continues.
    var spare: [UInt8] = [0]
    while status == Z_OK {
      let count = min(1 << 16, member.storedByteCount - read)
      guard count > 0 else { break }
      var piece = try file.read(at: member.offset + read, count: count)
      read += count
      unsafe piece.withUnsafeMutableBufferPointer { piece in
        unsafe stream.next_in = piece.baseAddress
        unsafe stream.avail_in = UInt32(piece.count)
        while unsafe status == Z_OK && stream.avail_in > 0 && (limit == nil || done < wanted) {
          let room = min(wanted - done, 1 << 30)
          if room > 0 {
            unsafe bytes.withUnsafeMutableBufferPointer { target in
              unsafe stream.next_out = target.baseAddress.map { unsafe $0 + done }
              unsafe stream.avail_out = UInt32(room)
              status = unsafe inflate(&stream, Z_NO_FLUSH)
            }
            unsafe done += room - Int(stream.avail_out)
          } else {
            unsafe spare.withUnsafeMutableBufferPointer { target in
              unsafe stream.next_out = target.baseAddress
              unsafe stream.avail_out = 1
              status = unsafe inflate(&stream, Z_NO_FLUSH)
            }
            if unsafe stream.avail_out == 0 { status = Z_DATA_ERROR }
          }
        }
      }
      if limit != nil, done == wanted { return bytes }
    }
    let isWhole =
      unsafe status == Z_STREAM_END && done == wanted && read == member.storedByteCount
      && stream.avail_in == 0
    guard isWhole else {
      throw damaged(member, file, "a stream of \(done) bytes and more or less than that")
    }
    return bytes
  }

  private static func damaged(
    _ member: ZipArchive.Member, _ file: InputFile, _ found: String
  ) -> Refusal {
    Refusal(
      .zipDeflate, file: file.path, at: .offset(member.offset), found: found,
      expected:
        "\(counted(member.byteCount, "byte")) from \(member.storedByteCount) (\"\(member.name)\")")
  }
}
