import SextantBytes
import SextantTensor

/// A safetensors file, read in the strict profile of `formats/safetensors.md`.
///
/// Opening reads and checks the header, and no weights. Elements are read with `pread` in pieces of
/// 256 KiB: the file is never mapped, so that one that is cut off while it is read refuses instead of
/// ending the process.
package final class SafetensorsFile: Checkpoint {
  /// The path as the user gave it.
  package var path: String { file.path }
  /// `safetensors`.
  package var format: String { "safetensors" }
  /// All tensors, ordered by the UTF-8 bytes of their names.
  package let tensors: [CheckpointTensor]
  /// True: every call reads into memory of its own.
  package var readsConcurrently: Bool { true }
  /// The string map of `__metadata__`; empty if the file has none.
  package let metadata: [String: String]

  private let file: InputFile
  private let offsets: [ExactString: Int]

  /// The longest string of a header that is accepted by default, in bytes.
  package static let defaultStringLimit = 65_536
  /// The size of the pieces that `read` passes on: a piece fits a cache while it is digested and
  /// written.
  static let pieceByteCount = 256 << 10

  /// Opens a file.
  ///
  /// - Parameter stringLimit: the longest string in the header, in bytes. Artifacts keep their
  ///   manifest in one string and raise it.
  /// - Throws: `file.*`, `json.*`, `st.*`.
  package convenience init(
    _ path: String, stringLimit: Int = SafetensorsFile.defaultStringLimit
  ) throws(Refusal) {
    try self.init(InputFile(path), stringLimit: stringLimit)
  }

  /// Reads a file that is already open.
  ///
  /// - Throws: `file.html`, `file.extension-mismatch`, `file.too-short`, `json.*`, `st.*`.
  package init(
    _ file: InputFile, stringLimit: Int = SafetensorsFile.defaultStringLimit
  ) throws(Refusal) {
    try FileKind(of: file).expect(.safetensors, in: file)
    let header = try SafetensorsHeader(of: file, stringLimit: stringLimit)
    self.file = file
    metadata = header.metadata
    tensors = header.entries.map(\.tensor)
    offsets = Dictionary(
      header.entries.map { (ExactString($0.tensor.name), $0.offset) },
      uniquingKeysWith: { first, _ in first })
  }

  /// Hands over the elements of one tensor in pieces of at most 256 KiB; an empty tensor has none.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let start = part(of: tensor)?.range.lowerBound else { throw absent(tensor) }
    // No alignment beyond what `malloc` gives: glibc before 2.38 does not use freed blocks with a
    // larger alignment again, and memory would grow with the number of tensors.
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(tensor.byteCount, Self.pieceByteCount), alignment: 16)
    defer { unsafe buffer.deallocate() }
    var done = 0
    while done < tensor.byteCount {
      let piece = unsafe UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(buffer.count, tensor.byteCount - done)])
      unsafe try file.read(at: start + done, into: piece)
      unsafe try body(UnsafeRawBufferPointer(piece))
      done += piece.count
    }
  }

  /// Elements are always stored directly.
  package func part(of tensor: CheckpointTensor) -> FilePart? {
    guard let offset = offsets[ExactString(tensor.name)], self.tensor(named: tensor.name) == tensor
    else { return nil }
    return FilePart(file, offset..<offset + tensor.byteCount)
  }

  /// Refuses when the file was changed since it was opened.
  package func checkUnchanged() throws(Refusal) { try file.checkUnchanged() }

  /// Whether `path` names this file.
  package func reads(path: String) -> Bool { file.isSameFile(as: path) }
}

extension Checkpoint {
  /// The tensor of that name, compared byte by byte, or nil.
  package func tensor(named name: String) -> CheckpointTensor? {
    var range = tensors.startIndex..<tensors.endIndex
    while let middle = range.isEmpty ? nil : range.lowerBound + range.count / 2 {
      let candidate = tensors[middle]
      if candidate.name.utf8.elementsEqual(name.utf8) { return candidate }
      range =
        candidate.name.utf8.lexicographicallyPrecedes(name.utf8)
        ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return nil
  }

  /// The refusal to read a tensor that is none of this checkpoint's.
  func absent(_ tensor: CheckpointTensor) -> Refusal {
    Refusal(
      .modelTensorMissing, file: path, at: .tensor(tensor.name),
      found: "no tensor of this name, type and shape", expected: "a tensor of this checkpoint")
  }
}
