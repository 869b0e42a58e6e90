import SextantBytes
import SextantTensor

/// Converts the header's JSON object to tensors: first each entry alone, then all of them together.
struct SafetensorsEntryParser {
  /// A tensor and its byte range, relative to the end of the header.
  struct Entry {
    var tensor: CheckpointTensor
    var range: Range<Int>
  }

  let file: String
  private(set) var entries: [Entry] = []
  private(set) var metadata: [String: String] = [:]

  init(file: String) { self.file = file }

  private func refusal(
    _ code: Refusal.Code, _ name: String, found: String, expected: String
  ) -> Refusal {
    Refusal(code, file: file, at: .tensor(name), found: found, expected: expected)
  }

  // MARK: Each entry

  mutating func parse(_ root: JSONObject) throws(Refusal) {
    let tensorCount = root.members.count - (root[SafetensorsHeader.metadataKey] == nil ? 0 : 1)
    guard tensorCount <= SafetensorsHeader.tensorLimit else {
      throw Refusal(
        .safetensorsCount, file: file, found: counted(tensorCount, "tensor"),
        expected: "at most \(SafetensorsHeader.tensorLimit)")
    }
    for (key, value) in root.members {
      if key.utf8.elementsEqual(SafetensorsHeader.metadataKey.utf8) {
        try parseMetadata(value)
        continue
      }
      if let flaw = TensorName.flaw(key) {
        throw refusal(
          .safetensorsName, key, found: flaw,
          expected: "1 to \(counted(TensorName.byteLimit, "byte")), no control characters, no path")
      }
      entries.append(try parseEntry(key, value))
    }
    guard !entries.isEmpty else {
      throw Refusal(
        .safetensorsNone, file: file, found: "no tensor", expected: "at least one")
    }
    if let (_, name) = TensorName.equivalentPair(entries.lazy.map { $0.tensor.name }) {
      throw refusal(
        .safetensorsName, name, found: "another name that differs only in Unicode normalisation",
        expected: "distinct names")
    }
  }

  private mutating func parseMetadata(_ value: JSONValue) throws(Refusal) {
    let pointer = "/\(SafetensorsHeader.metadataKey)"
    let node = JSONNode(
      value, code: .safetensorsMetadataType, file: file, pointer: pointer)
    let members = try node.members()
    if members.contains(where: { $0.key == "dtype" || $0.key == "shape" }),
      members.contains(where: { $0.key == "data_offsets" })
    {
      throw refusal(
        .safetensorsReservedName, SafetensorsHeader.metadataKey, found: "a tensor entry",
        expected: "a map of strings")
    }
    for (key, child) in members {
      guard metadata.updateValue(try child.string(), forKey: key) == nil else {
        throw node.refusal(
          found: "two keys that differ only in Unicode normalisation", expected: "distinct keys")
      }
    }
  }

  private func parseEntry(_ name: String, _ value: JSONValue) throws(Refusal) -> Entry {
    guard case .object(let fields) = value else {
      throw refusal(
        .jsonNotObject, name, found: "no object", expected: "dtype, shape and data_offsets")
    }
    for (key, _) in fields.members where !["dtype", "shape", "data_offsets"].contains(key) {
      throw refusal(
        .safetensorsUnknownField, name, found: "a field \"\(key)\"",
        expected: "dtype, shape and data_offsets")
    }
    let shape = try parseShape(name, fields["shape"])
    let dataType = try parseDataType(name, fields["dtype"], shape: shape)
    let range = try parseOffsets(name, fields["data_offsets"])
    guard let byteCount = dataType.byteCount(shape: shape) else {
      throw refusal(
        .safetensorsOverflow, name, found: "\(dataType.rawValue) \(shape)",
        expected: "a size below 2^63 bytes")
    }
    let tensor = CheckpointTensor(
      name: name, dataType: dataType, shape: shape, byteCount: byteCount)
    return Entry(tensor: tensor, range: range)
  }

  private func parseShape(_ name: String, _ value: JSONValue?) throws(Refusal) -> [Int] {
    guard case .array(let elements)? = value else {
      throw refusal(
        .safetensorsShape, name, found: value == nil ? "no shape" : "no array",
        expected: "an array of dimensions")
    }
    guard elements.count <= SafetensorsHeader.rankLimit else {
      throw refusal(
        .safetensorsShape, name, found: counted(elements.count, "dimension"),
        expected: "at most \(SafetensorsHeader.rankLimit)")
    }
    var shape: [Int] = []
    for element in elements {
      guard case .integer(let dimension) = element, dimension >= 0 else {
        throw refusal(
          .safetensorsShape, name, found: element.shortText, expected: "non-negative integers")
      }
      shape.append(Int(dimension))
    }
    return shape
  }

