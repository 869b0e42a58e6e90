import SextantBytes
import SextantCheckpoints
import SextantTestSupport
import Testing

private typealias Raw = RawPyTorch

/// A valid tensor of six floats in the storage "0".
private let tensor = Raw.tensor(Raw.storage("0", count: 6), shape: [2, 3], strides: [3, 1])
private let storages: [(key: String, bytes: [UInt8])] = [("0", [UInt8](repeating: 1, count: 24))]
private let good = Raw.pickle(Raw.dictionary([("w", tensor)]))

@discardableResult
private func expectRefusal(
  _ code: Refusal.Code, _ comment: Comment? = nil, of bytes: [UInt8],
  named name: String = "m.pth"
) -> Refusal? {
  let folder = TemporaryFolder()
  let path = folder.write(bytes, to: name)
  let refusal = expectRefusal(code, comment) {
    let file = try PyTorchFile(path)
    for tensor in file.tensors { _ = try file.bytes(of: tensor) }
  }
  #expect(refusal?.file == path)
  #expect(refusal?.exitStatus == 65)
  return refusal
}

@Test func theFileThatTheTablesDamageIsGood() throws {
  let folder = TemporaryFolder()
  let file = try PyTorchFile(
    folder.write(Raw.file(pickle: good, storages: storages), to: "m.pth"))
  #expect(try file.bytes(of: file.tensors[0]).count == 24)
}

// MARK: Files of other code

@Test(
  arguments: [
    ("complex", .pytorchTensorKind), ("expanded", .pytorchTensorExpanded),
    ("float8", .pytorchTensorKind), ("meta", .pytorchTensorKind), ("module", .pytorchPickleGlobal),
    ("no-tensor", .pytorchRoot), ("recursive", .pytorchPickleRecursive),
    ("sparse", .pytorchTensorKind),
  ] as [(String, Refusal.Code)])
func refusesWhatIsNoStateDict(_ name: String, _ code: Refusal.Code) {
  expectRefusal(code) { try PyTorchFile(PackageFiles.fixture("pytorch/refused/\(name).pth")) }
}

// MARK: The format before version 1.6

@Test(arguments: ["m.pth", "m.pt", "pytorch_model.bin"])
func refusesTarArchivesAndOtherPickles(_ name: String) {
  let folder = TemporaryFolder()
  let tar = [UInt8](repeating: 0, count: 257) + Array("ustar".utf8) + [0]
  for (bytes, found) in [(good, "a bare pickle"), (tar, "a tar archive")] {
    let path = folder.write(bytes, to: name)
    let refusal = expectRefusal(.pytorchLegacy) { try CheckpointSource.open(path) }
    #expect(refusal?.found == found)
  }
}

private let legacyStorages: [(key: String, width: Int, bytes: [UInt8])] = [
  ("0", 4, [UInt8](repeating: 1, count: 24))
]

/// Six floats, and the same bytes as integers.
private let withTwoTypes = Raw.pickle(
  Raw.dictionary([
    ("w", tensor),
    ("v", Raw.tensor(Raw.storage("0", "IntStorage", count: 6), shape: [6], strides: [1])),
  ]))

private func legacy(
  _ storages: [(key: String, width: Int, bytes: [UInt8])] = legacyStorages, pickle: [UInt8] = good,
  version: Int = 1001, isLittleEndian: Bool = true
) -> [UInt8] {
  Raw.legacyFile(
    pickle: pickle, storages: storages, version: version, isLittleEndian: isLittleEndian)
}

/// The file with a changed byte in the count of elements, which is before the elements.
private func legacyOfFarTooMany() -> [UInt8] {
  var bytes = legacy()
  bytes[bytes.count - 25] = 0x80
  return bytes
}

