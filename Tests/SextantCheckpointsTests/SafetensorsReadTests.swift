import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

@Test func readsEveryDataType() throws {
  let folder = TemporaryFolder()
  var numbers = SplitMix64(seed: 1)
  let tensors = DataType.elementTypes.map { type in
    (
      name: "t.\(type.rawValue)", dataType: type.rawValue, shape: [3, 2],
      bytes: numbers.bytes(6 * type.byteWidth)
    )
  }
  let path = folder.write(
    RawSafetensors.file(tensors, metadata: [("format", "pt"), ("note", "é")]),
    to: "m.safetensors")
  let file = try SafetensorsFile(path)

  #expect(file.path == path)
  #expect(file.format == "safetensors")
  #expect(file.metadata == ["format": "pt", "note": "é"])
  #expect(file.tensors.map(\.name) == tensors.map(\.name).sorted())
  for (name, type, shape, bytes) in tensors {
    let tensor = try #require(file.tensor(named: name))
    #expect(tensor.dataType.rawValue == type)
    #expect(tensor.shape == shape)
    #expect(tensor.byteCount == bytes.count)
    #expect(try file.bytes(of: tensor) == bytes)
  }
}

@Test func readsScalarsAndEmptyTensors() throws {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file([
    ("before", "F32", [0, 4], []), ("scalar", "F32", [], [0, 0, 128, 63]), ("after", "I8", [0], []),
  ])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  #expect(file.tensors.map(\.name) == ["after", "before", "scalar"])
  #expect(file.tensors.map(\.shape) == [[0], [0, 4], []])
  #expect(try file.bytes(of: file.tensors[2]) == [0, 0, 128, 63])
  var pieces = 0
  try file.read(file.tensors[0]) { _ in pieces += 1 }
  #expect(pieces == 0)
}

@Test(
  arguments: [
    "model/layers.0", "backbone/layers/0", "a..b", "...", "a/...", "ü", "名前", "a b",
    String(repeating: "n", count: 512),
  ])
func acceptsNamesThatOnlyLookUnusual(_ name: String) throws {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file([(name, "U8", [1], [7])])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  #expect(file.tensors.map(\.name) == [name])
}

@Test func acceptsPaddingOfSpacesAndOffsetsInAnyOrder() throws {
  let folder = TemporaryFolder()
  let second = RawSafetensors.entry("a", "U8", [2], 2, 4)
  let first = RawSafetensors.entry("b", "U8", [2], 0, 2)
  let bytes = RawSafetensors.file(header: "{\(second), \n\t\(first)}     ", data: [1, 2, 3, 4])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  #expect(try file.bytes(of: file.tensors[0]) == [3, 4])
  #expect(try file.bytes(of: file.tensors[1]) == [1, 2])
}

@Test func handsOverLargeTensorsInBoundedPiecesOfWholeElements() throws {
  let folder = TemporaryFolder()
  let count = (9 << 20) / 8 + 1
  var numbers = SplitMix64(seed: 2)
  var data = [UInt8](repeating: 0, count: 8 * count)
  for _ in 0..<1000 { data[numbers.int(below: data.count)] = UInt8(numbers.int(below: 256)) }
  let bytes = RawSafetensors.file([("a", "U8", [3], [1, 2, 3]), ("big", "F64", [count], data)])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  var sizes: [Int] = []
  var digest = SHA256()
  try file.read(file.tensors[1]) { piece in
    sizes.append(piece.count)
    digest.update(piece)
  }
  #expect(sizes == Array(repeating: 1 << 18, count: 36) + [8])
  #expect(digest.finalize() == SHA256.digest(data))
}

@Test func tensorsStandInTheFileAsTheyAreRead() throws {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file([("a", "U8", [3], [1, 2, 3]), ("b", "U8", [0], [])])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  for tensor in file.tensors {
    let part = try #require(file.part(of: tensor))
    #expect(
      try part.file.read(at: part.range.lowerBound, count: part.range.count)
        == file.bytes(of: tensor))
  }
  let other = CheckpointTensor(name: "c", dataType: .u8, shape: [1], byteCount: 1)
  #expect(file.part(of: other) == nil)
}

@Test func stopsWhenThePieceIsRefused() throws {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file([("a", "U8", [3], [1, 2, 3])])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  expectRefusal(.diskFull) {
    try file.read(file.tensors[0]) { _ throws(Refusal) in
      throw Refusal(.diskFull, found: "", expected: "")
    }
  }
}

@Test func refusesATensorOfAnotherCheckpoint() throws {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file([("a", "U8", [3], [1, 2, 3])])
  let file = try SafetensorsFile(folder.write(bytes, to: "m.safetensors"))
  for stranger in [
    CheckpointTensor(name: "b", dataType: .u8, shape: [3], byteCount: 3),
    CheckpointTensor(name: "a", dataType: .u8, shape: [300], byteCount: 300),
  ] {
    expectRefusal(.modelTensorMissing) { try file.bytes(of: stranger) }
  }
  #expect(file.tensor(named: "b") == nil)
}

@Test func noticesThatTheFileChanged() throws {
  let folder = TemporaryFolder()
  let bytes = RawSafetensors.file([("a", "U8", [3], [1, 2, 3])])
  let path = folder.write(bytes, to: "m.safetensors")
  let file = try SafetensorsFile(path)
  try file.checkUnchanged()
  #expect(file.reads(path: path))
  #expect(file.reads(path: folder.makeLink("link", to: path)))
  #expect(!file.reads(path: folder.write(bytes, to: "other")))

  folder.write(Array(bytes.dropLast()), to: "m.safetensors")
  expectRefusal(.fileChanged) { try file.checkUnchanged() }
  expectRefusal(.fileTooShort) { try file.bytes(of: file.tensors[0]) }
}

@Test func longStringsAreAcceptedOnlyWhereAskedFor() throws {
  let folder = TemporaryFolder()
  let manifest = String(repeating: "m", count: 100_000)
  let bytes = RawSafetensors.file([("a", "U8", [1], [1])], metadata: [("manifest", manifest)])
  let path = folder.write(bytes, to: "m.safetensors")
  expectRefusal(.jsonTooLong) { try SafetensorsFile(path) }
  #expect(try SafetensorsFile(path, stringLimit: 1 << 20).metadata["manifest"] == manifest)
}

@Test(
  arguments: [
    ("huggingface/model.safetensors", 1), ("bf16/model.safetensors", 1),
    ("f16/model.safetensors", 1), ("state-spaces/model.safetensors", 0),
    ("goldens/f32.safetensors", 0),
  ])
func readsFilesOfTheReferenceLibrary(_ path: String, _ metadataCount: Int) throws {
  let file = try SafetensorsFile(PackageFiles.fixture("mamba-tiny/\(path)"))
  #expect(!file.tensors.isEmpty)
  for tensor in file.tensors {
    #expect(try file.bytes(of: tensor).count == tensor.byteCount)
  }
  try file.checkUnchanged()
}
