import SextantBytes
import SextantTensor

/// The position of each tensor in a new safetensors file, and the header that declares it.
///
/// Order, spelling and padding are the reference implementation's, so that equal contents give
/// equal bytes: `__metadata__` first, then tensors by descending type and ascending name, data in
/// the same order, and spaces until the data starts at a multiple of 8. Metadata keys are sorted,
/// which the reference leaves to chance.
struct SafetensorsLayout {
  /// The length prefix and the padded header: the file up to the first tensor.
  let head: [UInt8]
  /// Positions of the given tensors, in the order in which their elements are in the file.
  let order: [Int]
  /// Bytes of the whole file.
  let byteCount: Int

  /// Lays out a file.
  ///
  /// - Throws: the refusals of a reader of the strict profile: `st.none`, `st.count`, `st.name`,
  ///   `st.reserved-name`, `st.shape`, `st.metadata-type`, `st.overflow`, `st.header-length`.
  init(
    _ tensors: [CheckpointTensor], metadata: [String: String], file: String?
  ) throws(Refusal) {
    try Self.check(tensors, file: file)
    order = tensors.indices.sorted { a, b in
      let (left, right) = (tensors[a], tensors[b])
      return left.dataType.safetensorsRank != right.dataType.safetensorsRank
        ? left.dataType.safetensorsRank > right.dataType.safetensorsRank
        : left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
    }
    var members: [String] = []
    if !metadata.isEmpty {
      let object = JSONObject(metadata.map { ($0.key, .string($0.value)) })
      members.append(
        "\"\(SafetensorsHeader.metadataKey)\":\(JSONValue.object(object).canonicalText)")
    }
    var end = 0
    for place in order {
      let tensor = tensors[place]
      let (next, overflow) = end.addingReportingOverflow(tensor.byteCount)
      guard !overflow else {
        throw Refusal(
          .safetensorsOverflow, file: file, at: .tensor(tensor.name),
          found: "more than 2^63 bytes in all", expected: "less")
      }
      let name = JSONValue.string(tensor.name).canonicalText
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      let type = tensor.dataType.rawValue
      members.append(
        "\(name):{\"dtype\":\"\(type)\",\"shape\":[\(shape)],\"data_offsets\":[\(end),\(next)]}")
      end = next
    }
    var header = Array("{\(members.joined(separator: ","))}".utf8)
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    guard header.count <= SafetensorsHeader.byteLimit else {
      throw Refusal(
        .safetensorsHeaderLength, file: file, found: "a header of \(counted(header.count, "byte"))",
        expected: "at most \(SafetensorsHeader.byteLimit)")
    }
    head = UInt64(header.count).littleEndianBytes + header
    let (total, overflow) = head.count.addingReportingOverflow(end)
    guard !overflow else {
      throw Refusal(
        .safetensorsOverflow, file: file, found: "more than 2^63 bytes in all", expected: "less")
    }
    byteCount = total
  }

  private static func check(_ tensors: [CheckpointTensor], file: String?) throws(Refusal) {
    guard !tensors.isEmpty else {
      throw Refusal(
        .safetensorsNone, file: file, found: "no tensor", expected: "at least one")
    }
    guard tensors.count <= SafetensorsHeader.tensorLimit else {
      throw Refusal(
        .safetensorsCount, file: file, found: counted(tensors.count, "tensor"),
        expected: "at most \(SafetensorsHeader.tensorLimit)")
    }
    for tensor in tensors {
      func refusal(_ code: Refusal.Code, _ found: String, _ expected: String) -> Refusal {
        Refusal(code, file: file, at: .tensor(tensor.name), found: found, expected: expected)
      }
      if tensor.name == SafetensorsHeader.metadataKey {
        throw refusal(.safetensorsReservedName, "a tensor of that name", "another name")
      }
      if let flaw = TensorName.flaw(tensor.name) {
        throw refusal(
          .safetensorsName, flaw,
          "1 to \(counted(TensorName.byteLimit, "byte")), no control characters, no path")
      }
      guard !tensor.dataType.isBlocks else {
        throw refusal(
          .safetensorsDataType, tensor.dataType.rawValue, "a type of single elements")
      }
      guard tensor.shape.count <= SafetensorsHeader.rankLimit else {
        throw refusal(
          .safetensorsShape, counted(tensor.shape.count, "dimension"),
          "at most \(SafetensorsHeader.rankLimit)")
      }
    }
    if let (_, name) = TensorName.equivalentPair(tensors.lazy.map(\.name)) {
      throw Refusal(
        .safetensorsName, file: file, at: .tensor(name), found: "the same name twice",
        expected: "names that differ, also after Unicode normalisation")
    }
  }
}

extension DataType {
  /// The place of a type in the reference implementation's order, by rising alignment.
  fileprivate var safetensorsRank: Int {
    switch self {
    case .bool: 0
    case .u8: 1
    case .i8: 2
    case .i16: 3
    case .u16: 4
    case .f16: 5
    case .bf16: 6
    case .i32: 7
    case .u32: 8
    case .f32: 9
    case .f64: 10
    case .i64: 11
    case .u64: 12
    case .q8, .q4v0, .q4v1, .q5v0, .q5v1, .q4k, .q5k, .q6k:
      preconditionFailure("blocks were refused")
    }
  }
}
