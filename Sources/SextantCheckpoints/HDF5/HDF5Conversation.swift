import SextantBytes
import SextantTensor

/// The reader after its list: idle, in the middle of a tensor that is no longer needed, or ended.
struct HDF5Conversation: ~Copyable {
  private var process: HDF5ReaderProcess?
  /// The number of the reader's process, while there is one.
  private(set) var processID: Int32?
  private var failure: Refusal?
  /// The number of bytes of the requested tensor that the reader has not sent yet.
  private var owed = 0
  private var elementByteWidth = 1
  private var buffer: [UInt8] = []

  /// Takes over a reader that has sent its list.
  init(_ process: consuming HDF5ReaderProcess) {
    processID = process.processID
    self.process = consume process
  }

  /// Requests a tensor and passes its elements on.
  ///
  /// - Throws: `h5.*`, the same ever after; the errors of `body`.
  mutating func read(
    _ tensor: CheckpointTensor, at index: UInt32, within patience: Patience,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    if let failure { throw failure }
    var patience = patience
    do throws(Refusal) {
      // `body` may have stopped in the middle of a tensor, and the rest of it still arrives.
      while owed > 0 { _ = try receivePiece(within: &patience) }
      try process?.request(index)
    } catch {
      throw end(error)
    }
    owed = tensor.byteCount
    elementByteWidth = tensor.dataType.byteWidth
    while owed > 0 {
      let count: Int
      do throws(Refusal) {
        count = try receivePiece(within: &patience)
      } catch {
        throw end(error)
      }
      // A closure cannot pass a typed error out of `withUnsafeBytes` in all toolchains.
      var refusal: Refusal?
      unsafe buffer.withUnsafeBytes { bytes in
        do throws(Refusal) {
          unsafe try body(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        } catch {
          refusal = error
        }
      }
      if let refusal { throw refusal }
    }
  }

  /// Fills the front of `buffer` with the next elements; returns their bytes.
  private mutating func receivePiece(
    within patience: inout Patience
  ) throws(Refusal) -> Int {
    guard let (kind, count) = try process?.receiveHeader(within: &patience) else {
      throw Refusal(.hdf5ReaderProtocol, found: "no reader", expected: "a running reader")
    }
    guard kind == HDF5ReaderMessage.dataKind else {
      let payload = try process?.receive(count, within: &patience) ?? []
      if case .refusal(let refusal) = try HDF5ReaderMessage(kind: kind, payload: payload) {
        throw refusal
      }
      throw Refusal(
        .hdf5ReaderProtocol, found: "a message of kind \(kind)", expected: "elements")
    }
    guard count > 0, count <= owed, count % elementByteWidth == 0 else {
      throw Refusal(
        .hdf5ReaderProtocol, found: "\(counted(count, "byte")) of elements",
        expected: "whole elements, and at most \(owed) bytes")
    }
    if buffer.isEmpty {
      buffer = [UInt8](repeating: 0, count: HDF5ReaderMessage.maximumPayloadByteCount)
    }
    try process?.receive(count, into: &buffer, within: &patience)
    owed -= count
    return count
  }

  /// Ends the reader and keeps the reason for later requests.
  private mutating func end(_ error: Refusal) -> Refusal {
    process = nil
    processID = nil
    failure = error
    return error
  }
}
