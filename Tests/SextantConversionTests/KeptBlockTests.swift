import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// GGUF files with weights in blocks, which native models keep as they are.
@Suite struct KeptBlockTests {
  private let folder = TemporaryFolder()

  /// The types of blocks, with their numbers in the format and the size of scales that makes weights of about 0.1.
  static let types: [(type: DataType, number: UInt32, scale: Float)] = [
    (.q4v0, 2, 0.02), (.q4v1, 3, 0.02), (.q5v0, 6, 0.01), (.q5v1, 7, 0.01), (.q8, 8, 0.002),
    (.q4k, 12, 0.0004), (.q5k, 13, 0.0002), (.q6k, 14, 0.0002),
  ]

  /// Tensors of a Llama of one block: names in GGUF, and shapes.
  private static let matrices: [(name: String, shape: [Int])] = [
    ("token_embd.weight", [40, 256]), ("output.weight", [40, 256]),
    ("blk.0.attn_q.weight", [256, 256]), ("blk.0.attn_k.weight", [128, 256]),
    ("blk.0.attn_v.weight", [128, 256]), ("blk.0.attn_output.weight", [256, 256]),
    ("blk.0.ffn_gate.weight", [512, 256]), ("blk.0.ffn_up.weight", [512, 256]),
    ("blk.0.ffn_down.weight", [256, 512]),
  ]
  private static let norms = [
    "output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight",
  ]

  private func blocks(
    _ type: DataType, _ count: Int, scale: Float, _ random: inout SplitMix64
  ) -> [UInt8] {
    var bytes = random.bytes(type.byteCount(elements: count))
    for block in 0..<bytes.count / type.byteWidth {
      for offset in RawGGUF.halves(of: type.rawValue) {
        let value = Float16(random.floats(1)[0] * scale)
        let place = block * type.byteWidth + offset
        bytes.replaceSubrange(place..<place + 2, with: value.bitPattern.littleEndianBytes)
      }
    }
    return bytes
  }

  /// A file of that model with random blocks.
  private func llama(
    _ type: (type: DataType, number: UInt32, scale: Float),
    edit: (inout [UInt8], String) -> Void = { _, _ in }
  ) -> String {
    var random = SplitMix64(seed: 71)
    var table: [[UInt8]] = []
    var data: [UInt8] = []
    for matrix in Self.matrices {
      let dimensions = matrix.shape.reversed().map { UInt64($0) }
      table.append(
        RawGGUF.tensor(
          matrix.name, dimensions, type: type.number, offset: UInt64(data.count)))
      var bytes = blocks(type.type, matrix.shape.reduce(1, *), scale: type.scale, &random)
      edit(&bytes, matrix.name)
      data += bytes
      while data.count % 32 != 0 { data.append(0) }
    }
    for name in Self.norms {
      table.append(RawGGUF.tensor(name, [256], offset: UInt64(data.count)))
      for _ in 0..<256 { data += Float(1).bitPattern.littleEndianBytes }
    }
    let values = [
      RawGGUF.entry("general.architecture", "llama"), RawGGUF.entry("llama.block_count", 1),
      RawGGUF.entry("llama.context_length", 64), RawGGUF.entry("llama.embedding_length", 256),
      RawGGUF.entry("llama.feed_forward_length", 512),
      RawGGUF.entry("llama.attention.head_count", 4),
      RawGGUF.entry("llama.attention.head_count_kv", 2),
      RawGGUF.entry("llama.attention.layer_norm_rms_epsilon", f32: 1e-5),
      RawGGUF.entry("llama.rope.freq_base", f32: 10_000),
      RawGGUF.entry("llama.rope.dimension_count", 64),
    ]
    return folder.write(
      RawGGUF.file(values: values, tensors: table, data: data), to: "\(type.type.word).gguf")
  }

  private func convert(
    _ path: String, as type: DataType? = nil
  ) throws -> (report: ConversionReport, store: ModelStore) {
    var options = ConversionOptions()
    (options.dataType, options.replacing) = (type, true)
    let name = folder.path("\(type?.word ?? "kept").sxt")
    let report = try Conversion(path, options: options).write(to: name)
    return (report, try ModelStore(opening: name))
  }

