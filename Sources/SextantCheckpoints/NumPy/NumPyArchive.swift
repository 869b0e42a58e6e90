import SextantBytes
import SextantTensor

/// An `.npz` archive: a zip of NumPy arrays, as `numpy.savez` and `savez_compressed` write it.
///
/// The accepted subset is in `formats/numpy.md`. Opening reads the archive's directory and the
/// arrays' headers, and no elements. An array is named as its member without `.npy`.
package final class NumPyArchive: Checkpoint {
  /// The path as the user gave it.
  package var path: String { file.path }
  /// `npz`.
  package var format: String { "npz" }
  /// All arrays, ordered by the UTF-8 bytes of their names.
  package let tensors: [CheckpointTensor]
  /// Empty: the format has none.
  package var metadata: [String: String] { [:] }
  /// The conversions, in words.
  package let notes: [String]

  private let file: InputFile
  private let arrays: [ExactString: (member: ZipArchive.Member, header: ArrayHeader)]

  private static let suffix = ".npy"

  /// Opens an archive.
  ///
  /// - Throws: `file.*`, `zip.*`, `npy.*`.
  package convenience init(_ path: String) throws(Refusal) {
    let file = try InputFile(path)
    try FileKind(of: file).expect(.zip, in: file)
    try self.init(try ZipArchive.open(file, allowingDeflate: true), in: file)
  }

  /// Whether all members of an archive are arrays by their names.
  static func isOne(_ archive: ZipArchive) -> Bool {
    !archive.members.isEmpty && archive.members.allSatisfy { $0.name.hasSuffix(suffix) }
  }

  /// Reads the headers of all members.
  ///
  /// - Throws: `zip.*`, `npy.*`.
  init(_ archive: ZipArchive, in file: InputFile) throws(Refusal) {
    var arrays: [ExactString: (member: ZipArchive.Member, header: ArrayHeader)] = [:]
    var tensors: [CheckpointTensor] = []
    var notes: [String] = []
    var bigEndian: [String] = []
    for member in archive.members {
      guard member.name.hasSuffix(Self.suffix) else {
        throw Refusal(
          .zipMember, file: file.path, found: member.name, expected: "arrays (*\(Self.suffix))")
      }
      let name = String(member.name.dropLast(Self.suffix.count))
      if let flaw = TensorName.flaw(name) {
        throw Refusal(
          .numpyName, file: file.path, at: .tensor(name), found: flaw,
          expected: "1 to \(counted(TensorName.byteLimit, "byte")), no control characters, no path")
      }
      let header = try Self.header(of: member, name: name, in: file)
      guard !header.isText else {
        notes.append("left out \(name), which is text")
        continue
      }
      let byteCount = header.dataType.byteCount(shape: header.shape) ?? 0
      guard byteCount == member.byteCount - header.byteCount else {
        throw Refusal(
          .numpySize, file: file.path, at: .tensor(name),
          found: counted(member.byteCount - header.byteCount, "byte"),
          expected: "\(counted(byteCount, "byte")), from type and shape")
      }
      if header.isBigEndian { bigEndian.append(name) }
      arrays[ExactString(name)] = (member, header)
      tensors.append(
        CheckpointTensor(
          name: name, dataType: header.dataType, shape: header.shape, byteCount: byteCount))
    }
    if !bigEndian.isEmpty {
      notes.append("converted from big-endian numbers: \(listing(bigEndian))")
    }
    guard !tensors.isEmpty else {
      throw Refusal(.numpyNone, file: file.path, found: "no member", expected: "arrays")
    }
    if let (_, name) = TensorName.equivalentPair(tensors.lazy.map(\.name)) {
      throw Refusal(
        .numpyName, file: file.path, at: .tensor(name), found: "the same name twice",
        expected: "names that differ, also after Unicode normalisation")
    }
    self.file = file
    self.arrays = arrays
    self.notes = notes
    self.tensors = tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  private static func header(
    of member: ZipArchive.Member, name: String, in file: InputFile
  ) throws(Refusal) -> ArrayHeader {
    // Enough for every array that is not hostile; headers that are longer are read again.
    var count = 256
    while true {
      let front =
        member.isDeflated
        ? try Inflater.unpack(member, of: file, atMost: count)
        : try file.read(at: member.offset, count: min(count, member.byteCount))
      do throws(Refusal) {
        return try ArrayHeader(front, name: name, file: file.path)
      } catch {
        guard count < min(ArrayHeader.byteLimit, member.byteCount) else { throw error }
        count = ArrayHeader.byteLimit
      }
    }
  }

  /// Hands over the elements of one array, row-major and little-endian.
  ///
  /// A stored array in that order is streamed; any other array is kept in memory while it is read.
  ///
  /// - Throws: `zip.crc`, `zip.deflate`, after the last piece of a stored array.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let (member, header) = arrays[ExactString(tensor.name)],
      self.tensor(named: tensor.name) == tensor
    else { throw absent(tensor) }
    guard tensor.byteCount > 0 else { return }
    let width = tensor.dataType.byteWidth
    if !member.isDeflated, !header.isFortran, !header.isBigEndian {
      var skipped = 0
      unsafe try ZipArchive.stream(member, of: file) { piece throws(Refusal) in
        let skip = min(header.byteCount - skipped, piece.count)
        skipped += skip
        if skip < piece.count {
          unsafe try body(UnsafeRawBufferPointer(rebasing: piece[skip...]))
        }
      }
      return
    }
    var bytes = try ZipArchive.bytes(of: member, in: file, limit: Int.max)
    bytes.removeFirst(header.byteCount)
    if header.isBigEndian {
      for start in stride(from: 0, to: bytes.count, by: width) {
        bytes[start..<start + width].reverse()
      }
    }
    if header.isFortran { bytes = Self.rowMajor(bytes, header.shape, width: width) }
    var failure: Refusal?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(Refusal) { unsafe try body(buffer) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Elements whose first axis varies fastest, with the last one fastest.
  private static func rowMajor(_ bytes: [UInt8], _ shape: [Int], width: Int) -> [UInt8] {
    var strides: [Int] = []
    var step = width
    for size in shape {
      strides.append(step)
      step *= size
    }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var index = shape.map { _ in 0 }
    var place = 0
    while result.count < bytes.count {
      result += bytes[place..<place + width]
      for axis in shape.indices.reversed() {
        index[axis] += 1
        place += strides[axis]
        if index[axis] < shape[axis] { break }
        place -= strides[axis] * shape[axis]
        index[axis] = 0
      }
    }
    return result
  }

  /// Refuses when the file was changed since it was opened.
  package func checkUnchanged() throws(Refusal) { try file.checkUnchanged() }

  /// Whether `path` names this file.
  package func reads(path: String) -> Bool { file.isSameFile(as: path) }
}
