import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// The tensors of two checkpoints are the same, byte for byte.
private func expectSameTensors(_ a: any Checkpoint, _ b: any Checkpoint) throws {
  #expect(a.tensors == b.tensors)
  for tensor in b.tensors {
    #expect(try a.bytes(of: tensor) == b.bytes(of: tensor), "\(tensor.name)")
  }
}

@Test(
  arguments: [
    "state-dict.pth", "sharded/pytorch_model.bin.index.json", "habits/protocol-3.pth",
    "habits/protocol-4.pth", "habits/protocol-5.pth", "habits/legacy-2.pth", "habits/legacy-4.pth",
  ])
func readsWhatTorchWrote(_ file: String) throws {
  let source = try CheckpointSource.open(PackageFiles.fixture("pytorch/\(file)"))
  #expect(source.checkpoint.format == "PyTorch")
  #expect(source.warnings.isEmpty)
  #expect(source.checkpoint.tensors.count == 23)
  try expectSameTensors(
    source.checkpoint, SafetensorsFile(PackageFiles.fixture("pytorch/expected.safetensors")))
  try source.checkpoint.checkUnchanged()
}

/// The tensors of a fixture by name: floats as numbers, other types as bytes.
private func contents(_ file: String) throws -> [String: [Double]] {
  let file = try PyTorchFile(PackageFiles.fixture("pytorch/\(file)"))
  var result: [String: [Double]] = [:]
  for tensor in file.tensors {
    let bytes = try file.bytes(of: tensor)
    result[tensor.name] =
      tensor.dataType == .f32
      ? stride(from: 0, to: bytes.count, by: 4).map { place in
        bytes.withUnsafeBytes { Double($0.loadUnaligned(fromByteOffset: place, as: Float.self)) }
      } : bytes.map(Double.init)
  }
  return result
}

@Test func namesTensorsByTheirPlaceInAFile() throws {
  let file = try PyTorchFile(PackageFiles.fixture("pytorch/wrapped.pt"))
  let expected = try SafetensorsFile(PackageFiles.fixture("pytorch/expected.safetensors"))
  #expect(
    file.tensors.map(\.name).sorted()
      == (expected.tensors.map { "state_dict.module.\($0.name)" } + ["optimizer.state.0.exp_avg"])
      .sorted())
  for tensor in expected.tensors {
    let wrapped = try #require(file.tensor(named: "state_dict.module.\(tensor.name)"))
    #expect(try file.bytes(of: wrapped) == expected.bytes(of: tensor))
  }
  #expect(try contents("habits/list.pth") == ["0": [0, 0.25], "1.b": [0.75]])
}

@Test(arguments: [2, 4])
func readsTensorsBesideTheOtherValuesOfATrainingProgram(_ pickleProtocol: Int) throws {
  #expect(
    try contents("habits/training-\(pickleProtocol).pt") == [
      "model.w": [0, 0.25, 0.5, 0.75], "rng": [0, 1, 2, 3, 4, 5, 6, 7],
      "optimizer.state.0.exp_avg": [0, 0.25], "averages.0": [1], "averages.1.0": [1.25],
    ])
}

@Test func readsViewsThatRepeatElements() throws {
  #expect(
    try contents("habits/expanded.pth") == [
      "ones": [1, 1, 1, 1], "rows": [0, 0.25, 0.5, 0, 0.25, 0.5],
      "windows": [0, 0.25, 0.5, 0.25, 0.5, 0.75, 0.5, 0.75, 1], "scalar": [0.5, 0.5, 0.5, 0.5],
    ])
}

@Test func readsUnsignedIntegersAndTensorsWithAttributes() throws {
  #expect(
    try contents("habits/attributes.pth") == [
      "parameter": [5, 5.25], "tensor": [7.5, 7.75], "u16": [255, 255, 1, 0],
      "u32": [255, 255, 255, 255], "u64": [Double](repeating: 255, count: 8),
    ])
}

/// Python 2 wrote an `OrderedDict` as a call with a list of pairs, and texts as byte strings.
@Test func readsThePicklesOfPython2() throws {
  func text(_ text: String) -> [UInt8] { [0x55, UInt8(text.utf8.count)] + Array(text.utf8) }
  let weight = RawPyTorch.tensor(
    RawPyTorch.storage("0", "ByteStorage", count: 2), shape: [2], strides: [1])
  let pairs = [0x5D] + Array("(](".utf8) + text("w") + weight + Array("ee".utf8)
  let pickle = RawPyTorch.pickle(
    RawPyTorch.global("collections", "OrderedDict") + pairs + [0x85, 0x52])
  let folder = TemporaryFolder()
  let file = try PyTorchFile(
    folder.write(RawPyTorch.legacyFile(pickle: pickle, storages: [("0", 1, [7, 8])]), to: "m.pth"))
  #expect(try file.tensors.map { [$0.name: try file.bytes(of: $0)] } == [["w": [7, 8]]])
}

/// `SEXTANT_PYTORCH_FILES` names a folder of `.pth` files with `.safetensors` twins.
private let published: [String] = {
  guard let path = getenv("SEXTANT_PYTORCH_FILES").map({ String(cString: $0) }),
    let folder = opendir(path)
  else { return [] }
  defer { closedir(folder) }
  var files: [String] = []
  while let entry = readdir(folder) {
    let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name.hasSuffix(".pth") { files.append("\(path)/\(name)") }
  }
  return files
}()

@Test(.enabled(if: !published.isEmpty), arguments: published)
func publishedFilesEqualTheirTwins(_ path: String) throws {
  let twin = try SafetensorsFile(String(path.dropLast(4)) + ".safetensors")
  try expectSameTensors(PyTorchFile(path), twin)
}

// MARK: Archives

