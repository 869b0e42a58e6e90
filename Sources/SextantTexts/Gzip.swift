import CZlib
import SextantBytes

/// Unpacks gzip files (RFC 1952) in memory.
enum Gzip {
  private static let magic: [UInt8] = [0x1F, 0x8B]

  /// Whether bytes begin as a gzip file does.
  static func isPacked(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

  /// The bytes of all members, one after the other.
  ///
  /// The size is counted first, so that a file that unpacks to more than the limit takes no memory.
  ///
  /// - Throws: `text.gzip`, `limit.file`.
  static func unpack(
    _ packed: [UInt8], limit: Int, path: String
  ) throws(Refusal) -> [UInt8] {
    var count = 0
    try pieces(of: packed, path) { piece throws(Refusal) in
      count += piece.count
      guard count <= limit else {
        throw Refusal(
          .limitFile, file: path,
          found: "a gzip file of more than \(counted(limit, "byte")), unpacked",
          expected: "at most \(counted(limit, "byte"))")
      }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    try pieces(of: packed, path) { piece throws(Refusal) in bytes += piece }
    return bytes
  }

  /// Passes the unpacked content of the file on, piece by piece.
  private static func pieces(
    of packed: [UInt8], _ path: String,
    _ body: (ArraySlice<UInt8>) throws(Refusal) -> Void
  ) throws(Refusal) {
    var stream = unsafe z_stream()
    // 16: the header and the checksum are those of gzip.
    guard
      unsafe inflateInit2_(
        &stream, MAX_WBITS + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw damaged(path, at: 0, "no memory to unpack it") }
    defer { unsafe _ = inflateEnd(&stream) }
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    var position = 0
    while true {
      let (status, read, written) = unsafe step(&stream, packed, position, &piece)
      position += read
      try body(piece[..<written])
      if status == Z_STREAM_END {
        // Tapes and disks fill the last block up with zeros; gzip accepts them.
        if packed[position...].allSatisfy({ $0 == 0 }) { return }
        guard packed[position...].starts(with: magic) else {
          throw damaged(
            path, at: position, "\(counted(packed.count - position, "byte")) after its end")
        }
        unsafe _ = inflateReset(&stream)
      } else if status != Z_OK || (read == 0 && written == 0) {
        throw damaged(
          path, at: position,
          position == packed.count
            ? "the end of the file" : "data that differs from the packed data")
      }
    }
  }

  /// Unpacks once, up to the available space.
  private static func step(
    _ stream: inout z_stream, _ packed: [UInt8], _ position: Int, _ piece: inout [UInt8]
  ) -> (status: Int32, read: Int, written: Int) {
    let available = min(packed.count - position, 1 << 30)
    let room = piece.count
    var status = Z_OK
    unsafe packed.withUnsafeBufferPointer { source in
      unsafe piece.withUnsafeMutableBufferPointer { target in
        // zlib does not write to its input.
        unsafe stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress).map {
          unsafe $0 + position
        }
        unsafe stream.avail_in = UInt32(available)
        unsafe stream.next_out = target.baseAddress
        unsafe stream.avail_out = UInt32(room)
        status = unsafe inflate(&stream, Z_NO_FLUSH)
      }
    }
    unsafe (stream.next_in, stream.next_out) = (nil, nil)
    return unsafe (status, available - Int(stream.avail_in), room - Int(stream.avail_out))
  }

  private static func damaged(_ path: String, at offset: Int, _ found: String) -> Refusal {
    Refusal(
      .textGzip, file: path, at: .offset(offset), found: found,
      expected: "members of gzip, each with its checksum")
  }
}
