import Glibc
import SextantBytes
import SextantLocks
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct WriterTests {
  let folder = TemporaryFolder()

  private func writer(
    _ tensors: [PlannedTensor], variant: String = StoreFormat.sourceVariant,
    configuration: JSONObject = JSONObject(), attachments: [(name: String, bytes: [UInt8])] = []
  ) throws -> StoreWriter {
    try StoreWriter(
      destination: folder.path("model.sxt"), architecture: "mamba", configuration: configuration,
      variant: variant, tensors: tensors, attachments: attachments)
  }

  private let plans = [
    PlannedTensor(name: "b", dataType: .f32, shape: [2]),
    PlannedTensor(name: "a", dataType: .bf16, shape: [2], sourceDataType: .f32),
  ]

  // MARK: Determinism

  /// A change of these bytes is a change of the format and needs a new version number.
  @Test func theBytesOfTheFormatAreFixed() throws {
    let digest = SHA256.digest(try Sample().bytes()).description
    #expect(digest == "9d7186608b6d40bd1b46441b841cfe40a0c6f68a9c2fa46564c8de2dd8be6a09")
  }

  @Test func sameInputSameBytesWhateverTheOrder() throws {
    let sample = Sample()
    var other = sample
    other.tensors.reverse()
    other.configuration = JSONObject(
      sample.configuration.members.reversed().map { ($0.key, $0.value) })
    #expect(try sample.bytes() == sample.bytes())
    #expect(try sample.bytes() == other.bytes())
  }

  @Test(arguments: [1, 7, 1000])
  func piecesMayBeCutAnywhere(pieceByteCount: Int) throws {
    let bytes = Sample.bytes(4 * 777)
    let writer = try writer([PlannedTensor(name: "a", dataType: .f32, shape: [777])])
    try writer.write("a") { sink throws(Refusal) in
      for start in stride(from: 0, to: bytes.count, by: pieceByteCount) {
        let piece = Array(bytes[start..<min(start + pieceByteCount, bytes.count)])
        try piece.handOver { piece throws(Refusal) in try sink.append(piece) }
      }
    }
    _ = try writer.finish()
    let store = try ModelStore(opening: folder.path("model.sxt"))
    try store.verify()
    #expect(try store.tensor("a").withUnsafeBytes { Array($0) } == bytes)
  }

  @Test(arguments: [1, 2, 5])
  func writingSeveralTensorsAtATimeChangesNoByte(threads: Int) throws {
    let sample = Sample()
    let byName = Dictionary(uniqueKeysWithValues: sample.tensors.map { ($0.plan.name, $0) })
    let writer = try StoreWriter(
      destination: folder.path("model.sxt"), architecture: sample.architecture,
      configuration: sample.configuration, variant: sample.variant,
      tensors: sample.tensors.map(\.plan), attachments: sample.attachments)
    try writer.writeAll(WorkerPool(threads: threads)) { plan, sink throws(Refusal) in
      guard let piece = byName[plan.name] else { return }
      try piece.stored.handOver { stored throws(Refusal) in
        try piece.source.handOver { source throws(Refusal) in
          try sink.append(stored, source: source)
        }
      }
    }
    _ = try writer.finish()
    #expect(try contents(of: folder.path("model.sxt")) == sample.bytes())
  }

  // MARK: Copies

  private static let sizes = [3, 0, 1 << 18, 300_001, 1 << 18, 64, 700_000]

  /// A file with a tensor of each size, and its parts by name.
  private func checkpoint() throws -> (parts: [String: FilePart], plans: [PlannedTensor]) {
    let file = try InputFile(
      folder.write(Sample.bytes(Self.sizes.reduce(0, +)), to: "checkpoint"))
    var (start, parts, plans) = (0, [String: FilePart](), [PlannedTensor]())
    for (index, size) in Self.sizes.enumerated() {
      parts["t\(index)"] = FilePart(file, start..<start + size)
      plans.append(PlannedTensor(name: "t\(index)", dataType: .u8, shape: [size]))
      start += size
    }
    return (parts, plans)
  }

  @Test(arguments: [1, 2, 5])
  func copyingPartsOfFilesChangesNoByte(threads: Int) throws {
    let (parts, plans) = try checkpoint()
    let pool = WorkerPool(threads: threads)
    let copied = try writer(plans)
    let seen = Lock(0)
    // One tensor remains for the other function.
    try copied.copy(pool, from: { $0.name == "t3" ? nil : parts[$0.name] }) { _, piece in
      seen.withLock { $0 += piece.count }
    }
    #expect(copied.missing.map(\.name) == ["t3"])
    #expect(seen.withLock { $0 } == Self.sizes.reduce(0, +) - Self.sizes[3])
    try copied.writeAll(pool) { plan, sink throws(Refusal) in
      guard let part = parts[plan.name] else { return }
      try part.file.read(at: part.range.lowerBound, count: part.range.count).handOver {
        piece throws(Refusal) in try sink.append(piece)
      }
    }
    _ = try copied.finish()
    let store = try ModelStore(opening: folder.path("model.sxt"))
    try store.verify()
    for (name, part) in parts {
      let bytes = try part.file.read(at: part.range.lowerBound, count: part.range.count)
      #expect(try store.tensor(name).withUnsafeBytes { Array($0) } == bytes)
      #expect(store.entry(name)?.digest == SHA256.digest(bytes))
      #expect(store.entry(name)?.sourceDigest == SHA256.digest(bytes))
    }
  }

  @Test func partsOfAnotherLengthOrTypeAreRefused() throws {
    let (parts, plans) = try checkpoint()
    let long = try writer(plans)
    expectRefusal(.storeTable) { try long.copy(from: { _ in parts["t0"] }) { _, _ in } }
    let plan = PlannedTensor(name: "t5", dataType: .bf16, shape: [32], sourceDataType: .f32)
    let other = try writer([plan], variant: "bf16")
    expectRefusal(.storeTable) { try other.copy(from: { _ in parts["t5"] }) { _, _ in } }
  }

  @Test func aFileThatEndsTooEarlyLeavesNoStore() throws {
    let (parts, plans) = try checkpoint()
    let copied = try writer(plans)
    truncate(folder.path("checkpoint"), 400_000)
    expectRefusal(.fileTooShort) { try copied.copy(from: { parts[$0.name] }) { _, _ in } }
    expectRefusal(.storeTable) { _ = try copied.finish() }
    #expect(folder.entries == ["checkpoint"])
  }

  @Test func oneOfSeveralTensorsThatFailsRefusesTheStore() throws {
    let writer = try writer(plans, variant: "bf16")
    #expect(throws: Refusal.self) {
      try writer.writeAll(WorkerPool(threads: 2)) { plan, sink throws(Refusal) in
        let bytes = Sample.bytes(plan.name == "a" ? 3 : 8)
        try bytes.handOver { piece throws(Refusal) in try sink.append(piece) }
      }
    }
    #expect(throws: Refusal.self) { _ = try writer.finish() }
    #expect(throws: Refusal.self) {
      try writer.writeAll { _, _ throws(Refusal) in }
    }
  }

  /// The header's length determines the offsets, and the digits of the offsets determine its
  /// length.
  @Test func everyHeaderLengthIsLaidOut() throws {
    for length in 0..<200 {
      let path = folder.path("model.sxt")
      try StoreWriter.publish(
        [("a", Tensor([1], shape: [1])), ("b", Tensor([2], shape: [1]))], to: path,
        replacing: true, architecture: "mamba",
        configuration: JSONObject([("text", .string(String(repeating: "x", count: length)))]),
        attachments: [("tokenizer.json", [1])])
      try ModelStore(opening: path).verify()
    }
  }

  // MARK: Identity

  @Test func theIdentityIsThatOfTheSource() throws {
    var kept = Sample()
    let source = Sample.bytes(24)
    kept.tensors = [.init("w", .f32, [2, 3], source)]
    var converted = kept
    converted.variant = "bf16"
    converted.tensors[0].plan.dataType = .bf16
    converted.tensors[0].stored = Sample.bytes(12)
    converted.attachments = []

    let identity = try kept.write(to: folder.path("kept.sxt"))
    #expect(try converted.write(to: folder.path("converted.sxt")) == identity)
    let store = try ModelStore(opening: folder.path("converted.sxt"))
    try store.verify()
    #expect(store.identity == identity)
    #expect(store.variant == "bf16")
    let entry = try #require(store.entry("w"))
    #expect(entry.isConverted)
    #expect(entry.dataType == .bf16)
    #expect(entry.digest == SHA256.digest(Sample.bytes(12)))
    #expect(entry.sourceDataType == .f32)
    #expect(entry.sourceDigest == SHA256.digest(source))
  }

  @Test func theIdentityIsTheDigestOfTheSpecifiedText() throws {
    var sample = Sample()
    sample.configuration = JSONObject([("width", 2), ("layers", 1)])
    sample.tensors = [.init("w", .f16, [2], [1, 2, 3, 4]), .init("b", .u8, [], [5])]
    let text = """
      {"architecture":"mamba","configuration":{"layers":1,"width":2},"tensors":[\
      ["b","U8",[],"\(SHA256.digest([5] as [UInt8]))"],\
      ["w","F16",[2],"\(SHA256.digest([1, 2, 3, 4] as [UInt8]))"]]}
      """
    #expect(try sample.write(to: folder.path("a.sxt")) == SHA256.digest(text.utf8))
  }

  @Test func theIdentityDependsOnEverythingThatMakesTheModel() throws {
    var samples = [Sample](repeating: Sample(), count: 7)
    samples[1].architecture = "rwkv4"
    samples[2].configuration["layers"] = 3
    samples[3].tensors[0].plan.name = "c.weight"
    samples[4].tensors[0].plan.shape = [3, 2]
    samples[5].tensors[0].plan.dataType = .i32
    samples[5].tensors[0].plan.sourceDataType = .i32
    samples[6].tensors[0].stored[0] ^= 1
    samples[6].tensors[0].source[0] ^= 1
    let identities = try samples.map { try $0.write(to: folder.path("a.sxt"), replacing: true) }
    #expect(Set(identities).count == samples.count)
  }

  @Test func theIdentityDoesNotDependOnTheTokenizer() throws {
    var other = Sample()
    other.attachments = [("tokenizer.json", [1]), ("merges.txt", [])]
    let identity = try Sample().write(to: folder.path("a.sxt"))
    #expect(try other.write(to: folder.path("b.sxt")) == identity)
    let store = try ModelStore(opening: folder.path("b.sxt"))
    #expect(store.attachments.map(\.name) == ["merges.txt", "tokenizer.json"])
    #expect(try store.attachment("merges.txt") == [])
  }

  // MARK: Refusals

  @Test func refusesPlansThatNoReaderWouldAccept() {
    func refuses(_ code: Refusal.Code, _ tensors: [PlannedTensor]) {
      expectRefusal(code) { try writer(tensors) }
    }
    let a = PlannedTensor(name: "a", dataType: .f32, shape: [2])
    refuses(.storeTable, [a, a])
    refuses(.storeTable, [PlannedTensor(name: "", dataType: .f32, shape: [2])])
    refuses(.storeTable, [PlannedTensor(name: "a\n", dataType: .f32, shape: [2])])
    refuses(.storeTable, [PlannedTensor(name: "a", dataType: .f32, shape: [-1])])
    refuses(.storeTable, [PlannedTensor(name: "a", dataType: .f32, shape: [1 << 62])])
    refuses(.storeTable, [PlannedTensor(name: "a", dataType: .u8, shape: [.max])])
    refuses(
      .storeTable,
      [PlannedTensor(name: "a", dataType: .u8, shape: [1 << 61], sourceDataType: .f64)])
    refuses(
      .storeTable,
      [PlannedTensor(name: "a", dataType: .u8, shape: [Int](repeating: 1, count: 9))])
    refuses(.storeHeader, plans)
    expectRefusal(.storeTable) {
      try writer([a], attachments: [("tokenizer.json", []), ("tokenizer.json", [])])
    }
    var deep: JSONValue = 1
    for _ in 0..<40 { deep = [deep] }
    expectRefusal(.jsonDepth) { try writer([a], configuration: JSONObject([("deep", deep)])) }
    #expect(folder.entries.isEmpty)
  }

  @Test(arguments: [
    (stored: 4, source: 7), (stored: 4, source: 9), (stored: 3, source: 8),
    (stored: 5, source: 8), (stored: 0, source: 0),
  ])
  func refusesMissingAndExtraBytes(stored: Int, source: Int) throws {
    let writer = try writer(plans, variant: "bf16")
    let refusal = expectRefusal(.storeTable) {
      try writer.write("a") { sink throws(Refusal) in
        try Sample.bytes(stored).handOver { stored throws(Refusal) in
          try Sample.bytes(source).handOver { source throws(Refusal) in
            try sink.append(stored, source: source)
          }
        }
      }
    }
    #expect(refusal?.place == .tensor("a"))
    // The written part of the tensor cannot be undone.
    if stored > 0 && stored <= 4 {
      expectRefusal(.storeTable) { try writer.write("a") { _ throws(Refusal) in } }
    }
    expectRefusal(.storeTable) { try writer.finish() }
  }

  @Test func refusesTensorsOutOfTurn() throws {
    let writer = try writer([
      PlannedTensor(name: "b", dataType: .f32, shape: [1]),
      PlannedTensor(name: "a", dataType: .f32, shape: [1]),
    ])
    #expect(writer.tensors.map(\.name) == ["a", "b"])
    let one = Tensor([1], shape: [1])
    expectRefusal(.storeTable) { try writer.write("b", one) }
    try writer.write("a", one)
    expectRefusal(.storeTable) { try writer.write("a", one) }
    expectRefusal(.storeTable) { try writer.finish() }
    try writer.write("b", one)
    expectRefusal(.storeTable) { try writer.write("c", one) }
    _ = try writer.finish()
    try ModelStore(opening: folder.path("model.sxt")).verify()
  }

  // MARK: Publishing

  @Test func nothingAppearsBeforeTheEndAndNothingStaysWithoutIt() throws {
    do {
      let writer = try writer([PlannedTensor(name: "a", dataType: .f32, shape: [1])])
      try writer.write("a", Tensor([1], shape: [1]))
      #expect(!folder.entries.contains("model.sxt"))
    }
    #expect(folder.entries.isEmpty)
  }

  @Test func anUnfinishedFileIsRecognised() throws {
    // The file that a killed conversion leaves on a file system without O_TMPFILE.
    let bytes = try Sample().bytes()
    for count in [64, 1024, bytes.count - 64, bytes.count] {
      let partial = bytes[..<32] + [UInt8](repeating: 0, count: count - 32)
      let path = folder.write(Array(partial), to: "partial.sxt")
      expectRefusal(.storePartial) { try ModelStore(opening: path) }
    }
  }

  @Test func anExistingFileIsKeptOrReplacedWhole() throws {
    let path = folder.path("model.sxt")
    var first = Sample()
    first.tensors = [.init("w", .f32, [1], [1, 2, 3, 4])]
    try first.write(to: path)
    let store = try ModelStore(opening: path)
    expectRefusal(.fileExists) { try Sample().write(to: path) }

    let identity = try Sample().write(to: path, replacing: true)
    #expect(try ModelStore(opening: path).identity == identity)
    // A process that has the old file open still reads it.
    #expect(try store.tensor("w").withUnsafeBytes { Array($0) } == [1, 2, 3, 4])
    try store.verify()
    #expect(folder.entries == ["model.sxt"])
  }

  // MARK: Size

  /// A sparse file of 64 GiB: reading its weights would take minutes and much memory.
  @Test func openingTouchesNoWeights() throws {
    let path = folder.path("large.sxt")
    let gigabytes = 64 << 30
    var raw = try RawStore()
    raw.edit("tensors") { $0 = [$0[0]] }
    raw.edit("attachments") { $0 = [] }
    raw["tensors", 0, "dtype"] = "U8"
    raw["tensors", 0, "shape"] = [.integer(Int64(gigabytes))]
    raw["tensors", 0, "bytes"] = .integer(Int64(gigabytes))
    raw.data = []
    raw.fileByteCount = UInt64(RawStore.dataStart + gigabytes + 64)
    raw.footerByteCount = raw.fileByteCount
    raw.header["identity"] = .string(raw.identity.description)
    let bytes = raw.bytes
    let file = try #require(fopen(path, "wb"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, RawStore.dataStart, file) == RawStore.dataStart)
    fseek(file, gigabytes, SEEK_CUR)
    #expect(fwrite(Array(bytes.suffix(64)), 1, 64, file) == 64)
    fflush(file)

    let store = try ModelStore(opening: path)
    let tensor = try store.tensor("a.bias")
    #expect(tensor.count == gigabytes)
    #expect(tensor.withUnsafeBytes { $0[gigabytes - 1] } == 0)
  }
}
