import SextantBytes
import SextantCheckpoints
import SextantTestSupport
import Testing

/// Files that the strict profile refuses, each with the code of the refusal.
struct SafetensorsRefusal: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let code: Refusal.Code
  let bytes: [UInt8]

  init(_ description: String, _ code: Refusal.Code, _ bytes: [UInt8]) {
    testDescription = description
    self.code = code
    self.bytes = bytes
  }

  /// A file with this header and `data` zero bytes.
  init(_ description: String, _ code: Refusal.Code, _ header: String, data: Int = 8) {
    self.init(
      description, code,
      RawSafetensors.file(header: header, data: [UInt8](repeating: 0, count: data)))
  }

  /// A file whose header contains these entries, followed by `data` zero bytes.
  init(_ description: String, _ code: Refusal.Code, entries: String..., data: Int = 8) {
    self.init(description, code, "{\(entries.joined(separator: ","))}", data: data)
  }
}

private func entry(
  _ name: String = "a", _ type: String = "F32", _ shape: [Int] = [2], _ begin: Int = 0,
  _ end: Int = 8
) -> String {
  RawSafetensors.entry(name, type, shape, begin, end)
}

/// An entry with these spellings of its fields, valid or not.
private func raw(
  dtype: String = "\"F32\"", shape: String = "[2]", offsets: String = "[0,8]"
) -> String {
  "\"a\":{\"dtype\":\(dtype),\"shape\":\(shape),\"data_offsets\":\(offsets)}"
}

private let valid = "{\(entry())}"
private let eight = [UInt8](repeating: 0, count: 8)

private let headerCases: [SafetensorsRefusal] = [
  .init("seven bytes", .fileTooShort, Array(valid.utf8.prefix(0)) + [1, 2, 3, 4, 5, 6, 7]),
  .init("length zero", .safetensorsHeaderLength, RawSafetensors.file(header: "")),
  .init(
    "length beyond the file", .safetensorsHeaderLength,
    RawSafetensors.file(header: valid, headerLength: UInt64(valid.utf8.count + 1))),
  .init(
    "length beyond the limit", .safetensorsHeaderLength,
    RawSafetensors.file(header: valid, data: eight, headerLength: 100_000_001)),
  .init(
    "length 2^63", .safetensorsHeaderLength,
    RawSafetensors.file(header: valid, data: eight, headerLength: 1 << 63)),
  .init(
    "length 2^64-1", .safetensorsHeaderLength,
    RawSafetensors.file(header: valid, data: eight, headerLength: .max)),
  .init("leading space", .safetensorsHeaderStart, " \(valid)"),
  .init("array root", .safetensorsHeaderStart, "[]"),
  .init("byte-order mark", .safetensorsHeaderStart, "\u{FEFF}\(valid)"),
  .init("UTF-16", .jsonEncoding, RawSafetensors.file(header: [0x7B, 0, 0x7D, 0])),
  .init("trailing tab", .jsonTrailing, "\(valid) \t "),
  .init("trailing line break", .jsonTrailing, "\(valid)\n"),
  .init("trailing NUL", .jsonTrailing, "\(valid)\0"),
  .init("second object", .jsonTrailing, "\(valid){}"),
  .init("trailing comma", .jsonTrailing, "{\(entry()),}"),
  .init("unclosed", .jsonInvalid, String(valid.dropLast())),
  .init("duplicate name", .jsonDuplicateKey, entries: entry(), entry()),
  .init(
    "duplicate field", .jsonDuplicateKey,
    entries: "\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"),
  .init(
    "duplicate metadata key", .jsonDuplicateKey,
    entries: "\"__metadata__\":{\"x\":\"1\",\"x\":\"2\"}", entry()),
  .init(
    "invalid UTF-8 in a name", .jsonEncoding,
    RawSafetensors.file(header: Array("{\"".utf8) + [0xFF] + Array(valid.utf8.dropFirst(2)))),
  .init("lone surrogate", .jsonEncoding, entries: "\"\\ud800\":{}"),
  .init(
    "deep nesting", .jsonDepth,
    entries: "\"a\":" + String(repeating: "[", count: 40) + String(repeating: "]", count: 40)),
  .init(
    "huge string", .jsonTooLong,
    entries: "\"__metadata__\":{\"x\":\"\(String(repeating: "y", count: 65_600))\"}", entry()),
]

