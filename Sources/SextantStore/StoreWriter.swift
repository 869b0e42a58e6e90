import SextantBytes
import SextantLocks
import SextantTensor

/// A tensor that is going to be written to a store.
package struct PlannedTensor: Sendable, Equatable {
  /// The canonical name.
  package var name: String
  /// The type in which the elements will be stored.
  package var dataType: DataType
  /// The dimensions, outermost first.
  package var shape: [Int]
  /// The type of the elements in the checkpoint.
  package var sourceDataType: DataType

  /// Plans a tensor; without `sourceDataType` its elements are stored as they are.
  package init(name: String, dataType: DataType, shape: [Int], sourceDataType: DataType? = nil) {
    self.name = name
    self.dataType = dataType
    self.shape = shape
    self.sourceDataType = sourceDataType ?? dataType
  }
}

/// Writes a store, tensor by tensor and piece by piece.
///
/// Everything except digests is known in advance, so that each tensor has its place from the start,
/// every byte is written once, and memory is limited by the pieces that the caller passes. Nothing
/// appears at the destination before `finish` has succeeded, and dropping the writer leaves nothing
/// behind. The same input gives the same bytes. Writing tensors of model size costs one SHA-256 per
/// byte, or two if the stored type differs from the source's.
package final class StoreWriter {
  /// The tensors in the order in which they have to be written: by the bytes of their names.
  package let tensors: [PlannedTensor]
  /// The length that the file will have, in bytes.
  package let fileByteCount: Int

  private let destination: String
  private let file: FilePublisher
  private let preamble: StorePreamble
  private var header: StoreHeader
  private let attachments: [(name: String, bytes: [UInt8])]
  /// Whether each tensor is written.
  private var isWritten: [Bool]
  /// Whether a tensor was begun and not finished: nothing can be written any more.
  private var isBroken = false

  /// Plans the whole file and starts it.
  ///
  /// - Parameters:
  ///   - destination: the path that will appear.
  ///   - replacing: replace an existing file instead of refusing.
  ///   - architecture: the canonical name of the architecture.
  ///   - configuration: its canonical configuration.
  ///   - variant: `"source"` when every tensor keeps its type, else a word such as `"bf16"`.
  ///   - tensors: every tensor of the model, in any order.
  ///   - attachments: small files that travel with the model, in any order.
  /// - Throws: `file.exists`, `file.create`, `file.write`, `disk.full`; `store.table`,
  ///   `store.header` and `json.*` when no reader would accept the plan (names given twice, shapes
  ///   that overflow, a configuration nested too deeply).
  package init(
    destination: String, replacing: Bool = false, architecture: String,
    configuration: JSONObject, variant: String = StoreFormat.sourceVariant,
    tensors: [PlannedTensor], attachments: [(name: String, bytes: [UInt8])] = []
  ) throws(Refusal) {
    self.destination = destination
    self.tensors = tensors.sorted { ExactString($0.name) < ExactString($1.name) }
    self.attachments = attachments.sorted { ExactString($0.name) < ExactString($1.name) }
    let plan = StorePlan(
      architecture: architecture, configuration: configuration, variant: variant,
      tensors: self.tensors, attachments: self.attachments)
    (preamble, header) = try plan.layOut(for: destination)
    fileByteCount = preamble.fileByteCount
    isWritten = tensors.map { _ in false }
    file = try FilePublisher(destination, replacing: replacing)
    try file.reserve(fileByteCount)
    // The JSON text stays zero until `finish`: so that a reader recognises an unfinished file.
    try file.append(preamble.bytes)
    try file.append([UInt8](repeating: 0, count: preamble.headerByteCount))
    try file.pad(to: StoreFormat.alignment)
  }

  /// The tensors that are not written yet, in order.
  package var missing: [PlannedTensor] { missingIndices.map { tensors[$0] } }
  private var missingIndices: [Int] { tensors.indices.filter { !isWritten[$0] } }

  /// Writes the next tensor, whose name must be that of the first of `tensors` not yet written.
  ///
  /// - Parameter body: passes on the elements, in order, in pieces of any size.
  /// - Throws: the errors of `body`; `store.table` when it is another tensor's turn or the pieces
  ///   do not add up to the tensor's size; `file.write`, `disk.full`.
  package func write(
    _ name: String, _ body: (inout TensorSink) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let index = isWritten.firstIndex(of: false) else {
      throw refusal(name, found: "one tensor more", expected: counted(tensors.count, "tensor"))
    }
    let plan = tensors[index]
    guard ExactString(plan.name) == ExactString(name) else {
      throw refusal(name, found: "this tensor now", expected: "tensor \"\(plan.name)\"")
    }
    try checkWhole()
    isBroken = true
    var sink = TensorSink(
      plan, to: file, at: header.tensors[index].offset, destination: destination)
    try body(&sink)
    setDigests(of: index, try sink.finish())
    isBroken = false
  }

  /// Writes the tensors whose elements are in files in the store's form, several at a time: each
  /// has its place in the store already.
  ///
  /// - Parameters:
  ///   - part: the place of a tensor's elements, with the number of bytes that the store will
  ///     contain; nil for one that has to be written otherwise.
  ///   - body: receives each piece on its way; called from several threads.
  /// - Throws: `store.table` for a part of another length; `file.too-short`, `file.read`, `file.write`,
  ///   `disk.full`.
  package func copy(
    _ pool: WorkerPool = .shared, from part: (PlannedTensor) -> FilePart?,
    _ body: @Sendable (PlannedTensor, UnsafeRawBufferPointer) -> Void
  ) throws(Refusal) {
    try checkWhole()
    var copies: [(index: Int, part: FilePart)] = []
    for index in missingIndices {
      guard let part = part(tensors[index]) else { continue }
      let (tensor, count) = (tensors[index], part.range.count)
      guard tensor.dataType == tensor.sourceDataType, tensor.byteCount == count else {
        throw refusal(
          tensor.name, found: "\(counted(count, "byte")) in the checkpoint",
          expected: "\(tensor.byteCount ?? 0) bytes of its own type")
      }
      copies.append((index, part))
    }
    // The largest first, those of one size side by side.
    copies.sort { ($0.part.range.count, $1.index) > ($1.part.range.count, $0.index) }
    let (file, tensors, indices) = (file, tensors, copies.map(\.index))
    let offsets = indices.map { header.tensors[$0].offset }
    isBroken = true
    let digests = try unsafe FileParts(parts: copies.map(\.part)).digest(pool) {
      copy, position, piece, mayWait throws(Refusal) in
      let place = offsets[copy] + position
      if mayWait {
        unsafe try file.write(piece, at: place)
      } else {
        guard unsafe try file.writeIfFree(piece, at: place) else { return false }
      }
      unsafe body(tensors[indices[copy]], piece)
      return true
    }
    for (index, digest) in zip(indices, digests) { setDigests(of: index, (digest, digest)) }
    isBroken = false
  }

  /// Writes all tensors that are not written yet, several at a time, the largest first.
  ///
  /// - Parameters:
  ///   - pool: one tensor is written by each of its threads at a time.
  ///   - body: passes on the elements of one tensor as in `write`; called from several threads.
  /// - Throws: as `write`, for one of the tensors that fail.
  package func writeAll(
    _ pool: WorkerPool = .shared,
    _ body: @Sendable (PlannedTensor, inout TensorSink) throws(Refusal) -> Void
  ) throws(Refusal) {
    try checkWhole()
    isBroken = true
    let outcome = Lock<Outcome>(Outcome())
    let (tensors, offsets) = (tensors, header.tensors.map(\.offset))
    let order = missingIndices.sorted {
      (tensors[$0].byteCount ?? 0, $1) > (tensors[$1].byteCount ?? 0, $0)
    }
    let (file, destination) = (file, destination)
    pool.forEach(order.count) { place in
      guard outcome.withLock({ $0.failure == nil }) else { return }
      let index = order[place]
      do throws(Refusal) {
        var sink = TensorSink(
          tensors[index], to: file, at: offsets[index], destination: destination)
        try body(tensors[index], &sink)
        let digests = try sink.finish()
        outcome.withLock { $0.digests[index] = digests }
      } catch {
        outcome.withLock { $0.failure = $0.failure ?? error }
      }
    }
    let result = outcome.withLock { $0 }
    if let failure = result.failure { throw failure }
    for (index, digests) in result.digests { setDigests(of: index, digests) }
    isBroken = false
  }

  private func checkWhole() throws(Refusal) {
    guard isBroken else { return }
    throw Refusal(
      .storeTable, file: destination, found: "another attempt",
      expected: "one attempt; a part of a tensor is written")
  }

  /// The outcome of tensors that were written at the same time.
  private struct Outcome: Sendable {
    var digests: [Int: (stored: Digest, source: Digest)] = [:]
    var failure: Refusal?
  }

  private func setDigests(of index: Int, _ digests: (stored: Digest, source: Digest)) {
    isWritten[index] = true
    header.tensors[index].digest = digests.stored
    header.tensors[index].sourceDigest = digests.source
    // The padding up to the next tensor is zero without being written.
    let end = header.tensors[index].offset + (tensors[index].byteCount ?? 0)
    file.extend(
      to: (end + StoreFormat.alignment - 1) / StoreFormat.alignment * StoreFormat.alignment)
  }

  /// Writes the next tensor, stored as it is.
  package func write(_ name: String, _ tensor: Tensor) throws(Refusal) {
    try write(name) { sink throws(Refusal) in
      unsafe try tensor.withUnsafeBytes { bytes throws(Refusal) in
        unsafe try sink.append(bytes)
      }
    }
  }

  /// Completes the file and publishes it.
  ///
  /// - Returns: the model's identity.
  /// - Throws: `store.table` when tensors are missing; `disk.fsync`, `disk.full`, `file.write`,
  ///   `file.exists`, `file.create`. Nothing is published then.
  package func finish() throws(Refusal) -> Digest {
    if let first = missing.first {
      throw refusal(
        first.name, found: counted(tensors.count - missing.count, "tensor"),
        expected: counted(tensors.count, "tensor"))
    }
    for attachment in attachments {
      try file.append(attachment.bytes)
      try file.pad(to: StoreFormat.alignment)
    }
    header.identity = header.computedIdentity
    let text = header.bytes
    guard text.count == preamble.headerByteCount,
      file.byteCount + StoreFooter.byteCount == fileByteCount
    else { preconditionFailure("digests changed the size of the header") }
    try file.write(text, at: StorePreamble.byteCount)
    let head = preamble.bytes + text
    let padding = (preamble.dataStart ?? 0) - head.count
    let digest = SHA256.digest(head + [UInt8](repeating: 0, count: padding))
    try file.append(StoreFooter(headerDigest: digest, fileByteCount: fileByteCount).bytes)
    try file.publish()
    return header.identity
  }

  /// Writes a whole store from tensors that are in memory, stored as they are.
  ///
  /// - Returns: the model's identity.
  /// - Throws: the errors of `init`, `write` and `finish`.
  @discardableResult
  package static func publish(
    _ tensors: [(name: String, tensor: Tensor)], to destination: String, replacing: Bool = false,
    architecture: String, configuration: JSONObject,
    attachments: [(name: String, bytes: [UInt8])] = []
  ) throws(Refusal) -> Digest {
    let writer = try StoreWriter(
      destination: destination, replacing: replacing, architecture: architecture,
      configuration: configuration,
      tensors: tensors.map {
        PlannedTensor(name: $0.name, dataType: $0.tensor.dataType, shape: $0.tensor.shape)
      },
      attachments: attachments)
    for (name, tensor) in tensors.sorted(by: { ExactString($0.name) < ExactString($1.name) }) {
      try writer.write(name, tensor)
    }
    return try writer.finish()
  }

  private func refusal(_ name: String, found: String, expected: String) -> Refusal {
    Refusal(.storeTable, file: destination, at: .tensor(name), found: found, expected: expected)
  }
}
