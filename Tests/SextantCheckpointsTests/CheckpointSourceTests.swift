import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTestSupport
import Testing

private let model = RawSafetensors.file([("w", "U8", [1], [1])])
private let hdf5: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 0]
private let zip: [UInt8] = [0x50, 0x4B, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0]
private let gguf = Array("GGUF".utf8) + [3, 0, 0, 0, 0, 0, 0, 0]
private let index = Array("{\"weight_map\":{\"w\":\"model-00001-of-00001.safetensors\"}}".utf8)

@Test func findsTheCheckpointAndItsSideFiles() throws {
  let source = try CheckpointSource.open(PackageFiles.fixture("mamba-tiny/huggingface/"))
  let folder = PackageFiles.fixture("mamba-tiny/huggingface")
  #expect(source.folder == folder)
  #expect(source.checkpoint.path == "\(folder)/model.safetensors")
  #expect(source.configuration == "\(folder)/config.json")
  #expect(source.tokenizers.isEmpty)
  #expect(source.sideFile("config.json") != nil)
  #expect(source.warnings.isEmpty)

  let file = try CheckpointSource.open("\(folder)/model.safetensors")
  #expect(file.folder == folder)
  #expect(file.configuration == "\(folder)/config.json")
}

@Test func findsTokenizersBesideTheCheckpointTheOneToPreferFirst() throws {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  let names = [
    "rwkv_vocab_v20230424.txt", "rwkv_vocab_other.txt", "tokenizer.model", "tokenizer.json",
  ]
  for name in names + ["vocab.txt", "rwkv_vocab_v1.json"] { folder.write("x", to: name) }
  let source = try CheckpointSource.open(folder.path)
  #expect(
    source.tokenizers
      == [
        "tokenizer.json", "tokenizer.model", "rwkv_vocab_other.txt", "rwkv_vocab_v20230424.txt",
      ].map { folder.path($0) })
}

@Test func opensShardsByFolderAndByIndex() throws {
  let folder = PackageFiles.fixture("mamba-tiny/sharded")
  for path in [folder, "\(folder)/model.safetensors.index.json"] {
    let source = try CheckpointSource.open(path)
    #expect(source.checkpoint is ShardedCheckpoint)
    #expect(source.configuration == "\(folder)/config.json")
  }
}

@Test func contentDecidesWhereTheNameSaysNothing() throws {
  let folder = TemporaryFolder()
  for name in ["weights", "weights.bin", "weights.SAFETENSORS", "a.b.c"] {
    let source = try CheckpointSource.open(folder.write(model, to: name))
    #expect(source.checkpoint is SafetensorsFile)
    #expect(source.folder == folder.path)
  }
}

@Test(
  arguments: [
    ("m.safetensors", hdf5), ("m.safetensors", gguf), ("m.safetensors", zip), ("m.h5", zip),
    ("m.hdf5", model), ("m.h5", gguf), ("m.pth", hdf5), ("m.gguf", model),
    ("model.safetensors.index.json", model), ("m.safetensors", index), ("m.sxt", model),
    ("m.keras", hdf5),
  ])
func refusesContentThatContradictsTheName(_ name: String, _ bytes: [UInt8]) {
  let folder = TemporaryFolder()
  let path = folder.write(bytes, to: name)
  #expect(expectRefusal(.fileExtensionMismatch) { try CheckpointSource.open(path) }?.file == path)
}

@Test(
  arguments: [
    ("m.sxt", Array("SEXTANT\0".utf8)), ("config.json", Array("{\"a\":1}".utf8)),
    ("m", Array("hello".utf8)), ("weights", index),
  ])
func refusesFormatsThatAreNotRead(_ name: String, _ bytes: [UInt8]) {
  let folder = TemporaryFolder()
  let path = folder.write(bytes, to: name)
  #expect(expectRefusal(.fileUnknown) { try CheckpointSource.open(path) }?.file == path)
}

@Test(
  arguments: [
    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "<!DOCTYPE html><html>", "\n <html lang=\"en\">",
  ])
