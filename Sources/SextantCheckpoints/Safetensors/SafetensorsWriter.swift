import SextantBytes
import SextantTensor

/// Writes safetensors files: equal contents give equal bytes, in any order of additions.
///
/// Tensors are added first, as values or as closures that stream their elements; nothing is written
/// before `publish`, and the destination is absent or complete.
@safe
package struct SafetensorsWriter {
  /// Receives consecutive pieces of a tensor's elements.
  package typealias Sink = (UnsafeRawBufferPointer) throws(Refusal) -> Void
  /// Hands all elements of a tensor to a sink, row-major and little-endian.
  package typealias Source = (_ sink: Sink) throws(Refusal) -> Void

  /// The string map `__metadata__` of the file; left out if it is empty.
  package var metadata: [String: String]
  private var tensors: [(tensor: CheckpointTensor, source: Source)]

  /// A writer without tensors.
  package init(metadata: [String: String] = [:]) {
    self.metadata = metadata
    unsafe tensors = []
  }

  // MARK: Tensors

  /// Adds a tensor.
  ///
  /// Names are checked when the file is made.
  package mutating func add(_ name: String, _ tensor: Tensor) {
    let byteCount = tensor.count * tensor.dataType.byteWidth
    let entry = CheckpointTensor(
      name: name, dataType: tensor.dataType, shape: tensor.shape, byteCount: byteCount)
    unsafe tensors.append(
      (entry, { sink throws(Refusal) in unsafe try tensor.withUnsafeBytes(sink) }))
  }

  /// Adds a tensor whose elements `source` streams; it is called once for each file made.
  ///
  /// - Throws: `st.overflow` for an impossible shape.
  package mutating func add(
    _ name: String, _ dataType: DataType, shape: [Int], source: @escaping Source
  ) throws(Refusal) {
    guard let byteCount = dataType.byteCount(shape: shape) else {
      throw Refusal(
        .safetensorsOverflow, at: .tensor(name), found: "\(dataType.rawValue) \(shape)",
        expected: "non-negative dimensions and less than 2^63 bytes")
    }
    let entry = CheckpointTensor(
      name: name, dataType: dataType, shape: shape, byteCount: byteCount)
    unsafe tensors.append((entry, source))
  }

  /// Adds a tensor of these little-endian elements.
  ///
  /// - Throws: `st.overflow` for an impossible shape.
  package mutating func add(
    _ name: String, _ dataType: DataType, shape: [Int], bytes: [UInt8]
  ) throws(Refusal) {
    try unsafe add(name, dataType, shape: shape) { sink throws(Refusal) in
      var failure: Refusal?
      unsafe bytes.withUnsafeBytes { buffer in
        do throws(Refusal) { unsafe try sink(buffer) } catch { failure = error }
      }
      if let failure { throw failure }
    }
  }

  // MARK: Files

  /// Writes the file to `destination`, which is absent or complete at any time.
  ///
  /// - Throws: `file.exists` unless `replacing`, `file.create`, `disk.*`; the codes of the strict
  ///   profile for tensors that no reader would accept; `st.size-mismatch` if the number of bytes
  ///   from a source does not fit type and shape; the errors of a source.
  package func publish(to destination: String, replacing: Bool = false) throws(Refusal) {
    let layout = try layout(file: destination)
    let file = try FilePublisher(destination, replacing: replacing)
    try file.append(layout.head)
    try unsafe stream(layout, file: destination) { piece throws(Refusal) in
      unsafe try file.append(piece)
    }
    try file.publish()
  }

  /// The bytes of the file, for small ones.
  ///
  /// - Throws: as `publish`, without the codes of the destination.
  package func bytes() throws(Refusal) -> [UInt8] {
    let layout = try layout(file: nil)
    var bytes = layout.head
    bytes.reserveCapacity(layout.byteCount)
    try unsafe stream(layout, file: nil) { piece throws(Refusal) in
      unsafe bytes.append(contentsOf: piece)
    }
    return bytes
  }

  private func layout(file: String?) throws(Refusal) -> SafetensorsLayout {
    try SafetensorsLayout(
      unsafe tensors.map(\.tensor), metadata: metadata, file: file)
  }

  private func stream(
    _ layout: SafetensorsLayout, file: String?, to sink: Sink
  ) throws(Refusal) {
    for place in layout.order {
      let (tensor, source) = unsafe tensors[place]
      var done = 0
      try unsafe source { piece throws(Refusal) in
        done += piece.count
        if done <= tensor.byteCount { unsafe try sink(piece) }
      }
      guard done == tensor.byteCount else {
        throw Refusal(
          .safetensorsSizeMismatch, file: file, at: .tensor(tensor.name), found: "\(done) bytes",
          expected: counted(tensor.byteCount, "byte"))
      }
    }
  }
}
