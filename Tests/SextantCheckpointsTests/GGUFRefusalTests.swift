import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTestSupport
import Testing

private typealias Raw = RawGGUF

/// A damaged file, and the code of its refusal.
private struct Damage: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let code: Refusal.Code
  let bytes: [UInt8]

  init(_ name: String, _ code: Refusal.Code, _ bytes: [UInt8]) {
    (testDescription, self.code, self.bytes) = (name, code, bytes)
  }

  /// A file whose only flaw is this metadata.
  init(_ name: String, _ code: Refusal.Code, values: [[UInt8]]) {
    self.init(name, code, Raw.file(values: values))
  }

  /// A file whose only flaw is this tensor. Some data follows it.
  init(_ name: String, _ code: Refusal.Code, tensor: [UInt8], data: Int = 64) {
    self.init(
      name, code, Raw.file(tensors: [tensor], data: [UInt8](repeating: 0, count: data)))
  }
}

private func nested(_ depth: Int) -> [UInt8] {
  depth == 0 ? Raw.array([1]) : Raw.array(9, count: 1, nested(depth - 1))
}

private let huge = UInt64.max
private let header: [Damage] = [
  Damage("version 1", .ggufVersion, Raw.file(version: 1)),
  Damage("version 4", .ggufVersion, Raw.file(version: 4)),
  Damage("big-endian", .ggufVersion, Raw.file(version: 3 << 24)),
  Damage("too many values", .ggufCount, Raw.file(valueCount: 1)),
  Damage("2^64 - 1 values", .ggufCount, Raw.file(valueCount: huge)),
  Damage("too many tensors", .ggufCount, Raw.file(tensorCount: 1)),
  Damage("2^64 - 1 tensors", .ggufCount, Raw.file(tensorCount: huge)),
  Damage("bytes without a tensor", .ggufTrailingBytes, Raw.file() + [1]),
  Damage("one of two parts", .ggufSplit, values: [Raw.entry("split.count", 2)]),
]

private let values: [Damage] = [
  Damage("empty key", .ggufKey, values: [Raw.entry("", 1)]),
  Damage("space in a key", .ggufKey, values: [Raw.entry("a b", 1)]),
  Damage("key beyond ASCII", .ggufKey, values: [Raw.entry("é", 1)]),
  Damage("key twice", .ggufKey, values: [Raw.entry("a", 1), Raw.entry("a", 1)]),
  Damage("long key", .ggufString, values: [Raw.entry(String(repeating: "a", count: 65_536), 1)]),
  Damage("endless key", .ggufCount, values: [Raw.string("a", length: huge) + [4, 0, 0, 0, 1]]),
  Damage("unknown type", .ggufValue, values: [Raw.entry("a", 13, [1])]),
  Damage("boolean of 2", .ggufValue, values: [Raw.entry("a", 7, [2])]),
  Damage(
    "array with a boolean of 2", .ggufValue,
    values: [
      Raw.entry("a", 9, Raw.array(7, count: 2, [1, 2]))
    ]),
  Damage("2^63", .ggufValue, values: [Raw.entry("a", 10, (UInt64(1) << 63).littleEndianBytes)]),
  Damage(
    "no UTF-8", .ggufString,
    values: [
      Raw.entry("a", 8, UInt64(2).littleEndianBytes + [0xC3, 0x28])
    ]),
  Damage(
    "surrogate", .ggufString,
    values: [
      Raw.entry("a", 8, UInt64(3).littleEndianBytes + [0xED, 0xA0, 0x80])
    ]),
  Damage(
    "no UTF-8 in an array", .ggufString,
    values: [
      Raw.entry("a", 9, Raw.array(8, count: 1, UInt64(1).littleEndianBytes + [0xFF]))
    ]),
  Damage(
    "long string", .ggufString,
    values: [
      Raw.entry("a", String(repeating: "a", count: (4 << 20) + 1))
    ]),
  Damage(
    "endless string", .ggufCount,
    values: [
      Raw.entry("a", 8, Raw.string("abc", length: huge))
    ]),
  Damage(
    "endless array", .ggufCount, values: [Raw.entry("a", 9, Raw.array(0, count: 1 << 40, []))]),
  Damage(
    "array longer than the file", .ggufCount,
    values: [
      Raw.entry("a", 9, Raw.array(12, count: 2, [UInt8](repeating: 0, count: 15)))
    ]),
  Damage(
    "array of an unknown type", .ggufValue,
    values: [
      Raw.entry("a", 9, Raw.array(99, count: 1, [0]))
    ]),
  Damage("deep array", .ggufDepth, values: [Raw.entry("a", 9, nested(4))]),
  Damage("very deep array", .ggufDepth, values: [Raw.entry("a", 9, nested(10_000))]),
  Damage("alignment of 0", .ggufAlignment, values: [Raw.entry("general.alignment", 0)]),
  Damage("alignment of 4", .ggufAlignment, values: [Raw.entry("general.alignment", 4)]),
  Damage("alignment of 48", .ggufAlignment, values: [Raw.entry("general.alignment", 48)]),
  Damage("alignment of 2^30", .ggufAlignment, values: [Raw.entry("general.alignment", 1 << 30)]),
  Damage("alignment in words", .ggufAlignment, values: [Raw.entry("general.alignment", "32")]),
]

