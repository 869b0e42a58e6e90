import SextantBytes
import SextantTensor

/// The content of a store, before there is any data.
struct StorePlan {
  let architecture: String
  let configuration: JSONObject
  let variant: String
  /// Sorted by the bytes of their names.
  let tensors: [PlannedTensor]
  /// Sorted by the bytes of their names.
  let attachments: [(name: String, bytes: [UInt8])]

  /// Preamble and header of the file, with zeros in the places of tensors' digests.
  ///
  /// Offsets are decimal numbers in the header, and the header's length decides the offsets;
  /// lengthening the header until both agree takes two or three rounds.
  ///
  /// - Throws: the refusals of the reader for such a header.
  func layOut(for file: String) throws(Refusal) -> (StorePreamble, StoreHeader) {
    let digests = attachments.map { SHA256.digest($0.bytes) }
    var preamble = StorePreamble(headerByteCount: 0, fileByteCount: 0)
    while true {
      let (header, end) = try header(
        dataStart: preamble.dataStart ?? 0, attachmentDigests: digests, file: file)
      let text = header.bytes
      preamble.fileByteCount = end
      if text.count == preamble.headerByteCount {
        _ = try StoreHeader(parsing: text, frame: preamble, file: file)
        return (preamble, header)
      }
      preamble.headerByteCount = text.count
    }
  }

  /// The header of a file whose data starts at `dataStart`, and that file's length.
  private func header(
    dataStart: Int, attachmentDigests: [Digest], file: String
  ) throws(Refusal) -> (StoreHeader, fileByteCount: Int) {
    var layout = StoreLayout(position: dataStart)
    func place(_ byteCount: Int, _ name: String) throws(Refusal) -> Int {
      guard let offset = layout.place(byteCount) else {
        throw overflow(file, at: .tensor(name))
      }
      return offset
    }
    var stored: [StoredTensor] = []
    for tensor in tensors {
      // The source's size is not stored, but the sink has to count up to it.
      guard let byteCount = tensor.byteCount, tensor.sourceByteCount != nil else {
        throw overflow(file, at: .tensor(tensor.name))
      }
      stored.append(
        StoredTensor(
          name: tensor.name, dataType: tensor.dataType, shape: tensor.shape,
          offset: try place(byteCount, tensor.name), byteCount: byteCount, digest: .placeholder,
          sourceDataType: tensor.sourceDataType, sourceDigest: .placeholder))
    }
    var files: [StoredAttachment] = []
    for ((name, bytes), digest) in zip(attachments, attachmentDigests) {
      files.append(
        StoredAttachment(
          name: name, offset: try place(bytes.count, name), byteCount: bytes.count,
          digest: digest))
    }
    let end = layout.position.addingReportingOverflow(StoreFooter.byteCount)
    guard !end.overflow else { throw overflow(file, at: nil) }
    let header = StoreHeader(
      architecture: architecture, configuration: configuration, variant: variant,
      identity: .placeholder, tensors: stored, attachments: files)
    return (header, end.partialValue)
  }

  private func overflow(_ file: String, at place: Refusal.Place?) -> Refusal {
    Refusal(
      .storeTable, file: file, at: place, found: "a size that overflows or is negative",
      expected: "a size that fits a file")
  }
}

extension PlannedTensor {
  /// Bytes of the stored elements; nil when the shape is impossible.
  var byteCount: Int? { dataType.byteCount(shape: shape) }
  /// Bytes of the elements in the source's type; nil when the shape is impossible.
  var sourceByteCount: Int? { sourceDataType.byteCount(shape: shape) }
}

extension Digest {
  /// The placeholder of a digest that is known later; every digest has the same length.
  fileprivate static let placeholder = SHA256.digest([UInt8]())
}
