import SextantBytes
import SextantTensor

/// The header of a GGUF file: metadata and the table of tensors, checked against the file's size.
///
/// No check and no allocation depends on a number that was not compared with the bytes that are
/// there: every published attack on readers of this format went through one that was not.
struct GGUFHeader {
  /// One tensor: its type as it is read, and its stored form.
  struct Entry {
    let tensor: CheckpointTensor
    let type: GGUFTensorType
    /// The position of the elements in the file.
    let offset: Int
    /// Bytes that they take there.
    let storedByteCount: Int
  }

  /// The metadata. Keys are ASCII, so that `String` compares them byte by byte.
  private(set) var values: [String: GGUFValue] = [:]
  /// The tensors in the file's order.
  private(set) var entries: [Entry] = []

  /// Versions of the format: 2 and 3 differ in that 3 may be big-endian, which is not read.
  static let versions: ClosedRange<UInt32> = 2...3
  static let keyByteLimit = 65_535
  static let alignments = 8...65_536
  static let dimensionLimit = 4
  /// Bytes of the shortest entries: key, type and value; name, dimensions, type and offset.
  private static let leastValueBytes = 8 + 1 + 4 + 1
  private static let leastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8

  /// Reads the header.
  ///
  /// - Throws: `gguf.*`, `limit.file`.
  init(of file: InputFile) throws(Refusal) {
    var cursor = GGUFCursor(file)
    guard try cursor.bytes(4).elementsEqual("GGUF".utf8) else {
      throw cursor.refusal(.ggufVersion, back: 4, found: "no \"GGUF\"", expected: "\"GGUF\"")
    }
    try Self.checkVersion(&cursor)
    let tensorCount = try cursor.count(of: "tensors", byteCount: Self.leastTensorBytes)
    let valueCount = try cursor.count(of: "metadata values", byteCount: Self.leastValueBytes)
    for _ in 0..<valueCount { try readValue(&cursor) }
    try checkSplit(file)
    let alignment = try alignment(file)

    var infos: [Info] = []
    for _ in 0..<tensorCount { infos.append(try Info(&cursor)) }
    try layOut(infos, from: cursor, alignment: alignment)
    try checkNames(file)
  }

  private static func checkVersion(_ cursor: inout GGUFCursor) throws(Refusal) {
    let version = try cursor.integer(UInt32.self)
    guard versions.contains(version) else {
      let isSwapped = versions.contains(version.byteSwapped)
      throw cursor.refusal(
        .ggufVersion, back: 4,
        found: isSwapped ? "version \(version.byteSwapped), big-endian" : "version \(version)",
        expected: "version 2 or 3, little-endian")
    }
  }

  // MARK: Metadata