private let entryCases: [SafetensorsRefusal] = [
  .init("entry is a number", .jsonNotObject, entries: "\"a\":5"),
  .init("entry is null", .jsonNotObject, entries: "\"a\":null"),
  .init(
    "unknown field", .safetensorsUnknownField,
    entries: "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}"),
  .init("no dtype", .safetensorsDataType, entries: "\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}"),
  .init("dtype of another case", .safetensorsDataType, entries: raw(dtype: "\"f32\"")),
  .init("unknown dtype", .safetensorsDataType, entries: raw(dtype: "\"F31\"")),
  .init("empty dtype", .safetensorsDataType, entries: raw(dtype: "\"\"")),
  .init("dtype is a number", .safetensorsDataType, entries: raw(dtype: "32")),
  .init("F4", .safetensorsUnsupportedDataType, entries: entry("a", "F4", [16])),
  .init("F6_E2M3", .safetensorsUnsupportedDataType, entries: entry("a", "F6_E2M3", [4], 0, 3)),
  .init("F6_E3M2", .safetensorsUnsupportedDataType, entries: entry("a", "F6_E3M2", [4], 0, 3)),
  .init("C64", .safetensorsUnsupportedDataType, entries: entry("a", "C64", [1])),
  .init("F8_E5M2", .safetensorsUnsupportedDataType, entries: entry("a", "F8_E5M2", [8])),
  .init("F8_E4M3", .safetensorsUnsupportedDataType, entries: entry("a", "F8_E4M3", [8])),
  .init("F8_E8M0", .safetensorsUnsupportedDataType, entries: entry("a", "F8_E8M0", [8])),
  .init("F8_E4M3FNUZ", .safetensorsUnsupportedDataType, entries: entry("a", "F8_E4M3FNUZ", [8])),
  .init("F8_E5M2FNUZ", .safetensorsUnsupportedDataType, entries: entry("a", "F8_E5M2FNUZ", [8])),
  .init("odd F4", .safetensorsMisaligned, entries: entry("a", "F4", [3], 0, 2)),
  .init("odd F6", .safetensorsMisaligned, entries: entry("a", "F6_E3M2", [3], 0, 3)),
  .init("no shape", .safetensorsShape, entries: "\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}"),
  .init("negative dimension", .safetensorsShape, entries: raw(shape: "[-2]")),
  .init("fractional dimension", .safetensorsShape, entries: raw(shape: "[2.0]")),
  .init("dimension with an exponent", .safetensorsShape, entries: raw(shape: "[2e0]")),
  .init("boolean dimension", .safetensorsShape, entries: raw(shape: "[true]")),
  .init("dimension as a string", .safetensorsShape, entries: raw(shape: "[\"2\"]")),
  .init("nested shape", .safetensorsShape, entries: raw(shape: "[[2]]")),
  .init("shape is a number", .safetensorsShape, entries: raw(shape: "2")),
  .init("shape is null", .safetensorsShape, entries: raw(shape: "null")),
  .init("nine dimensions", .safetensorsShape, entries: raw(shape: "[2,1,1,1,1,1,1,1,1]")),
  .init("dimension -0", .jsonNumber, entries: raw(shape: "[-0]")),
  .init("leading zero", .jsonNumber, entries: raw(shape: "[02]")),
  .init("dimension 2^63", .jsonNumber, entries: raw(shape: "[9223372036854775808]")),
  .init(
    "element count overflows", .safetensorsOverflow, entries: raw(shape: "[4294967296,4294967296]")),
  .init("byte count overflows", .safetensorsOverflow, entries: raw(shape: "[4611686018427387904]")),
  .init(
    "overflow hidden by a zero", .safetensorsOverflow,
    entries: raw(shape: "[0,4294967296,4294967296]", offsets: "[0,0]"), data: 0),
  .init(
    "bit count of an unsupported type overflows", .safetensorsOverflow,
    entries: raw(dtype: "\"C64\"", shape: "[4611686018427387904]")),
  .init("no offsets", .safetensorsOffsets, entries: "\"a\":{\"dtype\":\"F32\",\"shape\":[2]}"),
  .init("one offset", .safetensorsOffsets, entries: raw(offsets: "[0]")),
  .init("three offsets", .safetensorsOffsets, entries: raw(offsets: "[0,8,8]")),
  .init("begin after end", .safetensorsOffsets, entries: raw(offsets: "[8,0]")),
  .init("negative offset", .safetensorsOffsets, entries: raw(offsets: "[-8,0]")),
  .init("offset as a string", .safetensorsOffsets, entries: raw(offsets: "[\"0\",8]")),
  .init("offsets are an object", .safetensorsOffsets, entries: raw(offsets: "{}")),
  .init("fractional offset", .jsonNumber, entries: raw(offsets: "[0.0,8]")),
  .init("offset 2^63", .jsonNumber, entries: raw(offsets: "[0,9223372036854775808]")),
]

