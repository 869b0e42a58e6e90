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

  // A file with an unusual name is read if it is the only one.
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

/// Which file of a folder is read, and which are left out. transformers has the same order; it refuses other
/// names than its own.
@Test(
  arguments: [
    (["model.safetensors", "model.safetensors.index.json"], ["model.safetensors.index.json"]),
    (["model.safetensors", "pytorch_model.bin"], ["pytorch_model.bin"]),
    (["model.safetensors", "model.h5"], ["model.h5"]),
    (
      ["model.safetensors", "flax_model.msgpack", "model.gguf", "model.onnx", "tf_model.h5"],
      ["flax_model.msgpack", "model.gguf", "model.onnx", "tf_model.h5"]
    ),
    (["model.safetensors", "consolidated.safetensors"], ["consolidated.safetensors"]),
    (
      ["model.safetensors.index.json", "pytorch_model.bin.index.json", "pytorch_model.bin"],
      ["pytorch_model.bin", "pytorch_model.bin.index.json"]
    ),
    (["only.safetensors", "model.gguf", "other.gguf"], ["model.gguf", "other.gguf"]),
    (
      ["model.safetensors", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"],
      ["pytorch_model.bin.index.json"]
    ),
    (["model.safetensors", "optimizer.pt", "rng_state_0.pth", "training_args.bin"], []),
    (["model.safetensors", "adapter_model.safetensors", "notes.txt", "config.json"], []),
  ] as [([String], [String])])
func readsOneOfSeveralFormatsAndNamesTheOthers(_ files: [String], _ leftOut: [String]) throws {
  let folder = TemporaryFolder()
  for name in files {
    folder.write(name.hasSuffix(".index.json") ? index : name == files[0] ? model : zip, to: name)
  }
  // A shard belongs to its index.
  let shard = "model-00001-of-00001.safetensors"
  if files.contains("model.safetensors.index.json") { folder.write(model, to: shard) }
  let source = try CheckpointSource.open(folder.path)
  #expect(source.checkpoint.path == folder.path(files[0]))
  let note = try #require(leftOut.isEmpty ? "" : source.warnings.first)
  for name in files + [shard] {
    #expect(note.contains("\"\(name)\"") == leftOut.contains(name), "\(name): \(note)")
  }
}

/// A file of PyTorch, a tensor of one byte in a dict under this name, or of this pickle.
private func pytorch(_ body: [UInt8]? = nil) -> [UInt8] {
  let storage = RawPyTorch.storage("0", "ByteStorage", count: 1)
  let tensor = RawPyTorch.tensor(storage, shape: [1], strides: [1])
  return RawPyTorch.file(
    pickle: RawPyTorch.pickle(body ?? RawPyTorch.dictionary([("w", tensor)])),
    storages: [("0", [1])])
}

@Test(
  arguments: [
    "optimizer.pt", "optimizer.bin", "optimizer_1.bin", "scheduler.pt", "rng_state.pth",
    "rng_state_12.pth", "scaler.pt", "training_args.bin", "training_state.pt", "sampler.bin",
    "zero_pp_rank_0_mp_rank_00_optim_states.pt", "lr_scheduler.pt",
  ])
func whatATrainingRunKeepsIsNoModel(_ name: String) throws {
  let folder = TemporaryFolder()
  folder.write(pytorch(), to: name)
  let alone = expectRefusal(.fileMissing) { try CheckpointSource.open(folder.path) }
  #expect(alone?.found.contains("\"\(name)\"") == true)
  let path = folder.write(pytorch(), to: "model.pth")
  let source = try CheckpointSource.open(folder.path)
  #expect(source.checkpoint.path == path && source.warnings.isEmpty)
}

/// The content of a file determines its kind if the name does not.
@Test func ofFilesOfPyTorchTheOneWithTensorsIsTheModel() throws {
  let folder = TemporaryFolder()
  let path = folder.write(pytorch(), to: "model.pth")
  folder.write(pytorch(RawPyTorch.dictionary([("lr", RawPyTorch.integer(1))])), to: "args.pt")
  folder.write(pytorch(RawPyTorch.global("argparse", "Namespace")), to: "my.pt")
  folder.write("words", to: "words.pt")
  let source = try CheckpointSource.open(folder.path)
  #expect(source.checkpoint.path == path)
  #expect(source.warnings.first?.contains("\"args.pt\", \"my.pt\", \"words.pt\"") == true)
  // A damaged file may be the model, so it is not skipped.
  folder.write(Array(pytorch().dropLast(30)), to: "last.pth")
  let refusal = expectRefusal(.indexAmbiguous) { try CheckpointSource.open(folder.path) }
  #expect(refusal?.found == "\"last.pth\", \"model.pth\"")
}

@Test func shardsWithoutTheirIndexAreNamedAsSuch() {
  let folder = TemporaryFolder()
  for part in 1...2 { folder.write(model, to: "model-0000\(part)-of-00002.safetensors") }
  let refusal = expectRefusal(.indexAmbiguous) { try CheckpointSource.open(folder.path) }
  #expect(refusal?.remedy.contains("model.safetensors.index.json") == true)
}

@Test func anAdapterAloneIsOpenedToTellWhatItIs() throws {
  let folder = TemporaryFolder()
  let path = folder.write(model, to: "adapter_model.safetensors")
  #expect(try CheckpointSource.open(folder.path).checkpoint.path == path)
}

@Test func shardsDoNotCountBesideTheirIndex() throws {
  let folder = TemporaryFolder()
  folder.write(model, to: "model-00001-of-00001.safetensors")
  folder.write(index, to: "model.safetensors.index.json")
  #expect(try CheckpointSource.open(folder.path).checkpoint is ShardedCheckpoint)
}

@Test(
  arguments: [
    "model.safetensors.incomplete", "model.safetensors.aria2", "deadbeef.incomplete",
    "config.json.part",
    "tokenizer.json.crdownload", "model.safetensors.index.json.part", "Unconfirmed 12.crdownload",
    "model-00002-of-00002.safetensors.0123456789abcdef.incomplete",
  ])
func refusesAFolderWithAnUnfinishedDownloadOfAFileThatMatters(_ name: String) {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  folder.write(model, to: name)
  let refusal = expectRefusal(.indexIncompleteDownload) { try CheckpointSource.open(folder.path) }
  #expect(refusal?.found == "\"\(name)\"")
}

@Test(
  arguments: [
    "training.log.part", "README.md.part", "optimizer.pt.part", "pytorch_model.bin.part",
    "model.gguf.incomplete", "flax_model.msgpack.aria2", "trainer_state.json.part",
    "a.png.crdownload",
  ])
func anUnfinishedDownloadOfAnotherFileDoesNoHarm(_ name: String) throws {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  folder.write(model, to: name)
  #expect(try CheckpointSource.open(folder.path).warnings.isEmpty)
}

@Test func anUnfinishedDownloadOfPreferredWeightsMattersWhereOthersAreComplete() {
  let folder = TemporaryFolder()
  folder.write(pytorch(), to: "pytorch_model.bin")
  folder.write(model, to: "model.safetensors.part")
  expectRefusal(.indexIncompleteDownload) { try CheckpointSource.open(folder.path) }
}

// MARK: Folders inside a folder

/// The cache of the hub and the folder of a training run have their weights in inner folders.
@Test(
  arguments: [
    (["snapshots/0a1b/model.safetensors", "refs/x.txt", "blobs/00ff"], ["snapshots/0a1b"]),
    (
      ["snapshots/0a1b/model.safetensors", "snapshots/ffee/pytorch_model.bin"],
      ["snapshots/0a1b", "snapshots/ffee"]
    ),
    (
      ["checkpoint-1000/model.safetensors", "checkpoint-500/model.safetensors", "runs/a.txt"],
      ["checkpoint-500", "checkpoint-1000"]
    ),
    (["a/b/model-00001-of-00002.safetensors", "a/b/model.safetensors.index.json"], ["a/b"]),
    (["models--org--name/snapshots/0a1b/model.safetensors"], ["models--org--name/snapshots/0a1b"]),
    (["a/b/c/d/model.safetensors"], []), (["a/config.json", "b/optimizer.pt"], []),
    ([".cache/model.safetensors"], []),
  ])
func foldersInsideThatHaveWeightsAreNamed(_ files: [String], _ named: [String]) {
  let folder = TemporaryFolder()
  for file in files {
    var path = ""
    for part in file.split(separator: "/").dropLast() {
      path += path.isEmpty ? "\(part)" : "/\(part)"
      mkdir(folder.path(path), 0o777)
    }
    folder.write(model, to: file)
  }
  let refusal = expectRefusal(.fileMissing) { try CheckpointSource.open(folder.path) }
  let list = named.map { folder.path($0) }.joined(separator: ", or ")
  #expect(
    refusal?.remedy.hasSuffix("Name the folder inside that has weights: \(list).")
      == !named.isEmpty, "\(refusal?.remedy ?? "")")
}

