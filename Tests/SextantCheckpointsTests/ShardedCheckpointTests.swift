import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// A folder of two shards, `a.safetensors` with a1 and a2, `b.safetensors` with b1.
private final class Shards {
  let folder = TemporaryFolder()
  static let map = """
    {"a1":"a.safetensors","a2":"a.safetensors","b1":"b.safetensors"}
    """

  init() {
    write("a.safetensors", ["a1", "a2"])
    write("b.safetensors", ["b1"])
  }

  /// Writes a shard whose tensors contain one byte each: the last byte of the tensor's name.
  @discardableResult
  func write(_ file: String, _ names: [String], metadata: [(String, String)] = []) -> String {
    let tensors = names.map { ($0, "U8", [1], [$0.utf8.last ?? 0]) }
    return folder.write(RawSafetensors.file(tensors, metadata: metadata), to: file)
  }

  func open(
    map: String = Shards.map, metadata: String? = nil
  ) throws(Refusal) -> ShardedCheckpoint {
    let head = metadata.map { "\"metadata\":\($0)," } ?? ""
    return try open(index: "{\(head)\"weight_map\":\(map)}")
  }

  func open(index: String) throws(Refusal) -> ShardedCheckpoint {
    try ShardedCheckpoint(folder.write(index, to: "model.safetensors.index.json"))
  }
}

@Test func readsTensorsFromTheirShards() throws {
  let shards = Shards()
  let checkpoint = try shards.open(metadata: "{\"total_size\":3}")
  #expect(checkpoint.tensors.map(\.name) == ["a1", "a2", "b1"])
  #expect(checkpoint.warnings.isEmpty)
  for (tensor, byte) in zip(checkpoint.tensors, [UInt8(ascii: "1"), 0x32, 0x31]) {
    #expect(try checkpoint.bytes(of: tensor) == [byte])
    let part = try #require(checkpoint.part(of: tensor))
    #expect(try part.file.read(at: part.range.lowerBound, count: part.range.count) == [byte])
  }
  #expect(checkpoint.reads(path: shards.folder.path("b.safetensors")))
  #expect(checkpoint.reads(path: checkpoint.path))
  try checkpoint.checkUnchanged()
  shards.write("b.safetensors", ["b2"], metadata: [("more", "bytes")])
  expectRefusal(.fileChanged) { try checkpoint.checkUnchanged() }
}

@Test func shardedFixtureEqualsTheWholeFile() throws {
  let whole = try SafetensorsFile(PackageFiles.fixture("mamba-tiny/huggingface/model.safetensors"))
  let sharded = try ShardedCheckpoint(
    PackageFiles.fixture("mamba-tiny/sharded/model.safetensors.index.json"))
  #expect(sharded.tensors == whole.tensors)
  #expect(sharded.shardPaths.count == 3)
  #expect(sharded.metadata == ["format": "pt"])
  for tensor in whole.tensors {
    #expect(try sharded.bytes(of: tensor) == whole.bytes(of: tensor))
  }
}

@Test(
  arguments: [
    "{\"total_size\":4}", "{\"total_size\":3.0}", "{\"total_size\":\"3\"}", "{\"total_size\":null}",
  ])
func warnsOfAWrongTotalSize(_ metadata: String) throws {
  let shards = Shards()
  let checkpoint = try shards.open(metadata: metadata)
  #expect(checkpoint.warnings.count == 1)
  #expect(checkpoint.warnings.first?.contains("total_size") == true)
}

@Test(arguments: [nil, "null", "{}", "{\"other\":[1,2]}"])
func totalSizeAndFurtherKeysAreOptional(_ metadata: String?) throws {
  #expect(try Shards().open(metadata: metadata).warnings.isEmpty)
  #expect(try Shards().open(index: "{\"x\":1,\"weight_map\":\(Shards.map)}").warnings.isEmpty)
}

@Test(
  arguments: [
    ("[]", .jsonNotObject), ("{}", .indexValue), ("{\"weight_map\":[]}", .indexValue),
    ("{\"weight_map\":{}}", .safetensorsNone), ("{\"weight_map\":", .jsonInvalid),
    ("{\"metadata\":5,\"weight_map\":\(Shards.map)}", .indexValue),
    ("{\"weight_map\":\(Shards.map)} x", .jsonTrailing),
    ("{\"weight_map\":{\"a1\":\"a.safetensors\",\"a1\":\"b.safetensors\"}}", .jsonDuplicateKey),
  ] as [(String, Refusal.Code)])
func refusesAnIndexThatIsNone(_ text: String, _ code: Refusal.Code) {
  expectRefusal(code) { try Shards().open(index: text) }
}