  private func parseDataType(
    _ name: String, _ value: JSONValue?, shape: [Int]
  ) throws(Refusal) -> DataType {
    let known = DataType.elementTypes.map(\.rawValue).joined(separator: ", ")
    guard case .string(let spelling)? = value else {
      throw refusal(
        .safetensorsDataType, name, found: value?.shortText ?? "no dtype", expected: known)
    }
    if let dataType = DataType(elementType: spelling) { return dataType }
    guard let bits = Self.unsupportedBits[spelling] else {
      throw refusal(.safetensorsDataType, name, found: "\"\(spelling)\"", expected: known)
    }
    guard let elements = Shape.elementCount(shape),
      case (let total, false) = elements.multipliedReportingOverflow(by: bits)
    else {
      throw refusal(
        .safetensorsOverflow, name, found: "\(spelling) \(shape)",
        expected: "a size below 2^63 bits")
    }
    guard total % 8 == 0 else {
      throw refusal(
        .safetensorsMisaligned, name, found: "\(total) bits", expected: "whole bytes")
    }
    throw refusal(.safetensorsUnsupportedDataType, name, found: spelling, expected: known)
  }

  /// Types that the format defines and Sextant has no use for, with their bits.
  private static let unsupportedBits = [
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "C64": 64,
  ]

  private func parseOffsets(
    _ name: String, _ value: JSONValue?
  ) throws(Refusal) -> Range<Int> {
    guard case .array(let elements)? = value, elements.count == 2 else {
      throw refusal(
        .safetensorsOffsets, name, found: value == nil ? "no data_offsets" : "no pair",
        expected: "[begin, end]")
    }
    var bounds: [Int] = []
    for element in elements {
      if case .number = element {
        throw refusal(
          .jsonNumber, name, found: element.shortText, expected: "integer data_offsets")
      }
      guard case .integer(let offset) = element, offset >= 0 else {
        throw refusal(
          .safetensorsOffsets, name, found: element.shortText, expected: "non-negative integers")
      }
      bounds.append(Int(offset))
    }
    guard bounds[0] <= bounds[1] else {
      throw refusal(
        .safetensorsOffsets, name, found: "[\(bounds[0]), \(bounds[1])]",
        expected: "a begin that is at most the end")
    }
    return bounds[0]..<bounds[1]
  }

  // MARK: All entries together

  /// The tensors fill the data exactly: no hole, no overlap, nothing before, nothing after.
  mutating func checkLayout(dataByteCount: Int) throws(Refusal) {
    entries.sort {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    var end = 0
    for entry in entries {
      let (name, range) = (entry.tensor.name, entry.range)
      guard range.lowerBound <= end else {
        throw refusal(
          .safetensorsHole, name, found: "data from \(range.lowerBound)",
          expected: "data from \(end), the end of the previous tensor")
      }
      guard range.lowerBound == end else {
        throw refusal(
          .safetensorsOverlap, name, found: "data from \(range.lowerBound)",
          expected: "data from \(end), the end of the previous tensor")
      }
      guard range.count == entry.tensor.byteCount else {
        throw refusal(
          .safetensorsSizeMismatch, name, found: counted(range.count, "byte"),
          expected: "\(counted(entry.tensor.byteCount, "byte")) for "
            + "\(entry.tensor.dataType.rawValue) \(entry.tensor.shape)")
      }
      end = range.upperBound
    }
    guard end <= dataByteCount else {
      throw Refusal(
        .safetensorsTruncated, file: file, found: "\(counted(dataByteCount, "byte")) of data",
        expected: counted(end, "byte"))
    }
    guard end == dataByteCount else {
      throw Refusal(
        .safetensorsTrailingBytes, file: file,
        found: "\(counted(dataByteCount - end, "byte")) after the last tensor", expected: "none")
    }
  }
}

extension JSONValue {
  /// The value for a refusal: containers only by name, since they may be huge.
  fileprivate var shortText: String {
    switch self {
    case .array: "an array"
    case .object: "an object"
    default: String(canonicalText.prefix(100))
    }
  }
}
