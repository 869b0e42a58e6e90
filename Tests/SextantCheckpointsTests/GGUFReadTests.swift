import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

private let types = PackageFiles.fixture("gguf/types.gguf")
private let quantised = [
  "Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0",
]

/// The elements of a tensor as f32.
private func floats(_ name: String, of checkpoint: any Checkpoint) throws -> [Float] {
  let tensor = try #require(checkpoint.tensor(named: name))
  let bytes = try checkpoint.bytes(of: tensor)
  let elements = bytes.withUnsafeBytes {
    Tensor(copying: $0, dataType: tensor.dataType, shape: tensor.shape)?.converted(to: .f32)
  }
  return try #require(elements).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
}

/// Bit for bit: the arithmetic is done in the reference's order.
@Test(arguments: quantised + ["F32", "F16", "BF16"])
func readsEachTensorTypeAsTheReferenceDoes(_ name: String) throws {
  let file = try GGUFFile(types)
  let expected = try SafetensorsFile(PackageFiles.fixture("gguf/expected.safetensors"))
  let tensor = try #require(file.tensor(named: name))
  #expect(tensor.shape == expected.tensor(named: name)?.shape)
  #expect(tensor.encoding == (quantised.contains(name) ? name : nil))
  #expect(tensor.dataType == ["F16": .f16, "BF16": .bf16][name, default: .f32])
  let (found, wanted) = (try floats(name, of: file), try floats(name, of: expected))
  #expect(found.map(\.bitPattern) == wanted.map(\.bitPattern))
}