private let tensors: [Damage] = [
  Damage("empty name", .ggufName, tensor: Raw.tensor("", [16])),
  Damage("name that climbs", .ggufName, tensor: Raw.tensor("../w", [16])),
  Damage("name with an escape", .ggufName, tensor: Raw.tensor("\u{1B}[2J", [16])),
  Damage("long name", .ggufString, tensor: Raw.tensor(String(repeating: "w", count: 513), [16])),
  Damage("no dimension", .ggufShape, tensor: Raw.tensor("w", [])),
  Damage("five dimensions", .ggufShape, tensor: Raw.tensor("w", [1, 1, 1, 1, 16])),
  Damage("dimension of 0", .ggufShape, tensor: Raw.tensor("w", [16, 0])),
  Damage("dimension of 2^63", .ggufShape, tensor: Raw.tensor("w", [1 << 63])),
  Damage("part of a block", .ggufShape, tensor: Raw.tensor("w", [16, 2], type: 8)),
  Damage("product of 2^64", .ggufOverflow, tensor: Raw.tensor("w", [1 << 32, 1 << 32])),
  Damage("2^62 elements", .ggufOverflow, tensor: Raw.tensor("w", [1 << 62])),
  Damage("IQ4_NL", .ggufType, tensor: Raw.tensor("w", [32], type: 20)),
  Damage("I32", .ggufType, tensor: Raw.tensor("w", [16], type: 26)),
  Damage("a type that was removed", .ggufType, tensor: Raw.tensor("w", [32], type: 4)),
  Damage("a type that does not exist", .ggufType, tensor: Raw.tensor("w", [32], type: huge32)),
  Damage("hole before the first", .ggufOffset, tensor: Raw.tensor("w", [8], offset: 32)),
  Damage("offset of 2^64 - 1", .ggufOffset, tensor: Raw.tensor("w", [16], offset: huge)),
  Damage("offset in between", .ggufOffset, tensor: Raw.tensor("w", [8], offset: 1)),
  Damage("more elements than bytes", .ggufTruncated, tensor: Raw.tensor("w", [17])),
  Damage("2^59 elements", .ggufTruncated, tensor: Raw.tensor("w", [1 << 59])),
  Damage("2^60 elements", .ggufOverflow, tensor: Raw.tensor("w", [1 << 60])),
  Damage("fewer elements than bytes", .ggufTrailingBytes, tensor: Raw.tensor("w", [8])),
  Damage(
    "overlap", .ggufOffset,
    Raw.file(
      tensors: [Raw.tensor("a", [16]), Raw.tensor("b", [16])],
      data: [UInt8](repeating: 0, count: 128))),
  Damage(
    "hole", .ggufOffset,
    Raw.file(
      tensors: [Raw.tensor("a", [8]), Raw.tensor("b", [8], offset: 64)],
      data: [UInt8](repeating: 0, count: 96))),
  Damage(
    "name twice", .ggufName,
    Raw.file(
      tensors: [Raw.tensor("a", [8]), Raw.tensor("a", [8], offset: 32)],
      data: [UInt8](repeating: 0, count: 64))),
  Damage(
    "equivalent names", .ggufName,
    Raw.file(
      tensors: [Raw.tensor("\u{E9}", [8]), Raw.tensor("e\u{301}", [8], offset: 32)],
      data: [UInt8](repeating: 0, count: 64))),
]
private let huge32 = UInt32.max

@Test(arguments: header + values + tensors)
private func refusesADamagedGGUFFile(_ damage: Damage) {
  let folder = TemporaryFolder()
  let path = folder.write(damage.bytes, to: "m.gguf")
  let refusal = expectRefusal(damage.code) { try CheckpointSource.open(path) }
  #expect(refusal?.file == path)
  #expect(refusal?.exitStatus == 65)
}

@Test func namesATensorTypeThatIsNotRead() {
  let folder = TemporaryFolder()
  let bytes = Raw.file(
    tensors: [Raw.tensor("w", [256], type: 16)], data: [UInt8](repeating: 0, count: 66))
  let refusal = expectRefusal(.ggufType) { try GGUFFile(folder.write(bytes, to: "m.gguf")) }
  #expect(refusal?.found == "IQ2_XXS")
  #expect(refusal?.place == .tensor("w"))
}

@Test func refusesAHeaderThatNeverEnds() {
  let folder = TemporaryFolder()
  let path = folder.path("m.gguf")
  // One array of 300 MiB of bytes. The bytes are a hole in the file.
  let count = 300 << 20
  folder.write(
    Raw.file(values: [Raw.entry("a", 9, Raw.array(0, count: count, []))]), to: "m.gguf")
  #expect(truncate(path, count + 4096) == 0)
  expectRefusal(.limitFile) { try GGUFFile(path) }
}