  private mutating func readValue(_ cursor: inout GGUFCursor) throws(Refusal) {
    let place = cursor.position
    let key = try cursor.string(limit: Self.keyByteLimit)
    guard !key.isEmpty, key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw Refusal(
        .ggufKey, file: cursor.file.path, at: .offset(place),
        found: key.isEmpty ? "an empty key" : "a key with other characters than visible ASCII",
        expected: "a key such as general.architecture")
    }
    let value = try cursor.value(cursor.valueType())
    guard values.updateValue(value, forKey: key) == nil else {
      throw Refusal(
        .ggufKey, file: cursor.file.path, at: .offset(place), found: "a second \(key)",
        expected: "each key once")
    }
  }

  private func checkSplit(_ file: InputFile) throws(Refusal) {
    guard let count = values["split.count"] else { return }
    guard count == .integer(1) || count == .integer(0) else {
      throw Refusal(
        .ggufSplit, file: file.path, found: "one file of several",
        expected: "the whole model in one file")
    }
  }

  private func alignment(_ file: InputFile) throws(Refusal) -> Int {
    guard let value = values["general.alignment"] else { return 32 }
    guard case .integer(let number) = value, let alignment = Int(exactly: number),
      Self.alignments.contains(alignment), alignment.nonzeroBitCount == 1
    else {
      throw Refusal(
        .ggufAlignment, file: file.path, found: "general.alignment \(value.description)",
        expected: "a power of two from \(Self.alignments.lowerBound) to "
          + "\(Self.alignments.upperBound)")
    }
    return alignment
  }

  // MARK: Tensors

  /// A tensor as the table describes it.
  private struct Info {
    let name: String
    let type: GGUFTensorType
    /// Outermost first, as everywhere in this program; the file counts from the innermost.
    let shape: [Int]
    let elementCount: Int
    let storedByteCount: Int
    /// The position from the start of the data.
    let offset: UInt64

    init(_ cursor: inout GGUFCursor) throws(Refusal) {
      let place = cursor.position
      name = try cursor.string(limit: TensorName.byteLimit)
      if let flaw = TensorName.flaw(name) {
        throw Refusal(
          .ggufName, file: cursor.file.path, at: .offset(place), found: flaw,
          expected: "a plain name")
      }
      let count = try cursor.integer(UInt32.self)
      guard (1...UInt32(dimensionLimit)).contains(count) else {
        throw Refusal(
          .ggufShape, file: cursor.file.path, at: .tensor(name), found: counted(count, "dimension"),
          expected: "1 to \(dimensionLimit)")
      }
      var dimensions: [UInt64] = []
      for _ in 0..<count { dimensions.append(try cursor.integer()) }
      type = try Self.type(cursor.integer(), of: name, cursor.file)
      offset = try cursor.integer()

      guard dimensions.allSatisfy({ (1...UInt64(Int.max)).contains($0) }),
        dimensions[0] % UInt64(type.blockElements) == 0
      else {
        throw Refusal(
          .ggufShape, file: cursor.file.path, at: .tensor(name), found: "\(dimensions)",
          expected: "positive dimensions, the first a multiple of \(type.blockElements)")
      }
      shape = dimensions.reversed().map { Int($0) }
      // Elements are passed on as f64 at most, so that 8 bytes of each bound all sizes.
      guard let count = Shape.elementCount(shape),
        !count.multipliedReportingOverflow(by: 8).overflow
      else {
        throw Refusal(
          .ggufOverflow, file: cursor.file.path, at: .tensor(name), found: "\(dimensions)",
          expected: "a size that can be counted")
      }
      elementCount = count
      // No overflow: a block takes no more bytes than its elements as f64.
      storedByteCount = count / type.blockElements * type.blockBytes
    }

    private static func type(
      _ number: UInt32, of name: String, _ file: InputFile
    ) throws(Refusal) -> GGUFTensorType {
      if let type = GGUFTensorType(rawValue: number) { return type }
      throw Refusal(
        .ggufType, file: file.path, at: .tensor(name),
        found: GGUFTensorType.unreadName(number) ?? "type \(number)",
        expected: GGUFTensorType.allCases.map(\.name).joined(separator: ", "))
    }
  }

  /// Checks that the tensors follow one another from the header's end to the file's, each on the
  /// next aligned offset: so that there are no holes and no overlaps.
  private mutating func layOut(
    _ infos: [Info], from cursor: GGUFCursor, alignment: Int
  ) throws(Refusal) {
    let file = cursor.file
    func padded(_ offset: Int) throws(Refusal) -> Int {
      let (sum, overflow) = offset.addingReportingOverflow(alignment - 1)
      guard !overflow else {
        throw Refusal(
          .ggufOverflow, file: file.path, at: .offset(offset), found: "no room for padding",
          expected: "a size that can be counted")
      }
      return sum & ~(alignment - 1)
    }
    let start = try padded(cursor.position)
    var end = cursor.position
    for info in infos {
      let offset = try padded(end)
      guard UInt64(offset - start) == info.offset else {
        throw Refusal(
          .ggufOffset, file: file.path, at: .tensor(info.name), found: "offset \(info.offset)",
          expected: "\(offset - start), after the previous tensor")
      }
      guard offset <= file.byteCount, info.storedByteCount <= file.byteCount - offset else {
        throw Refusal(
          .ggufTruncated, file: file.path, at: .tensor(info.name),
          found: "a file of \(counted(file.byteCount, "byte"))",
          expected: "\(counted(info.storedByteCount, "byte")) from offset \(offset)")
      }
      end = offset + info.storedByteCount
      let tensor = CheckpointTensor(
        name: info.name, dataType: info.type.dataType, shape: info.shape,
        byteCount: info.elementCount * info.type.dataType.byteWidth,
        encoding: info.type.isQuantised ? info.type.name : nil)
      entries.append(
        Entry(
          tensor: tensor, type: info.type, offset: offset, storedByteCount: info.storedByteCount))
    }
    // Writers fill the last tensor up too, or do not.
    let paddedEnd = try padded(end)
    guard file.byteCount == end || file.byteCount == paddedEnd else {
      throw Refusal(
        .ggufTrailingBytes, file: file.path, at: .offset(end),
        found: counted(file.byteCount - end, "byte"), expected: "the end of the file")
    }
  }

  private func checkNames(_ file: InputFile) throws(Refusal) {
    if let (_, name) = TensorName.equivalentPair(entries.map(\.tensor.name)) {
      throw Refusal(
        .ggufName, file: file.path, at: .tensor(name), found: "a second tensor of that name",
        expected: "each name once")
    }
  }
}

extension GGUFValue {
  /// The value for a message or a listing.
  package var description: String {
    switch self {
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .boolean(let value): "\(value)"
    case .string(let value): value
    case .array(let array): "an array of \(counted(array.count, "element"))"
    }
  }
}
