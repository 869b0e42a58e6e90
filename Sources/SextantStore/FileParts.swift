import SextantBytes
import SextantLocks
import SextantTensor

/// Parts of files that are read front to back, several at a time, and digested on the way.
///
/// Each thread goes through two parts in step, since two digests at once are faster than one after
/// the other (`SHA256.update`). When one part ends, the next takes its place; parts of one size are
/// read together.
struct FileParts: Sendable {
  /// The parts, in the order in which they are begun.
  let parts: [FilePart]

  /// Receives a piece, valid during the call only, before it is digested. One that would have to wait for
  /// another thread returns false, and is called again afterwards with `mayWait`.
  typealias Body =
    @Sendable (
      _ part: Int, _ position: Int, _ piece: UnsafeRawBufferPointer, _ mayWait: Bool
    ) throws(Refusal) -> Bool

  /// The size of a piece: a cache can contain one of each part while they are passed on and
  /// digested.
  private static let pieceByteCount = 256 << 10

  /// Reads and digests everything.
  ///
  /// - Parameter body: called from several threads, for each part in order.
  /// - Returns: the SHA-256 of each part.
  /// - Throws: `file.too-short`, `file.read`, the errors of `body`: for one of the parts that fail.
  func digest(_ pool: WorkerPool, _ body: Body) throws(Refusal) -> [Digest] {
    let state = Lock(State(digests: parts.map { _ in nil }))
    pool.forEach(pool.threadCount) { _ in
      do throws(Refusal) {
        unsafe try work(state, body)
      } catch {
        state.withLock { $0.failure = $0.failure ?? error }
      }
    }
    let result = state.withLock { $0 }
    if let failure = result.failure { throw failure }
    return result.digests.map { digest in
      guard let digest else { preconditionFailure("a part was not read to its end") }
      return digest
    }
  }

  /// The shared values of the threads.
  private struct State {
    /// The first part that no thread has begun.
    var next = 0
    var digests: [Digest?]
    var failure: Refusal?
  }

  /// A part that is being read.
  @safe
  private struct Lane: ~Copyable {
    var part: Int?
    /// Bytes of the part that are done.
    var position = 0
    var hash = SHA256()
    let buffer: UnsafeMutableRawBufferPointer
  }

  private func work(_ state: borrowing Lock<State>, _ body: Body) throws(Refusal) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: 2 * Self.pieceByteCount, alignment: 16)
    defer { unsafe buffer.deallocate() }
    let middle = Self.pieceByteCount
    var one = unsafe Lane(buffer: UnsafeMutableRawBufferPointer(rebasing: buffer[..<middle]))
    var two = unsafe Lane(buffer: UnsafeMutableRawBufferPointer(rebasing: buffer[middle...]))
    while state.withLock({ $0.failure == nil }) {
      begin(&one, state)
      begin(&two, state)
      if one.part == nil && two.part == nil { return }
      let first = unsafe try read(one)
      let second = unsafe try read(two)
      let firstIsDone = unsafe try handOver(first, of: one, body, mayWait: false)
      let secondIsDone = unsafe try handOver(second, of: two, body, mayWait: false)
      unsafe SHA256.update(&one.hash, first, &two.hash, second)
      if !firstIsDone { _ = unsafe try handOver(first, of: one, body, mayWait: true) }
      if !secondIsDone { _ = unsafe try handOver(second, of: two, body, mayWait: true) }
      end(&one, first.count, state)
      end(&two, second.count, state)
    }
  }

  /// Gives a lane that has no part the next one, if there is one.
  private func begin(_ lane: inout Lane, _ state: borrowing Lock<State>) {
    guard lane.part == nil else { return }
    lane.part = state.withLock { state in
      guard state.next < parts.count else { return nil }
      defer { state.next += 1 }
      return state.next
    }
    lane.position = 0
    lane.hash = SHA256()
  }

  /// The next piece of a lane's part; no bytes if it has none.
  private func read(_ lane: borrowing Lane) throws(Refusal) -> UnsafeRawBufferPointer {
    guard let index = lane.part else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    let part = parts[index]
    let count = unsafe min(lane.buffer.count, part.range.count - lane.position)
    let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: lane.buffer[..<count])
    unsafe try part.file.read(at: part.range.lowerBound + lane.position, into: piece)
    return UnsafeRawBufferPointer(piece)
  }

  private func handOver(
    _ piece: UnsafeRawBufferPointer, of lane: borrowing Lane, _ body: Body, mayWait: Bool
  ) throws(Refusal) -> Bool {
    guard let index = lane.part else { return true }
    return unsafe try body(index, lane.position, piece, mayWait)
  }

  /// Counts the bytes of a piece, and after the last one notes the digest.
  private func end(_ lane: inout Lane, _ count: Int, _ state: borrowing Lock<State>) {
    guard let index = lane.part else { return }
    lane.position += count
    guard lane.position == parts[index].range.count else { return }
    var hash = SHA256()
    swap(&hash, &lane.hash)
    let digest = hash.finalize()
    state.withLock { $0.digests[index] = digest }
    lane.part = nil
  }
}