private let layoutCases: [SafetensorsRefusal] = [
  .init("range too long for the shape", .safetensorsSizeMismatch, entries: raw(shape: "[1]")),
  .init("range too short for the shape", .safetensorsSizeMismatch, entries: raw(shape: "[3]")),
  .init("range without elements", .safetensorsSizeMismatch, entries: raw(shape: "[0]")),
  .init("leading hole", .safetensorsHole, entries: entry("a", "F32", [1], 4, 8)),
  .init(
    "middle hole", .safetensorsHole,
    entries: entry("a", "F32", [1], 0, 4), entry("b", "F32", [1], 8, 12), data: 12),
  .init(
    "range far beyond the file", .safetensorsHole,
    entries: raw(offsets: "[9223372036854775799,9223372036854775807]")),
  .init("shared range", .safetensorsOverlap, entries: entry("a"), entry("b")),
  .init(
    "partial overlap", .safetensorsOverlap,
    entries: entry("a"), entry("b", "F32", [2], 4, 12), data: 12),
  .init(
    "empty tensor inside another", .safetensorsOverlap,
    entries: entry("a"), entry("b", "F32", [0], 4, 4)),
  .init("trailing byte", .safetensorsTrailingBytes, entries: entry(), data: 9),
  .init(
    "archive appended", .safetensorsTrailingBytes,
    RawSafetensors.file(header: valid, data: eight + [0x50, 0x4B, 5, 6])),
  .init("data cut off by a byte", .safetensorsTruncated, entries: entry(), data: 7),
  .init("no data", .safetensorsTruncated, entries: entry(), data: 0),
  .init("empty header object", .safetensorsNone, "{}", data: 0),
  .init("only metadata", .safetensorsNone, entries: "\"__metadata__\":{\"a\":\"b\"}", data: 0),
]

private let nameCases: [SafetensorsRefusal] = [
  .init(
    "metadata value is a number", .safetensorsMetadataType, entries: "\"__metadata__\":{\"x\":1}",
    entry()),
  .init(
    "metadata value is null", .safetensorsMetadataType, entries: "\"__metadata__\":{\"x\":null}",
    entry()),
  .init(
    "metadata value is an object", .safetensorsMetadataType, entries: "\"__metadata__\":{\"x\":{}}",
    entry()),
  .init("metadata is null", .safetensorsMetadataType, entries: "\"__metadata__\":null", entry()),
  .init("metadata is an array", .safetensorsMetadataType, entries: "\"__metadata__\":[]", entry()),
  .init(
    "metadata is a string", .safetensorsMetadataType, entries: "\"__metadata__\":\"x\"", entry()),
  .init(
    "metadata keys equal after normalisation", .safetensorsMetadataType,
    entries: "\"__metadata__\":{\"\u{E9}\":\"1\",\"e\u{301}\":\"2\"}", entry()),
  .init("tensor named __metadata__", .safetensorsReservedName, entries: entry("__metadata__")),
  .init("empty name", .safetensorsName, entries: entry("")),
  .init("NUL in a name", .safetensorsName, entries: entry("a\0b")),
  .init("line break in a name", .safetensorsName, entries: entry("a\nb")),
  .init("delete character in a name", .safetensorsName, entries: entry("a\u{7F}")),
  .init("C1 control in a name", .safetensorsName, entries: entry("a\u{9B}31m")),
  .init("absolute name", .safetensorsName, entries: entry("/etc/passwd")),
  .init("parent as a name", .safetensorsName, entries: entry("..")),
  .init("parent at the start", .safetensorsName, entries: entry("../a")),
  .init("parent inside", .safetensorsName, entries: entry("a/../b")),
  .init("parent with backslashes", .safetensorsName, entries: entry("a\\..\\b")),
  .init("name of 513 bytes", .safetensorsName, entries: entry(String(repeating: "n", count: 513))),
  .init(
    "names equal after normalisation", .safetensorsName,
    entries: entry("\u{E9}", "F32", [1], 0, 4), entry("e\u{301}", "F32", [1], 4, 8)),
]

@Test(arguments: headerCases + entryCases + layoutCases + nameCases)
func refusesUnsafeSafetensors(_ example: SafetensorsRefusal) {
  let folder = TemporaryFolder()
  let path = folder.write(example.bytes, to: "model.safetensors")
  let refusal = expectRefusal(example.code) { try SafetensorsFile(path) }
  #expect(refusal?.file == path)
  #expect(refusal?.exitStatus == 65)
  // Also through `CheckpointSource`, for any content.
  #expect(throws: Refusal.self) { try CheckpointSource.open(path) }
}

@Test func refusesMoreThanAMillionTensors() {
  let folder = TemporaryFolder()
  var header = Array("{".utf8)
  for index in 0...1_000_000 {
    if index > 0 { header.append(UInt8(ascii: ",")) }
    header += "\"\(index)\":0".utf8
  }
  header.append(UInt8(ascii: "}"))
  let path = folder.write(RawSafetensors.file(header: header), to: "model.safetensors")
  expectRefusal(.safetensorsCount) { try SafetensorsFile(path) }
}

@Test func namesTheTensorThatIsRefused() {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file(
    header: "{\(entry("good", "F32", [1], 0, 4)),\(entry("bad", "F32", [9], 4, 8))}",
    data: eight)
  let refusal = expectRefusal(.safetensorsSizeMismatch) {
    try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  }
  #expect(refusal?.place == .tensor("bad"))
  #expect(refusal?.found == "4 bytes")
  #expect(refusal?.expected == "36 bytes for F32 [9]")
}