@Test(
  arguments: [
    ("5", .indexValue), ("null", .indexValue), ("[\"a.safetensors\"]", .indexValue),
    ("{\"file\":\"a.safetensors\",\"offset\":0}", .indexValue),
    ("\"\"", .indexPath), ("\".\"", .indexPath), ("\"..\"", .indexPath),
    ("\"/etc/passwd\"", .indexPath), ("\"../a.safetensors\"", .indexPath),
    ("\"sub/a.safetensors\"", .indexPath), ("\"./a.safetensors\"", .indexPath),
    ("\"..\\\\a.safetensors\"", .indexPath), ("\"a.safetensors\\u0000\"", .indexPath),
    ("\"c.safetensors\"", .indexMissingShard), ("\"A.safetensors\"", .indexMissingShard),
    ("\"b.safetensors\"", .indexTensorMissing),
  ] as [(String, Refusal.Code)])
func refusesAShardName(_ value: String, _ code: Refusal.Code) {
  let shards = Shards()
  let refusal = expectRefusal(code) {
    try shards.open(
      map: "{\"a1\":\(value),\"a2\":\"a.safetensors\",\"b1\":\"b.safetensors\"}")
  }
  #expect(refusal?.file == shards.folder.path("model.safetensors.index.json"))
}

@Test func refusesTensorsThatAreMissingExtraOrTwice() {
  let shards = Shards()
  let missing = expectRefusal(.indexTensorMissing) {
    try shards.open(
      map: "{\"a1\":\"b.safetensors\",\"a2\":\"a.safetensors\",\"b1\":\"a.safetensors\"}")
  }
  #expect(missing?.found == "\"a1\", \"b1\"")
  let extra = expectRefusal(.indexTensorExtra) {
    try shards.open(map: "{\"a1\":\"a.safetensors\",\"b1\":\"b.safetensors\"}")
  }
  #expect(extra?.found == "\"a2\"")
  shards.write("b.safetensors", ["b1", "a1"])
  let twice = expectRefusal(.indexTensorTwice) { try shards.open() }
  #expect(twice?.found == "\"a1\"")
  shards.write("a.safetensors", ["a1", "a2", "\u{E9}"])
  shards.write("b.safetensors", ["b1", "e\u{301}"])
  expectRefusal(.safetensorsName) {
    try shards.open(
      map: """
        {"a1":"a.safetensors","a2":"a.safetensors","\u{E9}":"a.safetensors","b1":"b.safetensors",
         "e\u{301}":"b.safetensors"}
        """)
  }
}

/// The reader does not decide whether a model needs these tensors.
@Test func tensorsThatNoShardHasAreAbsent() throws {
  let checkpoint = try Shards().open(
    map: """
      {"a1":"a.safetensors","a2":"a.safetensors","a3":"a.safetensors","b1":"b.safetensors",
       "b2":"b.safetensors"}
      """)
  #expect(checkpoint.absent == ["a3", "b2"])
  #expect(checkpoint.tensors.map(\.name) == ["a1", "a2", "b1"])
  #expect(checkpoint.warnings.count == 1)
  #expect(checkpoint.warnings.first?.contains("\"a3\", \"b2\"") == true)
  #expect(try Shards().open().absent.isEmpty)
}

@Test(arguments: ["b.safetensors.incomplete", "b.safetensors.part", "deadbeef.incomplete"])
func refusesAnUnfinishedDownload(_ name: String) {
  let shards = Shards()
  shards.folder.write("x", to: name)
  let refusal = expectRefusal(.indexIncompleteDownload) { try shards.open() }
  #expect(refusal?.found == "\"\(name)\"")
}

@Test func refusesABadShardAsSuch() {
  let shards = Shards()
  let path = shards.folder.write("", to: "b.safetensors")
  #expect(expectRefusal(.fileEmpty) { try shards.open() }?.file == path)
  shards.folder.write([0x89] + Array("HDF\r\n\u{1A}\n".utf8), to: "b.safetensors")
  #expect(expectRefusal(.fileExtensionMismatch) { try shards.open() }?.file == path)
}

@Test func whatShardsSayDifferentlyIsNoMetadata() throws {
  let shards = Shards()
  shards.write("a.safetensors", ["a1", "a2"], metadata: [("format", "pt"), ("part", "1")])
  shards.write("b.safetensors", ["b1"], metadata: [("format", "pt"), ("part", "2")])
  #expect(try shards.open().metadata == ["format": "pt"])
}

// MARK: Links

