import Glibc
import SextantBytes

/// The two ends of the conversation with the main process: descriptors 0 and 1.
struct Channel {
  /// Sends a message; ends the process if the main process has closed the connection.
  func send(_ message: HDF5ReaderMessage) {
    let bytes = message.encoded()
    unsafe bytes.withUnsafeBytes { unsafe write($0) }
  }

  /// Sends elements, in as many messages as necessary.
  func send(_ elements: [UInt8]) {
    let limit = HDF5ReaderMessage.maximumPayloadByteCount
    unsafe elements.withUnsafeBytes { elements in
      for start in stride(from: 0, to: elements.count, by: limit) {
        let piece = unsafe UnsafeRawBufferPointer(
          rebasing: elements[start..<min(start + limit, elements.count)])
        let header = HDF5ReaderMessage.header(
          kind: HDF5ReaderMessage.dataKind, payloadByteCount: piece.count)
        unsafe header.withUnsafeBytes { unsafe write($0) }
        unsafe write(piece)
      }
    }
  }

  /// The place of the next requested tensor, or nil if there are no more requests.
  func nextRequest() -> Int? {
    var bytes: [UInt8] = []
    while bytes.count < 4 {
      var byte: UInt8 = 0
      let count = unsafe Glibc.read(0, &byte, 1)
      if count < 0 && errno == EINTR { continue }
      guard count == 1 else { return nil }
      bytes.append(byte)
    }
    return Int(bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
  }

  /// The next message of the main process, or nil if there are no more.
  ///
  /// - Throws: `h5.reader.protocol`.
  func nextMessage() throws(Refusal) -> HDF5ReaderMessage? {
    guard let header = take(HDF5ReaderMessage.headerByteCount) else { return nil }
    let count = header[1...].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard count <= HDF5ReaderMessage.maximumPayloadByteCount, let payload = take(count) else {
      return nil
    }
    return try HDF5ReaderMessage(kind: header[0], payload: payload)
  }

  /// This number of bytes, or nil if the main process closed the connection before.
  private func take(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let received = unsafe bytes.withUnsafeMutableBytes { buffer in
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
        return unsafe Glibc.read(0, rest.baseAddress, rest.count)
      }
      if received < 0 && errno == EINTR { continue }
      guard received > 0 else { return nil }
      done += received
    }
    return bytes
  }

  private func write(_ bytes: UnsafeRawBufferPointer) {
    var rest = unsafe bytes
    while rest.count > 0 {
      let count = unsafe Glibc.write(1, rest.baseAddress, rest.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { _exit(0) }
      unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }
}