private let damagedLegacies: [(name: String, bytes: [UInt8], code: Refusal.Code)] = [
  ("the magic number alone", Raw.legacyMagic, .pytorchPickleLength),
  ("another version", legacy(version: 1002), .pytorchVersion),
  ("big-endian", legacy(isLittleEndian: false), .pytorchByteOrder),
  ("no storage", legacy([]), .pytorchStorageMissing),
  ("a strange storage", legacy([("1", 4, [])]), .pytorchStorageMissing),
  ("a storage twice", legacy([legacyStorages[0], legacyStorages[0]]), .pytorchStorageMissing),
  (
    "a storage of 5 elements", legacy([("0", 4, [UInt8](repeating: 1, count: 20))]),
    .pytorchStorageSize
  ),
  ("bytes at the end", Array([legacy(), [0]].joined()), .pytorchStorageSize),
  ("a byte less", Array(legacy().dropLast()), .pytorchStorageSize),
  ("2^63 elements", legacyOfFarTooMany(), .pytorchStorageSize),
  ("one storage with two types", legacy(pickle: withTwoTypes), .pytorchStorageSize),
]

@Test(arguments: damagedLegacies.indices)
func refusesADamagedFileOfTheFormatBeforeVersion16(_ index: Int) {
  let (name, bytes, code) = damagedLegacies[index]
  expectRefusal(code, "\(name)", of: bytes)
}

@Test func refusesAnotherFormatUnderTheName() {
  expectRefusal(.fileExtensionMismatch, of: RawSafetensors.file([("w", "U8", [1], [1])]))
  expectRefusal(.pytorchZip, of: Array("hello".utf8))
}

// MARK: Archives

/// A change of the archive's members, and the code of the refusal.
private struct Damage: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let code: Refusal.Code
  let edit: @Sendable (inout [RawZip.Member]) -> Void

  init(
    _ name: String, _ code: Refusal.Code,
    _ edit: @escaping @Sendable (inout [RawZip.Member]) -> Void
  ) {
    (testDescription, self.code, self.edit) = (name, code, edit)
  }
}

private let damages: [Damage] = [
  Damage("encrypted", .pytorchZip) { $0[0].flags = 1 },
  Damage("masked header", .pytorchZip) { $0[0].flags = 1 << 13 },
  Damage("flag in the local header only", .pytorchZipDirectory) { $0[0].localFlags = 1 },
  Damage("deflated", .pytorchZipMethod) { $0[0].method = 8 },
  Damage("another local name", .pytorchZipDirectory) { $0[2].localName = "model/data/1" },
  Damage("local size", .pytorchZipDirectory) { $0[2].localByteCount = 23 },
  Damage("directory size", .pytorchZipDirectory) { $0[2].byteCount = 23 },
  Damage("size in the descriptor", .pytorchZipDirectory) {
    $0[2].descriptorWidth = 4
    $0[2].localByteCount = 23
  },
  Damage("gap", .pytorchZipDirectory) { $0[1].gap = [0] },
  Damage("gap behind a descriptor", .pytorchZipDirectory) {
    $0[1].descriptorWidth = 8
    $0[1].gap = [0]
  },
  Damage("gap before the directory", .pytorchZipDirectory) { $0[3].gap = [1, 2, 3] },
  Damage("another size before the data", .pytorchZipDirectory) {
    $0[2].descriptorWidth = 8
    $0[2].extra = [1, 0, 16, 0] + 23.littleEndianBytes + 0.littleEndianBytes
  },
  Damage("a size that is 0 and no descriptor", .pytorchZipDirectory) {
    $0[2].extra = [1, 0, 16, 0] + 24.littleEndianBytes + 0.littleEndianBytes
  },
  Damage("unknown extra field", .pytorchZipDirectory) { $0[0].extra = [0x75, 0x70, 0, 0] },
  Damage("torn extra field", .pytorchZipDirectory) { $0[0].extra = [0x46, 0x42, 9, 0, 1] },
  Damage("two members of one name", .pytorchZipName) { $0.append($0[2]) },
  Damage("two names that are equal after normalisation", .pytorchZipName) {
    $0[0].name = "é/data.pkl"
    $0[1].name = "e\u{301}/data.pkl"
  },
  Damage("two folders", .pytorchZipName) { $0[2].name = "other/data/0" },
  Damage("no folder", .pytorchZipName) { $0[0].name = "data.pkl" },
  Damage("absolute", .pytorchZipName) { $0[0].name = "/model/data.pkl" },
  Damage("climbing", .pytorchZipName) { $0[0].name = "model/../data.pkl" },
  Damage("backslash", .pytorchZipName) { $0[0].name = "model\\data.pkl" },
  Damage("no name", .pytorchZipName) { $0[0].name = "" },
  Damage("NUL in the name", .pytorchZipName) { $0[0].name = "model/data.pkl\0" },
  Damage("checksum of the pickle", .pytorchZipCRC) { $0[0].checksum = 1 },
  Damage("checksum of a storage", .pytorchZipCRC) { $0[2].checksum = 1 },
  Damage("TorchScript", .pytorchZipExtra) { $0[1].name = "model/constants.pkl" },
  Damage("code", .pytorchZipExtra) { $0[1].name = "model/code/main.py" },
  Damage("a second pickle", .pytorchZipExtra) { $0[1].name = "model/data2.pkl" },
  Damage("a storage that is no number", .pytorchZipExtra) { $0[2].name = "model/data/0x" },
  Damage("no pickle", .pytorchZipExtra) { $0.remove(at: 0) },
  Damage("no version", .pytorchVersion) { $0.remove(at: 3) },
  Damage("another version", .pytorchVersion) { $0[3] = RawZip.Member("model/version", "4\n") },
  Damage("long version", .limitFile) {
    $0[3] = RawZip.Member("model/version", String(repeating: "3", count: 100))
  },
  Damage("big-endian", .pytorchByteOrder) { $0[1] = RawZip.Member("model/byteorder", "big") },
  Damage("no storage", .pytorchStorageMissing) { $0.remove(at: 2) },
  Damage("short storage", .pytorchStorageSize) { $0[2].bytes.removeLast() },
  Damage("long storage", .pytorchStorageSize) { $0[2].bytes.append(0) },
]