@Test func followsLinksInsideTheFolderAndInTheHubCache() throws {
  let shards = Shards()
  let folder = shards.folder
  folder.write(try InputFile(folder.path("b.safetensors")).readAll(limit: 4096), to: "real")
  folder.makeLink("c.safetensors", to: "real")
  let inside = try shards.open(
    map: """
      {"a1":"a.safetensors","a2":"a.safetensors","b1":"c.safetensors"}
      """)
  #expect(inside.tensors.count == 3)

  // models--x--y/snapshots/<revision>/… → models--x--y/blobs/<digest>
  for name in ["hub", "hub/blobs", "hub/snapshots", "hub/snapshots/1"] { folder.makeFolder(name) }
  for name in ["a", "b"] {
    let bytes = try InputFile(folder.path("\(name).safetensors")).readAll(limit: 4096)
    folder.write(bytes, to: "hub/blobs/\(name)")
    folder.makeLink("hub/snapshots/1/\(name).safetensors", to: "../../blobs/\(name)")
  }
  folder.write("{\"weight_map\":\(Shards.map)}", to: "hub/blobs/index")
  let index = folder.makeLink(
    "hub/snapshots/1/model.safetensors.index.json", to: "../../blobs/index")
  #expect(try ShardedCheckpoint(index).tensors.count == 3)
}

/// The links that caches and users make: from another folder into the cache, from a folder inside a
/// snapshot, to blobs on another disk, and to a file of the user.
@Test(arguments: ["local", "cache/models--a--b/snapshots/1/sub", "moved/models--a--b/snapshots/1"])
func followsLinksIntoACacheWhereverItIs(_ place: String) throws {
  let shards = Shards()
  let folder = shards.folder
  for name in [
    "local", "cache", "cache/models--a--b", "cache/models--a--b/blobs",
    "cache/models--a--b/snapshots",
    "cache/models--a--b/snapshots/1", "cache/models--a--b/snapshots/1/sub", "disk", "moved",
    "moved/models--a--b", "moved/models--a--b/snapshots", "moved/models--a--b/snapshots/1",
  ] { folder.makeFolder(name) }
  folder.makeLink("moved/models--a--b/blobs", to: "../../disk")
  let isMoved = place.hasPrefix("moved")
  let blobs = isMoved ? "disk" : "cache/models--a--b/blobs"
  let up = place == "local" ? "../cache/models--a--b" : isMoved ? "../.." : "../../.."
  for name in ["a", "b"] {
    let bytes = try InputFile(folder.path("\(name).safetensors")).readAll(limit: 4096)
    folder.write(bytes, to: "\(blobs)/\(name)")
    folder.makeLink("\(place)/\(name).safetensors", to: "\(up)/blobs/\(name)")
  }
  let index = folder.write(
    "{\"weight_map\":\(Shards.map)}", to: "\(place)/model.safetensors.index.json")
  let checkpoint = try ShardedCheckpoint(index)
  #expect(checkpoint.tensors.count == 3 && checkpoint.warnings.isEmpty)
}

@Test func aLinkOutOfTheFolderLeadsToACheckpointAndIsNamed() throws {
  let shards = Shards()
  let outside = TemporaryFolder()
  let bytes = try InputFile(shards.folder.path("b.safetensors")).readAll(limit: 4096)
  let real = outside.write(bytes, to: "b")
  shards.folder.makeLink("c.safetensors", to: real)
  let map = """
    {"a1":"a.safetensors","a2":"a.safetensors","b1":"c.safetensors"}
    """
  let checkpoint = try shards.open(map: map)
  #expect(checkpoint.tensors.count == 3)
  #expect(checkpoint.warnings.first?.contains("c.safetensors to ") == true)
  // The refusal does not quote the content of such a file.
  for secret in ["user:secret:1000", "{\"secret\":1}", "-----BEGIN KEY-----\nsecret"] {
    outside.write(secret, to: "b")
    let refusal = expectRefusal(.fileSymlinkEscape) { try shards.open(map: map) }
    #expect(refusal?.description.contains("secret") == false)
  }
  shards.folder.makeLink("d.safetensors", to: outside.path("nothing"))
  expectRefusal(.indexMissingShard) {
    try shards.open(map: map.replacing("c.safetensors", with: "d.safetensors"))
  }
  shards.folder.makeLink("e.safetensors", to: "/dev/zero")
  expectRefusal(.fileNotRegular) {
    try shards.open(map: map.replacing("c.safetensors", with: "e.safetensors"))
  }
}

extension String {
  fileprivate func replacing(_ old: String, with new: String) -> String {
    split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
  }
}
