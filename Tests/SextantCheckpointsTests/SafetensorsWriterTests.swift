import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// One element of each type, and the order and header that the reference library (0.8.0) gives them.
@Test func writesTheBytesOfTheReferenceLibrary() throws {
  var writer = SafetensorsWriter(metadata: ["x": "1"])
  for type in DataType.elementTypes {
    let bytes = [UInt8](repeating: 0, count: type.byteWidth)
    try writer.add("t.\(type.rawValue)", type, shape: [1], bytes: bytes)
  }
  writer.add("a", Tensor([1], shape: [1]))
  writer.add("z", Tensor([-2], shape: []))
  writer.add("0", Tensor(zeros: [0, 2]))
  try writer.add("é\"\\/", .f32, shape: [1], bytes: [0, 0, 0, 0])

  let header = #"""
    {"__metadata__":{"x":"1"},"t.U64":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},\#
    "t.I64":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},\#
    "t.F64":{"dtype":"F64","shape":[1],"data_offsets":[16,24]},\#
    "0":{"dtype":"F32","shape":[0,2],"data_offsets":[24,24]},\#
    "a":{"dtype":"F32","shape":[1],"data_offsets":[24,28]},\#
    "t.F32":{"dtype":"F32","shape":[1],"data_offsets":[28,32]},\#
    "z":{"dtype":"F32","shape":[],"data_offsets":[32,36]},\#
    "é\"\\/":{"dtype":"F32","shape":[1],"data_offsets":[36,40]},\#
    "t.U32":{"dtype":"U32","shape":[1],"data_offsets":[40,44]},\#
    "t.I32":{"dtype":"I32","shape":[1],"data_offsets":[44,48]},\#
    "t.BF16":{"dtype":"BF16","shape":[1],"data_offsets":[48,50]},\#
    "t.F16":{"dtype":"F16","shape":[1],"data_offsets":[50,52]},\#
    "t.U16":{"dtype":"U16","shape":[1],"data_offsets":[52,54]},\#
    "t.I16":{"dtype":"I16","shape":[1],"data_offsets":[54,56]},\#
    "t.I8":{"dtype":"I8","shape":[1],"data_offsets":[56,57]},\#
    "t.U8":{"dtype":"U8","shape":[1],"data_offsets":[57,58]},\#
    "t.BOOL":{"dtype":"BOOL","shape":[1],"data_offsets":[58,59]}}
    """#
  let zeros = { (count: Int) in [UInt8](repeating: 0, count: count) }
  let data = zeros(24) + [0, 0, 0x80, 0x3F] + zeros(4) + [0, 0, 0, 0xC0] + zeros(23)
  #expect(try writer.bytes() == RawSafetensors.file(header: header, data: data, padded: true))
}

/// The writer makes the same bytes as the reference library (`fixtures/generate` has the digest).
@Test(
  arguments: [
    "huggingface/model.safetensors", "bf16/model.safetensors", "state-spaces/model.safetensors",
    "sharded/model-00002-of-00003.safetensors",
  ])
func copiesFilesOfTheReferenceLibraryExactly(_ name: String) throws {
  let path = PackageFiles.fixture("mamba-tiny/\(name)")
  let original = try SafetensorsFile(path)
  var writer = SafetensorsWriter(metadata: original.metadata)
  for tensor in original.tensors.reversed() {
    try writer.add(tensor.name, tensor.dataType, shape: tensor.shape) { sink throws(Refusal) in
      try original.read(tensor, sink)
    }
  }
  #expect(try writer.bytes() == InputFile(path).readAll(limit: 1 << 30))
}

@Test func orderOfAddingDoesNotMatter() throws {
  var numbers = SplitMix64(seed: 3)
  let tensors = (0..<20).map { index in
    (name: "t\(index)", type: index.isMultiple(of: 3) ? DataType.f16 : .i64, seed: numbers.next())
  }
  var files = Set<[UInt8]>()
  for _ in 0..<5 {
    var writer = SafetensorsWriter()
    for tensor in tensors.shuffled(using: &numbers) {
      var own = SplitMix64(seed: tensor.seed)
      let bytes = own.bytes(4 * tensor.type.byteWidth)
      try writer.add(tensor.name, tensor.type, shape: [2, 2], bytes: bytes)
    }
    for (key, value) in [("b", "2"), ("a", "1"), ("c", "3")].shuffled(using: &numbers) {
      writer.metadata[key] = value
    }
    files.insert(try writer.bytes())
  }
  #expect(files.count == 1)
}

@Test func publishesWhatBytesReturns() throws {
  let folder = TemporaryFolder()
  var writer = SafetensorsWriter(metadata: ["note": "a\u{1}\n\u{7F}é\u{1F600}"])
  writer.add("v", Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]))
  try writer.add("streamed", .u8, shape: [6]) { sink throws(Refusal) in
    for bytes: [UInt8] in [[1, 2], [], [3, 4, 5], [6]] {
      let tensor = bytes.withUnsafeBytes {
        Tensor(copying: $0, dataType: .u8, shape: [bytes.count])
      }
      try tensor?.withUnsafeBytes(sink)
    }
  }
  let path = folder.path("out.safetensors")
  try writer.publish(to: path)
  #expect(folder.entries == ["out.safetensors"])
  #expect(try InputFile(path).readAll(limit: 1 << 20) == writer.bytes())

  let file = try SafetensorsFile(path)
  #expect(file.metadata == writer.metadata)
  let streamed = try #require(file.tensor(named: "streamed"))
  #expect(try file.bytes(of: streamed) == [1, 2, 3, 4, 5, 6])
}

@Test func dataStartsAtAMultipleOfEight() throws {
  for length in 1...16 {
    var writer = SafetensorsWriter()
    try writer.add(String(repeating: "n", count: length), .u8, shape: [1], bytes: [9])
    let bytes = try writer.bytes()
    #expect(bytes.count % 8 == 1)
    #expect(bytes.last == 9)
  }
}

@Test func replacesOnlyWhenAsked() throws {
  let folder = TemporaryFolder()
  let path = folder.write("old", to: "out.safetensors")
  var writer = SafetensorsWriter()
  writer.add("v", Tensor([1], shape: [1]))
  expectRefusal(.fileExists) { try writer.publish(to: path) }
  #expect(try InputFile(path).readAll(limit: 99) == Array("old".utf8))
  try writer.publish(to: path, replacing: true)
  #expect(try SafetensorsFile(path).tensors.count == 1)
}

@Test(arguments: [[], [1, 2], [1, 2, 3, 4]] as [[UInt8]])
func refusesASourceOfAnotherLengthAndLeavesNothing(_ bytes: [UInt8]) throws {
  let folder = TemporaryFolder()
  var writer = SafetensorsWriter()
  try writer.add("v", .u8, shape: [3], bytes: bytes)
  expectRefusal(.safetensorsSizeMismatch) { try writer.bytes() }
  expectRefusal(.safetensorsSizeMismatch) { try writer.publish(to: folder.path("x.safetensors")) }
  #expect(folder.entries.isEmpty)
}

@Test(
  arguments: [
    ([""], .safetensorsName), (["a\0"], .safetensorsName), (["../a"], .safetensorsName),
    (["a", "a"], .safetensorsName), (["é", "e\u{301}"], .safetensorsName),
    ([String(repeating: "n", count: 513)], .safetensorsName),
    (["__metadata__"], .safetensorsReservedName), ([], .safetensorsNone),
  ] as [([String], Refusal.Code)])
func refusesToWriteWhatNoReaderAccepts(_ names: [String], _ code: Refusal.Code) {
  var writer = SafetensorsWriter()
  for name in names { writer.add(name, Tensor([1], shape: [1])) }
  expectRefusal(code) { try writer.bytes() }
}

@Test func refusesImpossibleShapes() {
  var writer = SafetensorsWriter()
  expectRefusal(.safetensorsOverflow) {
    try writer.add("v", .f32, shape: [Int.max, 2], bytes: [])
  }
  expectRefusal(.safetensorsOverflow) { try writer.add("v", .f32, shape: [-1], bytes: []) }
  writer.add("deep", Tensor(zeros: [1, 1, 1, 1, 1, 1, 1, 1, 1]))
  expectRefusal(.safetensorsShape) { try writer.bytes() }
}