@Test(arguments: damages)
private func refusesAnArchive(_ damage: Damage) {
  var members = Raw.members(pickle: good, storages: storages)
  damage.edit(&members)
  expectRefusal(damage.code, of: RawZip.file(members))
  expectRefusal(damage.code, of: RawZip.file(members, isWide: true))
}

/// The members of the archives that torch.jit.save and torch.export.save write; the code is compressed.
@Test(
  arguments: [
    ("TorchScript", ["ts/code/__torch__.py", "ts/constants.pkl"], "torch.jit.load"),
    ("TorchScript", ["ts/constants.pkl"], "torch.jit.load"),
    ("torch.export", ["e/models/model.json", "e/archive_format"], "torch.export.load"),
  ])
func namesAProgramAsSuch(_ program: String, _ names: [String], _ load: String) {
  var members = [RawZip.Member("\(names[0].prefix { $0 != "/" })/data/0", [1, 2, 3, 4])]
  for name in names {
    members.append(RawZip.Member(name, [3, 0]))
    if name.contains("/code/") { members[members.count - 1].method = 8 }
  }
  let folder = TemporaryFolder()
  for name in ["model.pt", "pytorch_model.bin"] {
    let path = folder.write(RawZip.file(members), to: name)
    let refusal = expectRefusal(.pytorchZipExtra) { try CheckpointSource.open(path) }
    #expect(refusal?.found.contains(program) == true && refusal?.remedy.contains(load) == true)
  }
}

@Test func refusesAnEndThatIsNone() {
  let members = Raw.members(pickle: good, storages: storages)
  let file = RawZip.file(members)
  expectRefusal(.pytorchZip, of: RawZip.file(members, comment: Array("x".utf8)))
  expectRefusal(.pytorchZip, of: RawZip.file(members, count: 3))
  expectRefusal(.pytorchZip, of: RawZip.file(members, count: 5))
  expectRefusal(.pytorchZip, of: RawZip.file(members, count: 65_535))
  expectRefusal(.pytorchZip, of: file + [0])
  expectRefusal(.pytorchZip, of: file + file)
  expectRefusal(.pytorchZip, of: file + file.suffix(22))
  expectRefusal(.pytorchZipExtra, of: RawZip.file([]))
}

