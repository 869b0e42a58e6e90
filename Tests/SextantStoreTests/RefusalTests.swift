import SextantBytes
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// One fault, the code of its refusal, and whether only `verify` finds it.
struct Fault: CustomTestStringConvertible, Sendable {
  let name: String
  let code: Refusal.Code
  var needsVerify = false
  let make: @Sendable (inout RawStore) -> Void

  var testDescription: String { "\(code.rawValue): \(name)" }
}

/// A fault of the tensor table's first entry, "a.bias" (BF16, [5], 10 bytes).
private func entry(
  _ name: String, _ key: String, _ value: JSONValue?, _ code: Refusal.Code = .storeTable
) -> Fault {
  Fault(name: name, code: code) { $0["tensors", 0, key] = value }
}

private func member(
  _ name: String, _ key: String, _ value: JSONValue?, _ code: Refusal.Code = .storeHeader
) -> Fault {
  Fault(name: name, code: code) { $0.header[key] = value }
}

private func inserted(_ name: String, _ text: String, _ code: Refusal.Code) -> Fault {
  Fault(name: name, code: code) { $0.inserted = text }
}

private let zeros = String(repeating: "0", count: 64)

private let faults: [Fault] = [
  // 109
  Fault(name: "another magic", code: .storeMagic) { $0.magic[0] = UInt8(ascii: "s") },
  Fault(name: "the magic after text mode", code: .storeMagic) { $0.magic[7] = 0x0A },
  Fault(name: "another format's magic", code: .storeMagic) {
    $0.magic = Array("GGUF\u{3}\0\0\0".utf8)
  },
  // 110
  Fault(name: "version 0", code: .storeVersion) { $0.version = 0 },
  Fault(name: "version 2", code: .storeVersion) { $0.version = 2 },
  Fault(name: "version 2^32-1", code: .storeVersion) { $0.version = .max },
  member("version 2 in the header", "version", 2, .storeVersion),
  member("version 1.0 in the header", "version", 1.0),
  // 111
  Fault(name: "big-endian", code: .storeEndianness) {
    $0.mark = $0.mark.byteSwapped
    $0.version = $0.version.byteSwapped
  },
  Fault(name: "no byte order", code: .storeEndianness) { $0.mark = 0 },
  // 112
  Fault(name: "no header at all", code: .storeHeader) { $0.headerByteCount = 0 },
  Fault(name: "a header that reaches into the footer", code: .storeHeader) {
    $0.headerByteCount = UInt64($0.bytes.count - 64)
  },
  Fault(name: "a header above the limit", code: .storeHeader) {
    $0.headerByteCount = UInt64(StoreFormat.headerLimit) + 1
  },
  Fault(name: "a header of 2^63 bytes", code: .storeHeader) { $0.headerByteCount = 1 << 63 },
  Fault(name: "a header of 2^64-1 bytes", code: .storeHeader) { $0.headerByteCount = .max },
  Fault(name: "a header shorter than its text", code: .storePadding) {
    $0.headerByteCount = UInt64(RawStore.headerByteCount - 1)
  },
  // 113
  Fault(name: "unsorted", code: .storeTable) { $0.edit("tensors") { $0.swapAt(0, 1) } },
  Fault(name: "a name twice", code: .storeTable) { $0["tensors", 1, "name"] = "a.bias" },
  Fault(name: "a tensor less", code: .storeTable) { $0.edit("tensors") { $0.removeFirst() } },
  Fault(name: "unsorted attachments", code: .storeTable) {
    $0.edit("attachments") { $0.append($0[0]) }
  },
  Fault(name: "one range twice", code: .storeTable) {
    $0["tensors", 1, "offset"] = $0["tensors", 0, "offset"]
  },
  entry("overlapping the header", "offset", 64),
  entry("after a hole", "offset", .integer(Int64(RawStore.dataStart + 64))),
  entry("misaligned", "offset", .integer(Int64(RawStore.dataStart + 1))),
  entry("an offset of 2^63-1", "offset", .integer(.max)),
  entry("an offset of 2^63-64", "offset", .integer(.max - 63)),
  entry("a negative offset", "offset", -64),
  entry("no offset", "offset", nil),
  entry("bytes that do not fit the shape", "bytes", 12),
  entry("negative bytes", "bytes", -10),
  entry("bytes as text", "bytes", "10"),
  entry("another type", "dtype", "F32"),
  entry("an unknown type", "dtype", "F8"),
  entry("a type in lower case", "dtype", "bf16"),
  entry("a type that is no string", "dtype", 16),
  entry("another shape", "shape", [6]),
  entry("a negative shape", "shape", [-5]),
  entry("a fractional shape", "shape", [5.0]),
  entry("a shape that overflows", "shape", [4_611_686_018_427_387_904, 8]),
  entry("an empty shape that overflows", "shape", [0, 4_611_686_018_427_387_904, 8]),
  entry("nine dimensions", "shape", [5, 1, 1, 1, 1, 1, 1, 1, 1]),
  entry("a shape that is no array", "shape", 5),
  entry("an empty name", "name", ""),
  entry("a control character", "name", "a\u{1B}[2J"),
  entry("a NUL", "name", "a\0"),
  entry("a name of 513 bytes", "name", .string(String(repeating: "a", count: 513))),
  entry("a short digest", "sha256", "00"),
  entry("a digest in upper case", "sha256", .string(String(repeating: "A", count: 64))),
  entry("a source digest alone", "source_sha256", .string(zeros)),
  entry("a source type alone", "source_dtype", "F32"),
  Fault(name: "a source type that is the stored one", code: .storeTable) {
    $0["tensors", 0, "source_dtype"] = "BF16"
    $0["tensors", 0, "source_sha256"] = .string(zeros)
  },
  Fault(name: "a huge tensor that the file does not contain", code: .storeTable) {
    $0["tensors", 3, "shape"] = [1_099_511_627_776]
    $0["tensors", 3, "bytes"] = .integer(2 << 40)
  },
  Fault(name: "a tensor that ends at 2^63", code: .storeTable) {
    $0["tensors", 3, "dtype"] = "U8"
    $0["tensors", 3, "shape"] = [.integer(.max)]
    $0["tensors", 3, "bytes"] = .integer(.max)
  },
  Fault(name: "data that nothing refers to", code: .storeTable) {
    $0.data += [UInt8](repeating: 0, count: 64)
  },
  member("a table that is no array", "tensors", "none", .storeTable),
  member("a table of numbers", "tensors", [1], .storeTable),
  // 114
  Fault(name: "header padding", code: .storePadding) {
    $0.text = Array("{}".utf8)
    $0.headerPadding = 1
  },
  Fault(name: "the footer's rest", code: .storePadding) { $0.reserved[15] = 1 },
  Fault(name: "after a tensor", code: .storePadding, needsVerify: true) { $0.data[10] = 1 },
  Fault(name: "after the attachment", code: .storePadding, needsVerify: true) {
    $0.data[$0.data.count - 1] = 1
  },
  // 115
  Fault(name: "grown", code: .storeSize) { $0.fileByteCount = UInt64($0.bytes.count - 64) },
  Fault(name: "cut off", code: .storeSize) { $0.fileByteCount = UInt64($0.bytes.count + 64) },
  Fault(name: "2^64-1 bytes", code: .storeSize) { $0.fileByteCount = .max },
  Fault(name: "another length in the footer", code: .storeSize) { $0.footerByteCount = 4096 },
  // 116
  Fault(name: "a tensor", code: .storeTensorDigest, needsVerify: true) { $0.data[0] ^= 1 },
  Fault(name: "the attachment", code: .storeTensorDigest, needsVerify: true) {
    $0.data[$0.data.count - 64] ^= 1
  },
  // 117
  Fault(name: "no header yet", code: .storePartial) {
    $0.text = [UInt8](repeating: 0, count: RawStore.headerByteCount)
  },
  Fault(name: "no footer yet", code: .storePartial) {
    $0.footerMagic = [UInt8](repeating: 0, count: 8)
  },
  // 118
  member("an unknown feature", "requires", ["tiled"], .storeRequiredFeature),
  member("another layout", "layout", "tiled-16", .storeRequiredFeature),
  member("features that are no list", "requires", "tiled"),
  // The header's other members.
  member("another format", "format", "sextant-artifact"),
  member("no format", "format", nil),
  member("no architecture", "architecture", nil),
  member("an empty architecture", "architecture", ""),
  member("no configuration", "configuration", nil),
  member("a configuration that is no object", "configuration", []),
  member("no variant", "weights", nil),
  member("no tensors", "tensors", nil),
  member("no attachments", "attachments", .null),
  member("no identity", "identity", nil),
  member("a short identity", "identity", "00"),
  member("another identity", "identity", .string(zeros), .storeIdentity),
  member("another configuration", "configuration", [:], .storeIdentity),
  Fault(name: "a converted tensor in a store of source types", code: .storeHeader) {
    $0["tensors", 0, "source_dtype"] = "F32"
    $0["tensors", 0, "source_sha256"] = .string(zeros)
  },
  // JSON
  Fault(name: "an array", code: .jsonNotObject) { $0.text = Array("[]".utf8) },
  Fault(name: "no JSON", code: .jsonInvalid) { $0.text = Array("weights".utf8) },
  Fault(name: "an empty object", code: .storeHeader) { $0.text = Array("{}".utf8) },
  inserted("a member twice", "\"zz_filler\":1,", .jsonDuplicateKey),
  inserted("a space", " ", .storeHeader),
  inserted("members unsorted", "\"zzz\":1,", .storeHeader),
  inserted("a number in another form", "\"z\":1e0,", .storeHeader),
  inserted("an escape that is not needed", "\"z\":\"\\u0041\",", .storeHeader),
  inserted("a lone surrogate", "\"z\":\"\\ud800\",", .jsonEncoding),
  inserted("a deep value", "\"z\":" + String(repeating: "[", count: 1000), .jsonDepth),
]