@Test func readsEachMetadataType() throws {
  let file = try GGUFFile(types)
  let integers: [(String, Int64)] = [
    ("u8", 255), ("i8", -128), ("u16", 65_535), ("i16", -32_768), ("u32", 4_294_967_295),
    ("i32", -2_147_483_648), ("u64", .max), ("i64", .min),
  ]
  for (name, value) in integers { #expect(file.values["value.\(name)"] == .integer(value)) }
  #expect(file.values["value.f32"] == .number(Double(Float(0.1))))
  #expect(file.values["value.f64"] == .number(0.1))
  #expect(file.values["value.bool"] == .boolean(true))
  #expect(file.values["value.string"] == .string("naïve"))
  #expect(file.metadata["value.string"] == "naïve")
  #expect(file.metadata["value.strings"] == nil)

  func array(_ key: String) throws -> GGUFArray {
    guard case .array(let array)? = file.values[key] else { throw TestFailure() }
    return array
  }
  struct TestFailure: Error {}
  #expect(try file.strings(of: array("value.strings")) == ["", "a", "日本"])
  #expect(try file.integers(of: array("value.integers")) == [-3, 0, 7])
  #expect(try file.integers(of: array("value.strings")) == nil)
  #expect(try file.strings(of: array("value.booleans")) == nil)
}

@Test func onlyWhatIsNotQuantisedStandsInTheFile() throws {
  let file = try GGUFFile(types)
  for tensor in file.tensors {
    let part = file.part(of: tensor)
    #expect((part == nil) == (tensor.encoding != nil), "\(tensor.name)")
    guard let part else { continue }
    let stored = try part.file.read(at: part.range.lowerBound, count: part.range.count)
    #expect(try file.bytes(of: tensor) == stored, "\(tensor.name)")
  }
}

@Test func aSourceIsTheFile() throws {
  let source = try CheckpointSource.open(types)
  #expect(source.checkpoint.format == "GGUF")
  #expect(source.warnings.isEmpty)
  #expect(source.checkpoint.reads(path: types))
  try source.checkpoint.checkUnchanged()
}

/// The blocks of a type that native models have, as they are in the file; their elements are those that the file's
/// tensor has.
@Test(arguments: quantised)
func blocksAreReadAsTheyAre(_ name: String) throws {
  let file = try GGUFFile(types)
  let tensor = try #require(file.tensor(named: name))
  guard let blocks = tensor.inBlocks else {
    #expect(["Q2_K", "Q3_K"].contains(name))
    return
  }
  #expect(blocks.dataType.rawValue == name && blocks.shape == tensor.shape)
  let bytes = try file.bytes(of: blocks)
  #expect(bytes.count == blocks.byteCount && blocks.inBlocks == nil)
  let kept = bytes.withUnsafeBytes {
    Tensor(copying: $0, dataType: blocks.dataType, shape: blocks.shape)
  }
  let elements = try #require(kept?.converted(to: .f32)).withUnsafeBytes { Array($0) }
  #expect(try elements == file.bytes(of: tensor))
}

/// Pieces contain whole blocks, so that a tensor read in several pieces has the same elements.
@Test func readsATensorInPieces() throws {
  let folder = TemporaryFolder()
  // A Q8_0 block of 32 ones, 40,000 times: more than one piece of 2^20 elements.
  let block: [UInt8] = [0x00, 0x3C] + [UInt8](repeating: 1, count: 32)
  let rows = 40_000
  var data: [UInt8] = []
  for _ in 0..<rows { data += block }
  let bytes = RawGGUF.file(
    tensors: [RawGGUF.tensor("w", [32, UInt64(rows)], type: 8)], data: data)
  let file = try GGUFFile(folder.write(bytes, to: "m.gguf"))
  #expect(file.tensors[0].shape == [rows, 32])
  var pieces: [Int] = []
  try file.read(file.tensors[0]) { piece throws(Refusal) in
    pieces.append(piece.count)
    let isOne = piece.bindMemory(to: Float.self).allSatisfy { $0 == 1 }
    #expect(isOne)
  }
  #expect(pieces == [4 << 20, rows * 32 * 4 - (4 << 20)])
}

@Test(arguments: [2, 3] as [UInt32], [32, 64])
func acceptsWhatWritersDo(_ version: UInt32, _ alignment: Int) throws {
  let folder = TemporaryFolder()
  let bytes = RawGGUF.file(
    version: version, values: [RawGGUF.entry("general.alignment", UInt32(alignment))],
    tensors: [
      RawGGUF.tensor("a", [1]), RawGGUF.tensor("b", [2, 3, 1, 1], offset: UInt64(alignment)),
    ],
    data: [UInt8](repeating: 1, count: alignment + 24), alignment: alignment)
  let padded = bytes + [UInt8](repeating: 0, count: alignment - 24)
  for bytes in [bytes, padded] {
    let file = try GGUFFile(folder.write(bytes, to: "m.gguf"))
    #expect(file.tensors.map(\.shape) == [[1], [1, 1, 3, 2]])
    #expect(try file.bytes(of: file.tensors[1]) == [UInt8](repeating: 1, count: 24))
  }
}

@Test func refusesToReadATensorOfAnotherFile() throws {
  let file = try GGUFFile(types)
  let other = CheckpointTensor(name: "F32", dataType: .f32, shape: [30], byteCount: 120)
  expectRefusal(.modelTensorMissing) { try file.bytes(of: other) }
}

@Test func doublesAreReadAsTheyAre() throws {
  let values = [1.5, -1e300, 0x1p-30]
  let bytes = RawGGUF.file(
    tensors: [RawGGUF.tensor("w", [3], type: 28)],
    data: values.flatMap { $0.bitPattern.littleEndianBytes })
  let folder = TemporaryFolder()
  let file = try GGUFFile(folder.write(bytes, to: "m.gguf"))
  let tensor = try #require(file.tensor(named: "w"))
  #expect(tensor.dataType == .f64 && tensor.byteCount == 24 && tensor.encoding == nil)
  #expect(try file.bytes(of: tensor) == values.flatMap { $0.bitPattern.littleEndianBytes })
  #expect(file.part(of: tensor)?.range.count == 24)
}