  private func logits(_ store: ModelStore) throws -> [Float] {
    let model = try Architectures.open(store)
    var state = model.initialState()
    return try model.run(TokenBatch([1, 7, 22, 39, 3, 0]), from: &state, logits: .all).values
  }

  @Test(arguments: types)
  func aModelKeepsTheBlocksOfItsFile(type: (type: DataType, number: UInt32, scale: Float)) throws {
    let path = llama(type)
    let (report, kept) = try convert(path)
    let (_, wide) = try convert(path, as: .f32)
    #expect(kept.identity == wide.identity && kept.variant == type.type.word)
    #expect(wide.variant == "source")
    #expect(report.notes.contains { $0.hasSuffix("9 in \(type.type.rawValue)") }, "\(report.notes)")
    for entry in kept.tensors {
      let isMatrix = entry.shape.count == 2
      #expect(entry.dataType == (isMatrix ? type.type : .f32), "\(entry.name)")
      #expect(entry.sourceDataType == .f32)
      // The rows of queries and keys have another order in the file.
      let own = try #require(kept.tensor(entry.name).converted(to: .f32))
      #expect(try own == wide.tensor(entry.name), "\(entry.name)")
    }
    try kept.verify()
    let expected = try logits(wide)
    #expect(expected.allSatisfy { $0.isFinite })
    #expect(try logits(kept).map(\.bitPattern) == expected.map(\.bitPattern))
  }