// MARK: Pickles

/// Opcodes and their arguments, one byte for each scalar.
private func code(_ text: String) -> [UInt8] {
  text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
}

private let pickles: [(String, [UInt8], Refusal.Code)] = [
  ("empty", [], .pytorchPickleLength),
  ("no header", code("}."), .pytorchPickleOpcode),
  ("protocol 1", [0x80, 1] + code("}."), .pytorchPickleOpcode),
  ("protocol 6", [0x80, 6] + code("}."), .pytorchPickleOpcode),
  ("no STOP", [0x80, 2] + code("}"), .pytorchPickleLength),
  ("bytes after STOP", good + [0x4E], .pytorchPickleStack),
  ("two values", Raw.pickle(code("}}")), .pytorchPickleStack),
  ("an open mark", Raw.pickle(code("(}")), .pytorchPickleStack),
  ("nothing", Raw.pickle(), .pytorchPickleStack),
  ("underflow", Raw.pickle([0x85]), .pytorchPickleStack),
  ("below a mark", Raw.pickle(code("}(s")), .pytorchPickleStack),
  ("no mark", Raw.pickle(code("}u")), .pytorchPickleStack),
  ("a key alone", Raw.pickle(code("}(Nu")), .pytorchPickleStack),
  ("items of a list", Raw.pickle(code("](NNu")), .pytorchPickleStack),
  ("items of a tensor", Raw.pickle(tensor, code("(NNu")), .pytorchPickleStack),
  ("append to a dict", Raw.pickle(code("}Na")), .pytorchPickleStack),
  ("STACK_GLOBAL of nothing", Raw.pickle([0x93]), .pytorchPickleStack),
  ("STACK_GLOBAL of numbers", Raw.pickle(code("K\u{1}K\u{1}"), [0x93]), .pytorchPickleStack),
  (
    "STACK_GLOBAL of os.system", Raw.pickle(Raw.string("os"), Raw.string("system"), [0x93]),
    .pytorchPickleGlobal
  ),
  ("INST", Raw.pickle(code("(ios\nsystem\n")), .pytorchPickleOpcode),
  ("OBJ", Raw.pickle(code("(o")), .pytorchPickleOpcode),
  ("EXT1", Raw.pickle([0x82, 1]), .pytorchPickleOpcode),
  ("NEWOBJ of nothing", Raw.pickle([0x81]), .pytorchPickleStack),
  (
    "NEWOBJ of a dict", Raw.pickle(Raw.global("collections", "OrderedDict"), code(")"), [0x81]),
    .pytorchPickleGlobal
  ),
  ("NEWOBJ_EX", Raw.pickle([0x92]), .pytorchPickleOpcode),
  ("NEXT_BUFFER", Raw.pickle([0x97]), .pytorchPickleOpcode),
  ("an item of a set in a dict", Raw.pickle(code("}(N"), [0x90]), .pytorchPickleStack),
  ("FROZENSET without a mark", Raw.pickle([0x91]), .pytorchPickleStack),
  ("text PERSID", Raw.pickle(code("Pstorage\n")), .pytorchPickleOpcode),
  ("a frame beyond the end", Raw.pickle([0x95, 99, 0, 0, 0, 0, 0, 0, 0]), .pytorchPickleLength),
  (
    "long bytes", Raw.pickle([0x8E, 255, 255, 255, 255, 255, 255, 255, 255]), .pytorchPickleLength
  ),
  ("BUILD of a tensor", Raw.pickle(tensor, code("}b")), .pytorchPickleOpcode),
  ("BUILD with a tuple", Raw.pickle(code("})b")), .pytorchPickleOpcode),
  ("os.system", Raw.pickle(code("cos\nsystem\nX\u{2}\0\0\0id\u{85}R")), .pytorchPickleGlobal),
  ("builtins.eval", Raw.pickle(Raw.global("builtins", "eval")), .pytorchPickleGlobal),
  ("another OrderedDict", Raw.pickle(Raw.global("x", "OrderedDict")), .pytorchPickleGlobal),
  ("a line break in a name", Raw.pickle(code("ctorch\n\nFloatStorage\n")), .pytorchPickleGlobal),
  ("quantised", Raw.pickle(Raw.global("torch._utils", "_rebuild_qtensor")), .pytorchTensorKind),
  ("8-bit storage", Raw.pickle(Raw.global("torch", "QInt8Storage")), .pytorchTensorKind),
  ("subclass", Raw.pickle(Raw.global("torch._tensor", "_rebuild_x")), .pytorchTensorKind),
  (
    "a call of a storage", Raw.pickle(Raw.global("torch", "IntStorage"), code(")R")),
    .pytorchPickleGlobal
  ),
  ("a call of a string", Raw.pickle(Raw.string("os"), code(")R")), .pytorchPickleGlobal),
  (
    "a call with a list", Raw.pickle(Raw.global("collections", "OrderedDict"), code("]R")),
    .pytorchPickleGlobal
  ),
  (
    "OrderedDict of no pairs",
    Raw.pickle(Raw.global("collections", "OrderedDict"), code("]Na\u{85}R")), .pytorchPickleGlobal
  ),
  (
    "OrderedDict of a text",
    Raw.pickle(Raw.global("collections", "OrderedDict"), Raw.string("w"), code("\u{85}R")),
    .pytorchPickleGlobal
  ),
  (
    "a subclass of tensors",
    Raw.pickle(
      Raw.global("torch._tensor", "_rebuild_from_type_v2"), code("("),
      Raw.global("torch._utils", "_rebuild_tensor_v2"), Raw.global("torch", "Size"),
      code(")}tR")), .pytorchTensorKind
  ),
  ("unfinished global", [0x80, 2] + code("ctorch"), .pytorchPickleLength),
  ("long string", Raw.pickle([0x58, 255, 255, 255, 255]), .pytorchPickleLength),
  ("long LONG1", [0x80, 2, 0x8A, 200, 1], .pytorchPickleLength),
  ("no memo", Raw.pickle(code("h\0")), .pytorchPickleMemo),
  ("a hole in the memo", Raw.pickle(code("}q\u{5}h\u{3}")), .pytorchPickleMemo),
  ("a far memo", Raw.pickle(code("}r"), [255, 255, 255, 255]), .pytorchPickleMemo),
  ("memo of nothing", Raw.pickle(code("q\0")), .pytorchPickleStack),
  ("a dict in itself", Raw.pickle(code("}q\0(X\u{1}\0\0\0wh\0u")), .pytorchPickleRecursive),
  ("a list in itself", Raw.pickle(code("}(X\u{1}\0\0\0w]q\0h\0au")), .pytorchPickleRecursive),
  ("a circle", Raw.pickle(code("}q\0(N]q\u{1}(h\0)tau")), .pytorchPickleRecursive),
  ("another persistent id", Raw.pickle(Raw.string("storage"), code("Q")), .pytorchStorageMissing),
  (
    "another tag",
    Raw.pickle(
      code("("), Raw.string("Storage"), Raw.global("torch", "IntStorage"), Raw.string("0"),
      Raw.string("cpu"), Raw.integer(6), code("tQ")), .pytorchStorageMissing
  ),
  (
    "a tensor without a storage",
    Raw.pickle(Raw.tensor(code("N"), shape: [1], strides: [1])), .pytorchTensorKind
  ),
  (
    "a tensor of nine dimensions",
    Raw.pickle(
      Raw.tensor(
        Raw.storage("0", count: 6), shape: [Int](repeating: 1, count: 9),
        strides: [Int](repeating: 1, count: 9))), .pytorchTensorKind
  ),
  ("none", Raw.pickle(code("N")), .pytorchRoot),
  ("an empty dict", Raw.pickle(code("}")), .pytorchRoot),
  (
    "a tensor in an object",
    Raw.pickle(
      Raw.global("argparse", "Namespace"), code(")\u{81}"), Raw.dictionary([("w", tensor)]),
      code("b")), .pytorchRoot
  ),
  ("duplicate key", Raw.pickle(Raw.dictionary([("w", tensor), ("w", tensor)])), .pytorchKey),
  (
    "equivalent keys", Raw.pickle(Raw.dictionary([("é", tensor), ("e\u{301}", tensor)])),
    .pytorchKey
  ),
  (
    "one name by two paths",
    Raw.pickle(Raw.dictionary([("a", Raw.dictionary([("b", tensor)])), ("a.b", tensor)])),
    .pytorchKey
  ),
  ("no name", Raw.pickle(Raw.dictionary([("", tensor)])), .pytorchKey),
  ("climbing name", Raw.pickle(Raw.dictionary([("../w", tensor)])), .pytorchKey),
  ("control character", Raw.pickle(Raw.dictionary([("w\u{1B}", tensor)])), .pytorchKey),
  ("no UTF-8", Raw.pickle(code("}("), [0x58, 1, 0, 0, 0, 0xFF], tensor, code("u")), .pytorchKey),
  ("a tuple as key", Raw.pickle(code("}()"), tensor, code("u")), .pytorchKey),
]