@Suite struct RefusalTests {
  @Test(arguments: faults)
  func refusesWithTheCodeOfTheFault(_ fault: Fault) throws {
    let folder = TemporaryFolder()
    var raw = try RawStore()
    fault.make(&raw)
    let path = folder.write(raw.bytes, to: "model.sxt")
    if fault.needsVerify {
      let store = try ModelStore(opening: path)
      expectRefusal(fault.code) { try store.verify() }
    } else {
      let refusal = expectRefusal(fault.code) { try ModelStore(opening: path) }
      #expect(refusal?.file == path)
    }
  }

  @Test func theStoreWithoutAFaultIsAccepted() throws {
    let folder = TemporaryFolder()
    let path = folder.write(try RawStore().bytes, to: "model.sxt")
    try ModelStore(opening: path).verify()
  }

  @Test func aGitLFSPointerIsCalledOne() {
    let folder = TemporaryFolder()
    let text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
    expectRefusal(.fileHTML) { try ModelStore(opening: folder.write(text, to: "model.sxt")) }
  }

  @Test func anUnknownOptionalMemberIsAccepted() throws {
    let folder = TemporaryFolder()
    var raw = try RawStore()
    raw.header["note"] = ["any": [1, 2.5, .null]]
    raw["tensors", 0, "note"] = true
    raw["attachments", 0, "note"] = "text"
    try ModelStore(opening: folder.write(raw.bytes, to: "model.sxt")).verify()
  }