private let pickle = RawPyTorch.pickle(
  RawPyTorch.dictionary([
    (
      "w",
      RawPyTorch.tensor(
        RawPyTorch.storage("7", "ByteStorage", count: 6), shape: [3, 2], strides: [1, 3])
    )
  ]))
private let storages: [(key: String, bytes: [UInt8])] = [("7", [0, 1, 2, 3, 4, 5])]

/// Archives with the same members, in the layouts of several writers.
private func archive(_ name: String) -> [UInt8] {
  var members = RawPyTorch.members(pickle: pickle, storages: storages)
  switch name {
  case "before 2.0":
    members.remove(at: 1)
    for place in members.indices { members[place].descriptorWidth = 4 }
  case "padded":
    for place in members.indices {
      members[place].flags = 0x800
      members[place].descriptorWidth = 4
      members[place].extra = Array("FB".utf8) + [3, 0] + Array("ZZZ".utf8)
    }
  // torch.save writes this for a storage of 4 GiB or more: one of the sizes is before the data.
  case "size before the data":
    for place in members.indices {
      members[place].descriptorWidth = 8
      members[place].extra =
        [1, 0, 16, 0] + members[place].bytes.count.littleEndianBytes
        + [UInt8](repeating: 0, count: 8)
    }
  case "64-bit":
    for place in members.indices {
      members[place].descriptorWidth = 8
      members[place].isWide = true
    }
  case "unused storage":
    members.append(RawZip.Member("model/data/8", "abc"))
  default: break
  }
  return RawZip.file(members, isWide: name != "plain")
}

@Test(
  arguments: ["plain", "before 2.0", "padded", "size before the data", "64-bit", "unused storage"])
func readsEveryLayoutOfTheArchive(_ name: String) throws {
  let folder = TemporaryFolder()
  let path = folder.write(archive(name), to: "m.pth")
  let file = try PyTorchFile(path)
  #expect(
    file.tensors == [CheckpointTensor(name: "w", dataType: .u8, shape: [3, 2], byteCount: 6)])
  #expect(try file.bytes(of: file.tensors[0]) == [0, 3, 1, 4, 2, 5])
  #expect(file.reads(path: path))
  #expect(file.metadata.isEmpty)
  let other = CheckpointTensor(name: "w", dataType: .u8, shape: [6], byteCount: 6)
  expectRefusal(.modelTensorMissing) { try file.bytes(of: other) }
  folder.write("other", to: "m.pth")
  expectRefusal(.fileChanged) { try file.checkUnchanged() }
}

@Test func aTensorAloneIsADictOfOne() throws {
  let pickle = RawPyTorch.pickle(
    RawPyTorch.tensor(RawPyTorch.storage("0", count: 2), shape: [2], strides: [1]))
  let folder = TemporaryFolder()
  let bytes = [1, 2].flatMap { Float($0).bitPattern.littleEndianBytes }
  let file = try PyTorchFile(
    folder.write(RawPyTorch.file(pickle: pickle, storages: [("0", bytes)]), to: "v.pt"))
  #expect(file.tensors.map(\.name) == ["tensor"])
  #expect(try file.bytes(of: file.tensors[0]) == bytes)
}

@Test func readsTensorsBeyondOnePiece() throws {
  let (rows, columns) = (1100, 1003)
  var elements = [UInt8](repeating: 0, count: rows * columns * 4)
  for place in 0..<rows * columns {
    elements.replaceSubrange(place * 4..<place * 4 + 4, with: UInt32(place).littleEndianBytes)
  }
  let storage = RawPyTorch.storage("0", "IntStorage", count: rows * columns)
  let pickle = RawPyTorch.pickle(
    RawPyTorch.dictionary([
      ("plain", RawPyTorch.tensor(storage, shape: [rows, columns], strides: [columns, 1])),
      ("turned", RawPyTorch.tensor(storage, shape: [columns, rows], strides: [1, columns])),
      (
        "part",
        RawPyTorch.tensor(storage, offset: 5, shape: [rows - 1, columns], strides: [columns, 1])
      ),
    ]))
  let folder = TemporaryFolder()
  let file = try PyTorchFile(
    folder.write(RawPyTorch.file(pickle: pickle, storages: [("0", elements)]), to: "m.pth"))
  var pieces = 0
  for tensor in file.tensors {
    var place = 0
    try file.read(tensor) { piece in
      pieces += 1
      #expect(piece.count <= 256 << 10)
      for offset in stride(from: 0, to: piece.count, by: 4) {
        let value = Int(piece.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        let (row, column) = place.quotientAndRemainder(dividingBy: rows)
        let expected =
          switch tensor.name {
          case "turned": column * columns + row
          case "part": place + 5
          default: place
          }
        if value != expected { Issue.record("\(tensor.name)[\(place)] is \(value)") }
        place += 1
      }
    }
    #expect(place == tensor.byteCount / 4)
  }
  #expect(pieces == 51)
}

// MARK: Folders

@Test func aFolderOfPyTorchFilesCountsWhereThereIsNothingElse() throws {
  let folder = TemporaryFolder()
  folder.write(archive("plain"), to: "training.pt")
  #expect(try CheckpointSource.open(folder.path).checkpoint.path == folder.path("training.pt"))
  folder.write(archive("plain"), to: "pytorch_model.bin")
  #expect(
    try CheckpointSource.open(folder.path).checkpoint.path == folder.path("pytorch_model.bin"))
  folder.write("{\"weight_map\":{}}", to: "pytorch_model.bin.index.json")
  #expect(
    try CheckpointSource.open(folder.path).checkpoint.path == folder.path("pytorch_model.bin"))
  folder.write(RawSafetensors.file([("w", "U8", [1], [1])]), to: "model.safetensors")
  #expect(try CheckpointSource.open(folder.path).checkpoint.format == "safetensors")
}
