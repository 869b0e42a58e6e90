import SextantBytes
import SextantTensor

/// A GGUF file, as llama.cpp's tools write them, in the subset of `formats/gguf.md`.
///
/// Opening reads and checks the header, and no weights. Elements are read with `pread` in pieces.
/// Quantised ones are converted to f32, and `CheckpointTensor.encoding` names their type; for most of
/// these types, `CheckpointTensor.inBlocks` reads the blocks instead. The file's own description of its
/// model and tokenizer is in `values`.
package final class GGUFFile: Checkpoint {
  /// The path as the user gave it.
  package var path: String { file.path }
  /// `GGUF`.
  package var format: String { "GGUF" }
  /// All tensors, ordered by the UTF-8 bytes of their names.
  package let tensors: [CheckpointTensor]
  /// True: every call reads into memory of its own.
  package var readsConcurrently: Bool { true }
  /// The metadata by key.
  package let values: [String: GGUFValue]

  private let file: InputFile
  private let entries: [ExactString: GGUFHeader.Entry]

  /// Elements of the pieces that `read` passes on: a multiple of every block's, 4 MiB as f32 and 8 as f64.
  private static let pieceElements = 1 << 20

  /// Opens a file.
  ///
  /// - Throws: `file.*`, `gguf.*`, `limit.file`.
  package convenience init(_ path: String) throws(Refusal) {
    try self.init(InputFile(path))
  }

  /// Reads a file that is already open.
  ///
  /// - Throws: `file.html`, `file.extension-mismatch`, `gguf.*`, `limit.file`.
  package init(_ file: InputFile) throws(Refusal) {
    try FileKind(of: file).expect(.gguf, in: file)
    let header = try GGUFHeader(of: file)
    self.file = file
    values = header.values
    tensors = header.entries.map(\.tensor).sorted {
      $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    entries = Dictionary(
      header.entries.map { (ExactString($0.tensor.name), $0) }, uniquingKeysWith: { a, _ in a })
  }

  /// The metadata except its arrays, as text.
  package var metadata: [String: String] {
    values.compactMapValues { value in
      if case .array = value { return nil }
      return value.description
    }
  }

  // MARK: Metadata arrays

  /// The elements of an array of strings; nil if it is of another type.
  ///
  /// - Throws: `file.*`, when the file was changed since it was opened also `gguf.*`.
  package func strings(of array: GGUFArray) throws(Refusal) -> [String]? {
    guard array.elementType == .string else { return nil }
    var cursor = GGUFCursor(file, at: array.offset)
    var strings: [String] = []
    strings.reserveCapacity(array.count)
    for _ in 0..<array.count { strings.append(try cursor.string()) }
    return strings
  }

  /// The elements of an array of integers; nil if it is of another type.
  ///
  /// - Throws: `file.*`, when the file was changed since it was opened also `gguf.*`.
  package func integers(of array: GGUFArray) throws(Refusal) -> [Int64]? {
    switch array.elementType {
    case .float32, .float64, .bool, .string, .array: return nil
    default: break
    }
    var cursor = GGUFCursor(file, at: array.offset)
    var integers: [Int64] = []
    integers.reserveCapacity(array.count)
    for _ in 0..<array.count {
      if case .integer(let value) = try cursor.value(array.elementType) { integers.append(value) }
    }
    return integers
  }

  /// The elements of an array of truth values; nil if it is of another type.
  ///
  /// - Throws: `file.*`, when the file was changed since it was opened also `gguf.*`.
  package func booleans(of array: GGUFArray) throws(Refusal) -> [Bool]? {
    guard array.elementType == .bool else { return nil }
    var cursor = GGUFCursor(file, at: array.offset)
    var booleans: [Bool] = []
    for _ in 0..<array.count {
      if case .boolean(let value) = try cursor.value(.bool) { booleans.append(value) }
    }
    return booleans
  }

  /// The elements of an array of 32-bit numbers; nil if it is of another type.
  ///
  /// - Throws: `file.*`, when the file was changed since it was opened also `gguf.*`.
  package func numbers(of array: GGUFArray) throws(Refusal) -> [Double]? {
    guard array.elementType == .float32 else { return nil }
    var cursor = GGUFCursor(file, at: array.offset)
    var numbers: [Double] = []
    numbers.reserveCapacity(array.count)
    for _ in 0..<array.count {
      if case .number(let value) = try cursor.value(.float32) { numbers.append(value) }
    }
    return numbers
  }

  /// The elements of an array of bytes; nil if it is of another type.
  ///
  /// - Throws: `file.*`, when the file was changed since it was opened also `gguf.*`.
  package func bytes(of array: GGUFArray) throws(Refusal) -> [UInt8]? {
    guard array.elementType == .uint8 else { return nil }
    var cursor = GGUFCursor(file, at: array.offset)
    return Array(try cursor.bytes(array.count))
  }

  // MARK: Elements

  /// Hands over the elements of one tensor, or its blocks, in pieces of at most 8 MiB.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let entry = entries[ExactString(tensor.name)],
      entry.tensor == tensor || entry.tensor.inBlocks == tensor
    else { throw absent(tensor) }
    let type = entry.type
    let isComputed = type.isQuantised && !tensor.dataType.isBlocks
    let piece = Self.pieceElements / type.blockElements * type.blockBytes
    var elements = [Float](
      repeating: 0, count: isComputed ? min(Self.pieceElements, tensor.byteCount / 4) : 0)
    var done = 0
    while done < entry.storedByteCount {
      let count = min(piece, entry.storedByteCount - done)
      let bytes = try file.read(at: entry.offset + done, count: count)
      done += count
      guard isComputed else {
        unsafe try bytes.span.bytes.withUnsafeBytes(body)
        continue
      }
      let computed = count / type.blockBytes * type.blockElements
      if let blocks = type.blocks {
        unsafe bytes.span.bytes.withUnsafeBytes { from in
          unsafe elements.withUnsafeMutableBytes { to in
            let target = unsafe UnsafeMutableRawBufferPointer(rebasing: to[..<(computed * 4)])
            unsafe Kernels.convert(from, from: blocks, into: target, as: .f32)
          }
        }
      } else {
        var target = elements.mutableSpan
        type.decode(bytes.span, into: &target)
      }
      unsafe try elements.span.extracting(first: computed).bytes.withUnsafeBytes(body)
    }
  }

  /// Quantised elements have to be computed; others are stored directly.
  package func part(of tensor: CheckpointTensor) -> FilePart? {
    guard let entry = entries[ExactString(tensor.name)], entry.tensor == tensor,
      !entry.type.isQuantised
    else { return nil }
    return FilePart(file, entry.offset..<entry.offset + entry.storedByteCount)
  }

  /// Refuses when the file was changed since it was opened.
  package func checkUnchanged() throws(Refusal) { try file.checkUnchanged() }

  /// Whether `path` names this file.
  package func reads(path: String) -> Bool { file.isSameFile(as: path) }
}
