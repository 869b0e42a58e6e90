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

@Test(arguments: ["state-dict.pth", "wrapped.pt", "sharded/pytorch_model.bin.index.json"])
func readsWhatTorchWrote(_ file: String) throws {
  let source = try CheckpointSource.open(PackageFiles.fixture("pytorch/\(file)"))
  #expect(source.checkpoint.format == "PyTorch")
  #expect(source.warnings.isEmpty)
  #expect(source.checkpoint.tensors.count == 23)
  try expectSameTensors(
    source.checkpoint, SafetensorsFile(PackageFiles.fixture("pytorch/expected.safetensors")))
  try source.checkpoint.checkUnchanged()
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

/// Archives of the same members, as several writers lay them out.
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

@Test(arguments: ["plain", "before 2.0", "padded", "64-bit", "unused storage"])
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