func refusesPointersAndPages(_ text: String) {
  let folder = TemporaryFolder()
  let path = folder.write(text, to: "model.safetensors")
  expectRefusal(.fileHTML) { try CheckpointSource.open(path) }
  expectRefusal(.fileHTML) { try CheckpointSource.open(folder.path) }
  expectRefusal(.fileHTML) { try SafetensorsFile(path) }
}

@Test func refusesWhatIsNoFile() {
  let folder = TemporaryFolder()
  expectRefusal(.fileMissing) { try CheckpointSource.open(folder.path("absent.safetensors")) }
  expectRefusal(.fileMissing) { try CheckpointSource.open(folder.path("absent/m.safetensors")) }
  expectRefusal(.fileEmpty) { try CheckpointSource.open(folder.write("", to: "e.safetensors")) }
  expectRefusal(.fileTooShort) {
    try CheckpointSource.open(folder.write("abc", to: "s.safetensors"))
  }
  expectRefusal(.fileNotRegular) { try CheckpointSource.open("/dev/zero") }
  expectRefusal(.fileNotRegular) { try SafetensorsFile(folder.path) }
  let fifo = folder.path("pipe.safetensors")
  #expect(mkfifo(fifo, 0o600) == 0)
  expectRefusal(.fileNotRegular) { try CheckpointSource.open(fifo) }
  if geteuid() != 0 {
    let closed = folder.write(model, to: "closed.safetensors")
    chmod(closed, 0)
    expectRefusal(.filePermission) { try CheckpointSource.open(closed) }
  }
}

// MARK: Folders

@Test func aFolderHoldsOneCheckpoint() throws {
  let folder = TemporaryFolder()
  let empty = expectRefusal(.fileMissing) { try CheckpointSource.open(folder.path) }
  #expect(empty?.exitStatus == 66)
  #expect(empty?.file == folder.path)

  folder.write(zip, to: "m.zip")
  let unread = expectRefusal(.fileUnknown) { try CheckpointSource.open(folder.path) }
  #expect(unread?.found.contains("m.zip") == true)
  folder.write(gguf, to: "m.gguf")
  #expect(
    expectRefusal(.ggufTruncated) { try CheckpointSource.open(folder.path) }?.file
      == folder.path("m.gguf"))

  // Another name than the usual one serves as long as it is alone.
  folder.write(model, to: "only.safetensors")
  folder.makeFolder("model.safetensors.d")
  folder.write(model, to: ".hidden.safetensors")
  #expect(try CheckpointSource.open(folder.path).checkpoint.path == folder.path("only.safetensors"))
  folder.write(model, to: "second.safetensors")
  let two = expectRefusal(.indexAmbiguous) { try CheckpointSource.open(folder.path) }
  #expect(two?.found == "\"only.safetensors\", \"second.safetensors\"")

  folder.write(model, to: "model.safetensors")
  #expect(
    try CheckpointSource.open(folder.path).checkpoint.path == folder.path("model.safetensors"))
}

@Test(arguments: ["model.safetensors.index.json", "model.h5", "tf_model.h5"])
func refusesAFolderWithTwoCheckpoints(_ other: String) {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  folder.write(other.hasSuffix("json") ? index : hdf5, to: other)
  let refusal = expectRefusal(.indexAmbiguous) { try CheckpointSource.open(folder.path) }
  #expect(refusal?.found.contains("\"\(other)\"") == true)
  #expect(refusal?.found.contains("\"model.safetensors\"") == true)
}

@Test func shardsDoNotCountBesideTheirIndex() throws {
  let folder = TemporaryFolder()
  folder.write(model, to: "model-00001-of-00001.safetensors")
  folder.write(index, to: "model.safetensors.index.json")
  #expect(try CheckpointSource.open(folder.path).checkpoint is ShardedCheckpoint)
}

@Test func refusesAFolderWithAnUnfinishedDownload() {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  folder.write(model, to: "model.safetensors.incomplete")
  expectRefusal(.indexIncompleteDownload) { try CheckpointSource.open(folder.path) }
}
