import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantCheckpoints

/// Archives of NumPy that are read, and archives that are refused.
@Suite struct NumPyTests {
  private let folder = TemporaryFolder()

  private static func header(_ text: String, version: UInt8 = 1) -> [UInt8] {
    let count = text.utf8.count
    let width = version == 1 ? 2 : 4
    let length = (0..<width).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) }
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + Array(text.utf8)
  }

  private static func text(
    _ type: String = "<f4", _ order: String = "False", _ shape: String = "(2, 3)"
  ) -> String {
    "{'descr': '\(type)', 'fortran_order': \(order), 'shape': \(shape), }   \n"
  }

  private static let elements: [UInt8] = (0..<24).map { $0 }

  private func open(_ members: [RawZip.Member]) throws -> NumPyArchive {
    try NumPyArchive(folder.write(RawZip.file(members), to: "a.npz"))
  }

  private func open(_ bytes: [UInt8]) throws -> NumPyArchive {
    try open([RawZip.Member("weight.npy", bytes)])
  }

  @Test(arguments: [
    header(text()), header(text(), version: 2), header(text(), version: 3),
    header("{\"shape\": (2, 3), 'fortran_order': False, 'descr': '<f4'}"),
  ])
  func readsHeadersInEverySpelling(header: [UInt8]) throws {
    let archive = try open(header + Self.elements)
    let tensor = CheckpointTensor(name: "weight", dataType: .f32, shape: [2, 3], byteCount: 24)
    #expect(archive.tensors == [tensor])
    #expect(try archive.bytes(of: tensor) == Self.elements)
  }

  @Test(arguments: [
    ("<f4", "False", "(6,)", [0, 1, 2, 3, 4, 5]), (">f4", "False", "(6,)", [0, 1, 2, 3, 4, 5]),
    ("<f4", "True", "(2, 3)", [0, 2, 4, 1, 3, 5]), ("<f4", "True", "(6,)", [0, 1, 2, 3, 4, 5]),
    (">f4", "True", "(3, 2)", [0, 3, 1, 4, 2, 5]),
    ("<f4", "True", "(1, 3, 2)", [0, 3, 1, 4, 2, 5]),
  ])
  func handsElementsOverInOneOrder(
    type: String, order: String, shape: String, expected: [Int]
  ) throws {
    let numbers = (0..<6).flatMap { number -> [UInt8] in
      let bytes: [UInt8] = [UInt8(number), 0xA0, 0xB0, 0xC0]
      return type == ">f4" ? bytes.reversed() : bytes
    }
    let archive = try open(Self.header(Self.text(type, order, shape)) + numbers)
    let bytes = try archive.bytes(of: archive.tensors[0])
    #expect(stride(from: 0, to: 24, by: 4).map { Int(bytes[$0]) } == expected)
  }

  @Test(arguments: [
    ("()", [Int](), 4), ("(0, 3)", [0, 3], 0),
    ("(1, 1, 1, 1, 1, 1, 1, 1)", [1, 1, 1, 1, 1, 1, 1, 1], 4),
  ])
  func readsScalarsAndEmptyArrays(shape: String, expected: [Int], byteCount: Int) throws {
    let archive = try open(
      Self.header(Self.text("<f4", "False", shape)) + Self.elements.prefix(byteCount))
    #expect(archive.tensors[0].shape == expected)
    #expect(try archive.bytes(of: archive.tensors[0]).count == byteCount)
  }

  /// NumPy stores the bfloat16 of ml_dtypes as bytes without a type. Only the user knows what they
  /// are.
  @Test(arguments: ["<V2", "|V2"])
  func readsValuesWithoutATypeAsIntegers(type: String) throws {
    let archive = try open(Self.header(Self.text(type, "True", "(3, 4)")) + Self.elements)
    #expect(archive.tensors[0].dataType == .u16 && archive.tensors[0].shape == [3, 4])
    #expect(try archive.bytes(of: archive.tensors[0]).prefix(6) == [0, 1, 6, 7, 12, 13])
  }

  @Test func leavesTextsOut() throws {
    let text = Self.header(Self.text("<U3", "False", "()")) + Self.elements.prefix(12)
    let archive = try open([
      RawZip.Member("weight.npy", Self.header(Self.text()) + Self.elements),
      RawZip.Member("about.npy", text), RawZip.Member("raw.npy", Self.header(Self.text("|S4"))),
    ])
    #expect(archive.tensors.map(\.name) == ["weight"])
    #expect(archive.notes == ["left out about, which is text", "left out raw, which is text"])
    expectRefusal(.numpyNone) { try open(text) }
  }

  static let refused: [(bytes: [UInt8], code: Refusal.Code)] = [
    (Array("no array".utf8), .numpyHeader),
    (header(text(), version: 4) + elements, .numpyHeader),
    (Array((header(text()) + elements).prefix(20)), .numpyHeader),
    (header("{'descr': '<f4', 'fortran_order': False, }") + elements, .numpyHeader),
    (header("{'descr': '<f4', 'descr': '<f4', 'shape': (6,)}") + elements, .numpyHeader),
    (header(text() + "x") + elements, .numpyHeader),
    (header("__import__('os').system('true')") + elements, .numpyHeader),
    (header(text("<f4", "False", "(2, 3, )]")) + elements, .numpyHeader),
    (header(text("<f4", "False", "(6)")) + elements, .numpyHeader),
    (header(text("<f4", "False", "(-6,)")) + elements, .numpyHeader),
    (header(text("<f4", "False", "(06,)")) + elements, .numpyHeader),
    (header(text("<f4", "1")) + elements, .numpyHeader),
    (
      header("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (6,)}") + elements,
      .numpyHeader
    ),
    (header(text("|O")) + elements, .numpyDataType),
    (header(text("<c8")) + elements, .numpyDataType),
    (header(text(">V2")) + elements, .numpyDataType),
    (header(text("|V4")) + elements, .numpyDataType),
    (header(text("<U")) + elements, .numpyDataType),
    (header(text("|f4")) + elements, .numpyDataType),
    (header(text("<u1")) + elements, .numpyDataType),
    (header(text("f4")) + elements, .numpyDataType),
    (header(text("<f4", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 6)")) + elements, .numpyShape),
    (header(text("<f4", "False", "(4611686018427387904, 4)")) + elements, .numpyShape),
    (header(text("<f4", "False", "(7,)")) + elements, .numpySize),
    (header(text("<f4", "False", "(5,)")) + elements, .numpySize),
    (header(text("<f4", "False", "(9223372036854775807, 0)")) + elements, .numpySize),
  ]

  @Test(arguments: refused.indices)
  func refusesArraysByTheirCodes(index: Int) throws {
    let (bytes, code) = Self.refused[index]
    let refusal = expectRefusal(code, "case \(index)") { try open(bytes) }
    #expect(refusal?.place == .tensor("weight"))
    #expect(refusal?.file == folder.path("a.npz"))
  }

  static let array = header(text()) + elements

  static let archives: [(members: [RawZip.Member], code: Refusal.Code)] = {
    func member(_ name: String, _ change: (inout RawZip.Member) -> Void = { _ in }) -> RawZip.Member
    {
      var member = RawZip.Member(name, array)
      change(&member)
      return member
    }
    return [
      ([], .numpyNone),
      ([member("weight.npy"), member("weight.npy")], .zipName),
      ([member("../weight.npy")], .zipName),
      ([member("weight.npy"), member("README")], .zipMember),
      ([member(".npy")], .numpyName),
      ([member("e\u{301}.npy"), member("\u{E9}.npy")], .zipName),
      ([member("weight.npy") { $0.method = 12 }], .zipMethod),
      ([member("weight.npy") { $0.flags = 1 }], .zipStructure),
      ([member("weight.npy") { $0.localName = "height.npy" }], .zipDirectory),
      ([member("weight.npy") { $0.localByteCount = 7 }], .zipDirectory),
      ([member("weight.npy") { $0.method = 8 }], .zipDeflate),
      (
        [
          member("weight.npy") {
            $0.method = 8; $0.unpackedByteCount = 1 << 30
          }
        ], .zipBomb
      ),
    ]
  }()

  @Test(arguments: archives.indices)
  func refusesArchivesByTheirCodes(index: Int) throws {
    let (members, code) = Self.archives[index]
    expectRefusal(code, "case \(index)") { try open(members) }
  }

  @Test func refusesAWrongChecksumWhenTheArrayIsRead() throws {
    var member = RawZip.Member("weight.npy", Self.array)
    member.checksum = 1
    let archive = try open([member])
    expectRefusal(.zipCRC) { try archive.bytes(of: archive.tensors[0]) }
  }

  @Test func refusesATensorOfAnotherFile() throws {
    let archive = try open(Self.array)
    let stranger = CheckpointTensor(name: "stranger", dataType: .f32, shape: [1], byteCount: 4)
    expectRefusal(.modelTensorMissing) { try archive.bytes(of: stranger) }
  }

  @Test func isFoundByItsContent() throws {
    let bytes = RawZip.file([RawZip.Member("weight.npy", Self.array)])
    let source = try CheckpointSource.open(folder.write(bytes, to: "weights.zip"))
    #expect(source.checkpoint.format == "npz")
    let empty = folder.write(RawZip.file([]), to: "empty.npz")
    expectRefusal(.numpyNone) { try CheckpointSource.open(empty) }
  }

  /// An archive with a flipped bit, packed or stored, gives the same numbers or is refused.
  @Test(arguments: ["keras/mamba/packed.npz", "keras/mamba/model.npz"])
  func survivesDamage(fixture: String) throws {
    let bytes = try InputFile(PackageFiles.fixture(fixture)).readAll(limit: 1 << 20)
    var random = SplitMix64(seed: 9)
    for _ in 0..<150 {
      var damaged = bytes
      // The structure: the front with the first header, and the directory at the end.
      let count = bytes.count
      let place =
        random.int(below: 2) == 0 ? random.int(below: 400) : count - 1 - random.int(below: 900)
      damaged[place] ^= 1 << UInt8(random.int(below: 8))
      do {
        let archive = try NumPyArchive(folder.write(damaged, to: "damaged.npz"))
        for tensor in archive.tensors {
          #expect(try archive.bytes(of: tensor).count == tensor.byteCount)
        }
      } catch {
        let family = error.code.rawValue.prefix { $0 != "." }
        #expect(["npy", "zip", "file"].contains(family), "\(error)")
      }
    }
  }
}