@Test(arguments: pickles.indices)
func refusesAPickle(_ index: Int) {
  let (name, pickle, code) = pickles[index]
  expectRefusal(code, "\(name)", of: Raw.file(pickle: pickle, storages: storages))
}

@Test func namesTheGlobalThatItRefuses() {
  let pickle = Raw.pickle(Raw.global("posix", "system"))
  let refusal = expectRefusal(.pytorchPickleGlobal, of: Raw.file(pickle: pickle))
  #expect(refusal?.found == "posix.system")
}

/// Nested so deeply that a recursive reader would run out of stack.
@Test func deepNestingCostsNoStack() {
  let depth = 500_000
  let tuples = Raw.pickle(code(")"), [UInt8](repeating: 0x85, count: depth))
  expectRefusal(.pytorchRoot, of: Raw.file(pickle: tuples))
  let lists = Raw.pickle(
    [UInt8](repeating: 0x5D, count: depth), [UInt8](repeating: 0x61, count: depth - 1))
  expectRefusal(.pytorchRoot, of: Raw.file(pickle: lists))
  let dicts = Raw.pickle(
    [[UInt8]](repeating: [0x7D] + Raw.string(""), count: depth / 50).flatMap { $0 }, tensor,
    [UInt8](repeating: 0x73, count: depth / 50))
  expectRefusal(.pytorchKey, of: Raw.file(pickle: dicts, storages: storages))
}

