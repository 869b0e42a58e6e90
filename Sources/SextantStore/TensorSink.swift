import SextantBytes
import SextantTensor

/// Takes the elements of one tensor, piece by piece, for a store.
///
/// Pieces may be cut anywhere, even within an element. The sink counts and digests them.
package struct TensorSink: ~Copyable {
  /// The tensor being written.
  package let tensor: PlannedTensor

  private let file: FilePublisher
  /// The position of the tensor in the file.
  private let offset: Int
  private let destination: String
  private let expected: Expected
  private var storedCount = 0
  private var sourceCount = 0
  private var hash = SHA256()
  private var sourceHash = SHA256()

  /// The byte counts that the plan asks for.
  private struct Expected {
    var stored: Int
    var source: Int
  }

  init(_ tensor: PlannedTensor, to file: FilePublisher, at offset: Int, destination: String) {
    self.tensor = tensor
    self.file = file
    self.offset = offset
    self.destination = destination
    // The plan was checked: neither size overflows.
    expected = Expected(stored: tensor.byteCount ?? 0, source: tensor.sourceByteCount ?? 0)
  }

  /// Adds elements that are stored as they are in the source.
  ///
  /// - Throws: `store.table` beyond the tensor's size; `file.write`, `disk.full`.
  package mutating func append(_ piece: UnsafeRawBufferPointer) throws(Refusal) {
    unsafe try append(piece, source: piece)
  }

  /// Adds elements that were converted.
  ///
  /// - Parameters:
  ///   - piece: elements in the stored type, little-endian, row-major.
  ///   - source: elements in the source's type, the same ones or others: the two streams are
  ///     counted apart. Ignored for a tensor that keeps its type.
  /// - Throws: `store.table` beyond the tensor's size; `file.write`, `disk.full`.
  package mutating func append(
    _ piece: UnsafeRawBufferPointer, source: UnsafeRawBufferPointer
  ) throws(Refusal) {
    let place = offset + storedCount
    storedCount += piece.count
    sourceCount += keepsType ? piece.count : source.count
    guard storedCount <= expected.stored, sourceCount <= expected.source else {
      throw refusal()
    }
    unsafe try writeAndDigest(piece, at: place, source: source)
  }

  /// Writes a piece while another thread digests it. Where several tensors are written at a time, one
  /// thread does all of it, and digests first while another writes.
  private mutating func writeAndDigest(
    _ piece: UnsafeRawBufferPointer, at place: Int, source: UnsafeRawBufferPointer
  ) throws(Refusal) {
    // Each of these is used by one part of the loop alone, and all parts end before it returns.
    nonisolated(unsafe) let (piece, source) = unsafe (piece, source)
    let file = file
    nonisolated(unsafe) var failure: Refusal?
    nonisolated(unsafe) var isWritten = false
    let keepsType = keepsType
    unsafe withUnsafeMutablePointer(to: &hash) { hash in
      unsafe withUnsafeMutablePointer(to: &sourceHash) { sourceHash in
        nonisolated(unsafe) let (hash, sourceHash) = unsafe (hash, sourceHash)
        WorkerPool.shared.forEach(2) { part in
          if part > 0 {
            if keepsType {
              unsafe hash.pointee.update(piece)
            } else {
              unsafe SHA256.update(&hash.pointee, piece, &sourceHash.pointee, source)
            }
            return
          }
          do throws(Refusal) {
            unsafe isWritten = try file.writeIfFree(piece, at: place)
          } catch {
            unsafe failure = error
          }
        }
      }
    }
    if let failure = unsafe failure { throw failure }
    if unsafe !isWritten { unsafe try file.write(piece, at: place) }
  }

  private var keepsType: Bool { tensor.dataType == tensor.sourceDataType }

  /// The digests of the stored and of the source elements.
  ///
  /// - Throws: `store.table` when bytes are missing.
  consuming func finish() throws(Refusal) -> (stored: Digest, source: Digest) {
    guard storedCount == expected.stored, sourceCount == expected.source else { throw refusal() }
    let keepsType = keepsType
    let digest = hash.finalize()
    return (digest, keepsType ? digest : sourceHash.finalize())
  }

  private func refusal() -> Refusal {
    func text(_ stored: Int, _ source: Int) -> String {
      counted(stored, "byte") + (keepsType ? "" : " made from \(source) bytes")
    }
    return Refusal(
      .storeTable, file: destination, at: .tensor(tensor.name),
      found: text(storedCount, sourceCount), expected: text(expected.stored, expected.source))
  }
}