  @Test(arguments: types)
  func aFileWithTheSameBlocksIsWritten(type: (type: DataType, number: UInt32, scale: Float)) throws
  {
    let path = llama(type)
    let kept = try convert(path).store
    let report = try ModelExport(kept, as: .gguf).write(to: folder.path("back.gguf"))
    #expect(!report.notes.contains { $0.contains("written as") }, "\(report.notes)")
    let (before, after) = (try GGUFFile(path), try GGUFFile(folder.path("back.gguf")))
    for tensor in before.tensors {
      let other = try #require(after.tensors.first { $0.name == tensor.name })
      #expect(other.encoding == tensor.encoding && other.shape == tensor.shape, "\(tensor.name)")
      let blocks = tensor.inBlocks ?? tensor
      #expect(
        try before.bytes(of: blocks) == after.bytes(of: other.inBlocks ?? other), "\(tensor.name)")
    }
    let numbers: [DataType: Int64] = [
      .q4v0: 2, .q4v1: 3, .q8: 7, .q5v0: 8, .q5v1: 9, .q4k: 15, .q5k: 17, .q6k: 18,
    ]
    #expect(after.values["general.file_type"] == numbers[type.type].map { .integer($0) })
  }

  @Test func otherFormatsGetTheNumbersAndANote() throws {
    let kept = try convert(llama(Self.types[1])).store
    let report = try ModelExport(kept, as: .safetensors).write(to: folder.path("m.safetensors"))
    #expect(
      report.notes.contains("9 tensors in blocks of few bits (Q4_1) written as numbers"),
      "\(report.notes)")
    let file = try SafetensorsFile(folder.path("m.safetensors"))
    let found = try file.bytes(of: #require(file.tensor(named: "model.embed_tokens.weight")))
    let expected = try kept.tensor("embedding.weight").converted(to: .f32)
    #expect(found == expected?.withUnsafeBytes { Array($0) })
  }

  @Test(arguments: [(DataType.bf16, "bf16"), (.q8, "q8"), (.q4v1, "q4")])
  func blocksAreConvertedIfATypeIsAskedFor(type: DataType, word: String) throws {
    let path = llama(Self.types[5])
    let (report, store) = try convert(path, as: type)
    let (_, wide) = try convert(path, as: .f32)
    #expect(store.identity == wide.identity && store.variant == word)
    for entry in store.tensors where entry.shape.count == 2 {
      let isOuter = ["embedding.weight", "head.weight"].contains(entry.name)
      let expected: DataType = type == .q4v1 && isOuter ? .q8 : type
      #expect(entry.dataType == expected, "\(entry.name)")
      #expect(
        try store.tensor(entry.name) == wide.tensor(entry.name).converted(to: expected),
        "\(entry.name)")
    }
    #expect(
      report.notes.contains { $0.hasPrefix("tensors that were converted from blocks: ") },
      "\(report.notes)")
    #expect(try logits(store).allSatisfy { $0.isFinite })
  }

  /// A block whose scale is NaN or infinite was that in the file: its elements are reported.
  @Test func elementsOfTheFileThatAreNotFiniteAreReported() throws {
    let path = llama(Self.types[0]) { bytes, name in
      if name == "blk.0.attn_q.weight" { bytes.replaceSubrange(36..<38, with: [0x00, 0x7C]) }
      if name == "token_embd.weight" { bytes.replaceSubrange(0..<2, with: [0x00, 0x7E]) }
    }
    let (report, _) = try convert(path)
    #expect(report.nonfinite.map(\.count) == [32, 32])
    // Blocks of another type lose none of the finite elements beside them.
    let (again, _) = try convert(path, as: .q8)
    #expect(again.nonfinite.map(\.count) == [32, 32])
  }

  // MARK: Blocks that stay whole

  /// Of the operations of namings, those that move rows keep blocks, and those that compute elements, or
  /// move parts of rows, do not.
  @Test func operationsThatMoveRowsKeepBlocks() throws {
    let configuration = JSONObject([
      ("width", .integer(64)), ("heads", .integer(2)), ("kinds", .integer(4)),
      ("factor", .number(0.5)), ("one", .number(1)),
    ])
    let spec = WeightSpec("w", [128, 256], .matrix)
    let shapes: [ExactString: [Int]] = ["w": [128, 256], "v": [64, 256], "u": [3, 256]].reduce(
      into: [:]
    ) { $0[ExactString($1.key)] = $1.value }
    func keeps(_ source: Dialect.Source, _ type: DataType = .q4k) throws -> Bool {
      try StoredForm(spec, source, shapes: shapes, configuration, metadata: ["n": "1"])
        .keepsBlocks(type, of: spec)
    }
    let kept: [Dialect.Source] = [
      "w", .init(.tensor("w"), changes: [.pairedRows(headWidth: "width")]),
      .init(.tensor("w"), changes: [.groupedRows(kinds: 2, headCount: "heads")]),
      .init(.tensor("w"), changes: [.scaled([.init(by: ["one"])])]),
      .init(.tensor("w"), form: .ones([0])),
      .init(.share(of: "all", tensors: ["w", "v"], groups: .one)),
      .init(.share(of: "all", tensors: ["v", "u", "w"], groups: .one)),
      .init(.share(of: "all", tensors: ["w", "v"], groups: .number("heads"))),
      .init(.sequence([.init("a", count: ["width"]), .init("b", count: ["width"])])),
      .init(
        .tensor("w"), changes: [.tiledHeads(groups: "heads", heads: "kinds")]),
    ]
    for source in kept { #expect(try keeps(source), "\(source)") }
    let widened: [Dialect.Source] = [
      .init(.tensor("w"), isTransposed: true),
      .init(.tensor("w"), changes: [.negativeExponential]),
      .init(.tensor("w"), changes: [.plusOne]),
      .init(.tensor("w"), changes: [.scaled([.init(by: ["factor"])])]),
      .init(.tensor("w"), changes: [.halved(block: 3, every: "n")]),
      .init(
        .tensor("w"), changes: [.tiledHeads(groups: "heads", heads: "kinds", axis: 1)]),
    ]
    for source in widened.dropLast() { #expect(try !keeps(source), "\(source)") }
    // Heads of 64 columns are less than a block of 256, and two blocks of 32.
    if let tiled = widened.last {
      #expect(try !keeps(tiled))
      #expect(try keeps(tiled, .q4v0))
    }
    // A vector and a small tensor are never stored in blocks.
    let small = WeightSpec("w", [128, 256], .vector)
    let form = try StoredForm(small, "w", shapes: shapes, configuration, metadata: [:])
    #expect(!form.keepsBlocks(.q8, of: small))
  }
}