// MARK: Entries that cannot be read

/// A link that leads nowhere, or a pipe, is not an absent file: other weights are not read in its place.
@Test(arguments: ["model.safetensors", "model.safetensors.index.json"])
func anEntryThatCannotBeReadIsNotAbsent(name: String) {
  let folder = TemporaryFolder()
  folder.write(model, to: "pytorch_model.safetensors")
  folder.write(gguf, to: "model.gguf")
  let link = folder.makeLink(name, to: "../blobs/gone")
  let refusal = expectRefusal(.fileMissing) { try CheckpointSource.open(folder.path) }
  #expect(refusal?.file == link)
  #expect(refusal?.found == "a link to ../blobs/gone, which does not exist")
  #expect(unlink(link) == 0 && mkfifo(link, 0o600) == 0)
  let pipe = expectRefusal(.fileNotRegular) { try CheckpointSource.open(folder.path) }
  #expect(pipe?.file == link && pipe?.found == "a pipe")
}

@Test func aBrokenLinkThatWouldNotBeReadIsOnlyNamed() throws {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  folder.makeLink("pytorch_model.bin", to: "gone")
  let source = try CheckpointSource.open(folder.path)
  #expect(source.warnings.contains { $0.contains("pytorch_model.bin") })
}

@Test func sideFilesThatCannotBeReadAreFound() throws {
  let folder = TemporaryFolder()
  folder.write(model, to: "model.safetensors")
  let config = folder.makeLink("config.json", to: "gone")
  let tokenizer = folder.makeLink("tokenizer.json", to: "gone")
  let source = try CheckpointSource.open(folder.path)
  #expect(source.configuration == config && source.tokenizers == [tokenizer])
}

/// Folders of training runs have such names.
@Test func aFolderNamedLikeWeightsIsNoCheckpoint() throws {
  let folder = TemporaryFolder()
  folder.makeFolder("epoch=1.ckpt")
  folder.write(model, to: "weights.safetensors")
  #expect(try CheckpointSource.open(folder.path).checkpoint is SafetensorsFile)
}
