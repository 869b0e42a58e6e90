import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// Files of `torch.save` with the same tensors are in fixtures/pytorch; a manual test showed that
/// PyTorch reads the files that are written here (2.13, weights_only, with and without mmap).
@Suite struct PyTorchWriterTests {
  private let folder = TemporaryFolder()

  private static let tensors: [(name: String, value: Tensor)] = [
    ("w", Tensor((0..<70_000).map(Float.init), shape: [700, 100])),
    ("blocks.0.att.time_state", Tensor([1, 2, 3, 4], shape: [1, 2, 2])),
    ("scalar", Tensor([5], shape: [])), ("empty", Tensor(zeros: [0, 3])),
    ("doubles", Tensor(doubles: [0.5, -1], shape: [2])), ("ids", Tensor(integers: [1 << 40, -1])),
    ("é", Tensor([1], shape: [1])),
  ]

  private func write(_ tensors: [(name: String, value: Tensor)], to name: String) throws -> String {
    var writer = PyTorchWriter()
    for (name, value) in tensors { writer.add(name, value) }
    try writer.publish(to: folder.path(name), replacing: true)
    return folder.path(name)
  }

  @Test func theStrictReaderReadsWhatIsWritten() throws {
    let file = try PyTorchFile(try write(Self.tensors, to: "a.pth"))
    #expect(file.tensors.count == Self.tensors.count)
    for (name, value) in Self.tensors {
      let entry = try #require(file.tensor(named: name))
      #expect(entry.dataType == value.dataType && entry.shape == value.shape)
      #expect(try file.bytes(of: entry) == value.withUnsafeBytes { Array($0) })
    }
  }

  @Test(arguments: [DataType.f64, .f32, .f16, .bf16, .i64, .i32, .i16, .i8, .u8, .bool])
  func writesEveryTypeThatPyTorchHas(_ type: DataType) throws {
    let bytes = [UInt8](repeating: 1, count: 3 * type.byteWidth)
    let value = try #require(
      bytes.withUnsafeBytes { Tensor(copying: $0, dataType: type, shape: [3]) })
    let file = try PyTorchFile(try write([("w", value)], to: "a.pt"))
    #expect(file.tensors[0].dataType == type)
    #expect(try file.bytes(of: file.tensors[0]) == bytes)
  }

  @Test func equalTensorsGiveEqualFilesUnderAnyName() throws {
    let (a, b) = (try write(Self.tensors, to: "a.pth"), try write(Self.tensors, to: "b.pt"))
    #expect(try InputFile(a).readAll(limit: 1 << 20) == InputFile(b).readAll(limit: 1 << 20))
  }

  @Test func storagesAreAligned() throws {
    let bytes = try InputFile(write(Self.tensors, to: "a.pth")).readAll(limit: 1 << 20)
    let doubles = [0.5, -1].flatMap { $0.bitPattern.littleEndianBytes }
    let place = try #require(
      (0..<bytes.count - 16).first { bytes[$0..<$0 + 16].elementsEqual(doubles) })
    #expect(place % 64 == 0)
  }

  @Test(
    arguments: [
      ([], .pytorchRoot), (["a", "a"], .pytorchKey), (["é", "e\u{301}"], .pytorchKey),
      ([""], .pytorchKey), (["../a"], .pytorchKey), (["a\n"], .pytorchKey),
    ] as [([String], Refusal.Code)])
  func refusesNamesThatNoReaderAccepts(_ names: [String], _ code: Refusal.Code) {
    let one = Tensor([1], shape: [1])
    expectRefusal(code) { try write(names.map { ($0, one) }, to: "a.pth") }
    #expect(folder.entries.isEmpty)
  }

  @Test func refusesTypesThatPyTorchDoesNotHave() throws {
    let blocks = try #require(Tensor(zeros: [1, 32]).converted(to: .q8))
    for value in [
      blocks, Tensor(zeros: [1], dataType: .u32), Tensor(zeros: [Int](repeating: 1, count: 9)),
    ] {
      expectRefusal(.pytorchTensorKind) { try write([("w", value)], to: "a.pth") }
    }
    expectRefusal(.fileExists) {
      var writer = PyTorchWriter()
      writer.add("w", Tensor([1], shape: [1]))
      try writer.publish(to: folder.path("b.pth"))
      try writer.publish(to: folder.path("b.pth"))
    }
  }
}