  @Test func canonicallyEquivalentNamesAreDifferentTensors() throws {
    let folder = TemporaryFolder()
    let path = folder.path("model.sxt")
    let names = ["e\u{301}", "\u{E9}"]
    try StoreWriter.publish(
      names.enumerated().map { ($0.element, Tensor([Float($0.offset)], shape: [1])) }, to: path,
      architecture: "mamba", configuration: JSONObject())
    let store = try ModelStore(opening: path)
    #expect(try store.tensor(names[0]).values == [0])
    #expect(try store.tensor(names[1]).values == [1])
  }

  @Test func aDamagedAttachmentIsRefusedWhenItIsRead() throws {
    let folder = TemporaryFolder()
    var raw = try RawStore()
    raw.data[raw.data.count - 64] ^= 1
    let store = try ModelStore(opening: folder.write(raw.bytes, to: "model.sxt"))
    let refusal = expectRefusal(.storeTensorDigest) { try store.attachment("tokenizer.json") }
    #expect(refusal?.place == .tensor("tokenizer.json"))
  }

  @Test func aCheckpointInThePlaceOfAModelIsToBeConverted() {
    let folder = TemporaryFolder()
    let file = folder.write(Array("GGUF".utf8) + Array(repeating: 0, count: 60), to: "m.gguf")
    for path in [folder.path, file] {
      let refusal = expectRefusal(path == file ? .storeMagic : .fileNotRegular) {
        try ModelStore(opening: path)
      }
      #expect(refusal?.remedy.contains("sextant convert \(path)") == true)
    }
    let other = folder.write("something else, long enough to be anything", to: "text")
    let refusal = expectRefusal(.storeMagic) { try ModelStore(opening: other) }
    #expect(refusal?.remedy.contains(other) == false)
  }

  @Test func theDamagedTensorIsNamed() throws {
    let folder = TemporaryFolder()
    var raw = try RawStore()
    raw.data[64] ^= 0x80
    let store = try ModelStore(opening: folder.write(raw.bytes, to: "model.sxt"))
    #expect(expectRefusal(.storeTensorDigest) { try store.verify() }?.place == .tensor("b.weight"))
  }
}