/// Each tuple contains the tuple before it twice, so that a full walk would visit 2^60 values.
@Test func sharedValuesAreWalkedOnce() {
  var doubling = code(")")
  for index in UInt8(0)..<60 { doubling += code("q") + [index] + code("h") + [index, 0x86] }
  expectRefusal(.pytorchRoot, of: Raw.file(pickle: Raw.pickle(doubling)))
  // With a tensor in the innermost tuple, each path to it would be a name.
  let paths = Raw.pickle(tensor, code("\u{85}"), Array(doubling.dropFirst()))
  expectRefusal(.pytorchRoot, of: Raw.file(pickle: paths, storages: storages))
}

// MARK: Tensors

@Test(
  arguments: [
    (0, [7], [1]), (1, [6], [1]), (0, [2, 3], [4, 1]), (0, [2, 3], [3, 2]), (6, [1], [1]),
    (-1, [6], [1]), (0, [-1], [1]), (0, [2], [-1]), (0, [2, 3], [1]), (0, [6], []),
    (7, [0], [1]), (.max, [2], [1]), (0, [2], [.max]), (0, [3], [.max / 2 + 1]),
    (0, [.max, .max], [1, 1]), (0, [1 << 40, 1 << 40, 0], [1, 1, 1]),
    (5, [2, 2], [.max, .max]),
  ] as [(Int, [Int], [Int])])
func refusesAViewOutsideItsStorage(_ offset: Int, _ shape: [Int], _ strides: [Int]) {
  let view = Raw.tensor(
    Raw.storage("0", count: 6), offset: offset, shape: shape, strides: strides)
  let refusal = expectRefusal(
    .pytorchTensorBounds,
    of: Raw.file(pickle: Raw.pickle(Raw.dictionary([("w", view)])), storages: storages))
  #expect(refusal?.place == .tensor("w"))
}

@Test(arguments: [-1, 0, 5, 7, .max, .max / 4 + 7])
func refusesAStorageOfAnotherSize(_ count: Int) {
  let view = Raw.tensor(Raw.storage("0", count: count), shape: [0], strides: [1])
  expectRefusal(
    .pytorchStorageSize,
    of: Raw.file(pickle: Raw.pickle(Raw.dictionary([("w", view)])), storages: storages))
}

@Test(
  arguments: [
    (0, [6], [1], 6), (5, [1], [1], 1), (6, [0], [1], 0), (0, [], [], 1),
    (0, [3, 0, 2], [9, 9, 9], 0),
    (0, [1, 6, 1], [99, 1, 77], 6), (1, [2, 2], [3, 1], 4), (0, [2, 2], [0, 1], 4),
    (0, [7], [0], 7), (5, [4, 1], [0, 9], 4), (0, [4, 3], [1, 1], 12),
  ] as [(Int, [Int], [Int], Int)])
func acceptsAViewInsideItsStorage(
  _ offset: Int, _ shape: [Int], _ strides: [Int], _ count: Int
) throws {
  let view = Raw.tensor(
    Raw.storage("0", count: 6), offset: offset, shape: shape, strides: strides)
  let folder = TemporaryFolder()
  let file = try PyTorchFile(
    folder.write(
      Raw.file(pickle: Raw.pickle(Raw.dictionary([("w", view)])), storages: storages), to: "m.pth"))
  #expect(try file.bytes(of: file.tensors[0]).count == count * 4)
}

/// `torch.save(…, _use_new_zipfile_serialization=False, pickle_protocol=0)`, and with 1, begin like this.
@Test func oldProtocolsAreNamedInBothForms() {
  let text = Array("L119547037146038801333356L\n.I1001\n.".utf8)
  let folder = TemporaryFolder()
  let old = expectRefusal(.pytorchPickleOpcode) {
    try CheckpointSource.open(folder.write(text, to: "old"))
  }
  let zip = expectRefusal(.pytorchPickleOpcode) {
    try CheckpointSource.open(folder.write(Raw.file(pickle: text), to: "new.pth"))
  }
  #expect(old?.found == "no header, as in protocols 0 and 1" && old?.expected == "protocol 2 to 5")
  #expect(zip?.found == old?.found && zip?.remedy == old?.remedy)
}

// MARK: Arrays of NumPy

/// `numpy.zeros(2, "f4")` by protocol 2, without the bytes of its state.
private let array =
  Raw.global("numpy._core.multiarray", "_reconstruct") + code("(") + Raw.global("numpy", "ndarray")
  + Raw.tuple([0]) + Raw.string("b") + code("tR") + Raw.tuple([1]) + code("b")

@Test func arraysAmongTensorsAreNamed() throws {
  let folder = TemporaryFolder()
  let inner = Raw.dictionary([("a", array), ("w", tensor)])
  let pickle = Raw.pickle(
    Raw.dictionary([("b", array), ("m", inner), ("other", Raw.dictionary([("c", array)]))]))
  let file = try PyTorchFile(
    folder.write(Raw.file(pickle: pickle, storages: storages), to: "m.pth"))
  #expect(file.tensors.map(\.name) == ["m.w"] && file.arrays == ["b", "m.a"])
  let alone = Raw.file(pickle: Raw.pickle(Raw.dictionary([("a", array)])))
  #expect(expectRefusal(.pytorchRoot, of: alone)?.found == "arrays of NumPy, and no tensor")
}
