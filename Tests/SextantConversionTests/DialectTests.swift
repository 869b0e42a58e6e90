import Glibc
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion
@testable import SextantModels

/// What namings do to tensors, in both directions, with a made-up architecture. The stored tensors
/// are made here by index, without the code that is tested.
@Suite struct DialectTests {
  private typealias Named = (name: String, value: Tensor)
  /// Rows of equal length.
  private typealias Matrix = [[Float]]

  private let folder = TemporaryFolder()
  private let specs: [WeightSpec]
  private let canonical: [String: Matrix]

  init() throws {
    specs = try Patchwork.weights(Patchwork.configuration)
    var random = SplitMix64(seed: 5)
    var canonical: [String: Matrix] = [:]
    for spec in specs {
      let length = spec.shape.count > 1 ? spec.shape[spec.shape.count - 1] : 1
      canonical[spec.name] = (0..<spec.shape.reduce(1, *) / length).map { _ in
        (0..<length).map { _ in Float(Int(random.next() % 255) - 127) / 64 }
      }
    }
    self.canonical = canonical
  }

  private func rows(_ name: String, _ range: Range<Int>? = nil) throws -> Matrix {
    let all = try #require(canonical[name])
    return range.map { Array(all[$0]) } ?? all
  }

  private func tensor(_ name: String, _ shape: [Int], _ rows: Matrix) -> Named {
    (name, Tensor(rows.flatMap { $0 }, shape: shape))
  }

  /// Canonical tensors under other names.
  private func same(_ names: [(String, String)]) throws -> [Named] {
    try names.map { canonical, name in
      let spec = try #require(specs.first { $0.name == canonical })
      return tensor(name, spec.shape, try rows(canonical))
    }
  }

  private func transposed(_ matrix: Matrix) -> Matrix {
    var result: Matrix = []
    for column in matrix[0].indices { result.append(matrix.map { $0[column] }) }
    return result
  }

  /// Head 3 g + r of two groups becomes head 2 r + g.
  private func tiled(_ rows: Matrix, width: Int = 1) -> Matrix {
    var result: Matrix = []
    for r in 0..<3 {
      for g in 0..<2 { result += rows[(3 * g + r) * width..<(3 * g + r + 1) * width] }
    }
    return result
  }

  /// One of `count` equal parts of a canonical tensor's rows.
  private func part(_ name: String, _ place: Int, of count: Int) throws -> Matrix {
    let all = try rows(name)
    let length = all.count / count
    return Array(all[place * length..<(place + 1) * length])
  }

  /// The parts of some canonical tensors, by groups.
  private func groups(_ names: [String], _ count: Int) throws -> Matrix {
    var result: Matrix = []
    for group in 0..<count {
      for name in names { result += try part(name, group, of: count) }
    }
    return result
  }

  // MARK: Stored tensors

  private func joined() throws -> [Named] {
    var down: Matrix = []
    for expert in 0..<3 { down += transposed(try part("expert.down", expert, of: 3)) }
    let own: [Named] = [
      tensor("model.layers.3.qkv", [42, 32], try groups(["q", "k", "v"], 1)),
      tensor("model.layers.3.query_gate", [16, 32], try groups(["query", "gate"], 2)),
      tensor("model.layers.3.gate_up", [3, 128, 32], try groups(["expert.gate", "expert.up"], 3)),
      tensor("model.layers.3.down", [3, 64, 32], down),
      tensor("model.layers.3.conv", [42, 1, 4], try rows("conv")),
    ]
    return try own
      + same([
        ("embedding.weight", "model.embed.weight"), ("final_norm.weight", "model.norm_f.weight"),
        ("z", "model.z"), ("b", "model.b"), ("a", "model.a"), ("A_log", "model.A_log"),
        ("norm", "model.norm"), ("out", "model.out"),
      ])
  }

  private func grouped() throws -> [Named] {
    var own: [Named] = [
      tensor("qkvz", [72, 32], try groups(["q", "k", "v", "z"], 2)),
      tensor("ba", [12, 32], try groups(["b", "a"], 2)),
      tensor("conv_q", [6, 1, 4], try rows("conv", 0..<6)),
      tensor("conv_k", [6, 1, 4], try rows("conv", 6..<12)),
      tensor("conv_v", [30, 1, 4], try rows("conv", 12..<42)),
    ]
    for expert in 0..<3 {
      for name in ["gate", "up"] {
        let rows = try part("expert.\(name)", expert, of: 3)
        own.append(tensor("experts.\(expert).\(name)", [64, 32], rows))
      }
      let down = transposed(try part("expert.down", expert, of: 3))
      own.append(tensor("experts.\(expert).down", [64, 32], down))
    }
    return try own
      + same([
        ("embedding.weight", "embed.weight"), ("final_norm.weight", "norm_f.weight"),
        ("A_log", "A_log"), ("norm", "norm"), ("out", "out"), ("query", "query"),
        ("gate", "gate"),
      ])
  }

  private func tiledTensors() throws -> [Named] {
    let query = try rows("query")
    // Row 2 h + i of a head's halves becomes row 2 i + h.
    let paired: Matrix = [0, 2, 1, 3, 4, 6, 5, 7].map { row in query[row].map { $0 * 0.5 } }
    var gate = try rows("gate")
    for row in gate.indices {
      let factor: Float = row < 2 ? 0.5 * 2 : 0.25
      gate[row] = gate[row].map { $0 * factor }
    }
    var out: Matrix = []
    for row in try rows("out") {
      out.append(tiled(row.map { [$0] }, width: 5).map { $0[0] })
    }
    let a: Matrix = tiled(try rows("A_log")).map { [Float(-exp(Double($0[0])))] }
    let norm: Matrix = try rows("norm").map { [$0[0] + 1] }
    let values = tiled(try rows("v"), width: 5)
    let convolution = tiled(try rows("conv", 12..<42), width: 5)
    let own: [Named] = [
      tensor("t.qkv", [42, 32], try rows("q") + rows("k") + values),
      tensor("t.b", [6, 32], tiled(try rows("b"))), tensor("t.a", [6, 32], tiled(try rows("a"))),
      tensor("t.A", [6, 1], a), tensor("t.out", [32, 30], out),
      tensor("t.conv", [42, 4], try rows("conv", 0..<12) + convolution),
      tensor("t.norm", [32], norm), tensor("t.query", [8, 32], paired),
      tensor("t.gate", [8, 32], gate),
    ]
    return try own
      + same([
        ("embedding.weight", "t.embed.weight"), ("final_norm.weight", "t.norm_f.weight"),
        ("z", "t.z"), ("expert.gate", "t.expert.gate"), ("expert.up", "t.expert.up"),
        ("expert.down", "t.expert.down"),
      ])
  }

  private func stored(_ dialect: String) throws -> [Named] {
    switch dialect {
    case "joined": try joined()
    case "grouped": try grouped()
    default: try tiledTensors()
    }
  }

  private func checkpoint(_ tensors: [Named], _ type: DataType = .f32) throws -> SafetensorsFile {
    var writer = SafetensorsWriter()
    for (name, value) in tensors { writer.add(name, try #require(value.converted(to: type))) }
    let path = folder.path("m.safetensors")
    try writer.publish(to: path, replacing: true)
    return try SafetensorsFile(path)
  }

  private func mapping(
    _ checkpoint: any Checkpoint, _ configuration: JSONObject = Patchwork.configuration
  ) throws -> WeightMapping {
    let leftOut = try LeftOutTensors([], weights: [], tensors: [])
    var configuration = configuration
    configuration["tie_embeddings"] = true
    return try WeightMapping(
      Patchwork.self, configuration, checkpoint, leavingOut: leftOut, isBaseModel: false)
  }

  private func bytes(_ mapping: WeightMapping, _ name: String, _ file: any Checkpoint) throws
    -> [UInt8]
  {
    var bytes: [UInt8] = []
    try mapping.read(name, from: file) { bytes += $0 }
    return bytes
  }

  // MARK: Reading and writing

  @Test(arguments: ["joined", "grouped", "tiled"])
  func everyFormOfTheWeightsIsReadAsTheSameTensors(dialect: String) throws {
    let file = try checkpoint(stored(dialect))
    let mapping = try mapping(file)
    #expect(mapping.dialect.name == dialect && mapping.notes.isEmpty)
    for spec in specs {
      let expected = Tensor(try rows(spec.name).flatMap { $0 }, shape: spec.shape)
      let found = try bytes(mapping, spec.name, file)
      let values = found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
      if spec.name == "A_log", dialect == "tiled" {  // by way of exp and log
        for (a, b) in zip(values, expected.values) { #expect(abs(a - b) < 1e-6) }
      } else {
        #expect(values == expected.values, "\(spec.name)")
      }
      // Pieces that are copied from the file contain the same bytes.
      if let part = mapping.part(of: spec.name, in: file) {
        let copy = try part.file.read(at: part.range.lowerBound, count: part.range.count)
        #expect(copy == found, "\(spec.name)")
      }
    }
  }

  @Test(arguments: ["joined", "grouped", "tiled"], [DataType.f32, .bf16])
  func aModelIsWrittenInEveryForm(dialect: String, type: DataType) throws {
    let path = folder.path("m.sxt")
    try StoreWriter.publish(
      specs.map { spec in
        let value = Tensor(try rows(spec.name).flatMap { $0 }, shape: spec.shape)
        return (spec.name, try #require(value.converted(to: spec.kind == .vector ? .f32 : type)))
      }, to: path, replacing: true, architecture: Patchwork.name,
      configuration: Patchwork.configuration)
    let naming = try #require(Patchwork.dialects.first { $0.name == dialect })
    let model = try PublishedModel(ModelStore(opening: path), Patchwork.self, naming) { $2 }
    let expected = try stored(dialect)
    #expect(Set(model.tensors.map(\.name)) == Set(expected.map(\.name)))
    #expect(model.tensors.count == expected.count)
    for tensor in model.tensors {
      let other = try #require(expected.first { $0.name == tensor.name }).value
      #expect(tensor.shape == other.shape, "\(tensor.name)")
      var bytes: [UInt8] = []
      try model.write(tensor) { bytes += $0 }
      let wanted = try #require(other.converted(to: tensor.dataType))
      #expect(bytes == wanted.withUnsafeBytes { Array($0) }, "\(tensor.name)")
      #expect(bytes.count == tensor.byteCount)
    }
  }

  /// Readers hand over pieces of any size.
  @Test(arguments: ["joined", "grouped", "tiled"], [1, 3, 640])
  func piecesOfAnySizeGiveTheSameElements(dialect: String, size: Int) throws {
    let tensors = Dictionary(uniqueKeysWithValues: try stored(dialect).map { ($0.name, $0.value) })
    let naming = try #require(Patchwork.dialects.first { $0.name == dialect })
    let shapes = Dictionary(
      uniqueKeysWithValues: specs.map { (ExactString($0.name), $0.shape) })
    for spec in specs where spec.name != "A_log" {
      let source = naming.source(spec.name)
      let form = try StoredForm(
        spec, source, shapes: shapes, Patchwork.configuration, metadata: [:])
      var reader = FormReader(form, .f32)
      var found: [UInt8] = []
      let body = { (piece: UnsafeRawBufferPointer) throws(Refusal) in found += piece }
      for name in source.names(spec.shape) {
        try tensors[name]?.withUnsafeBytes { bytes throws(Refusal) in
          for start in stride(from: 0, to: bytes.count, by: 4 * size) {
            try reader.append(
              UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 4 * size, bytes.count)]),
              body)
          }
        }
      }
      try reader.finish(body)
      let values = found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
      #expect(try values == rows(spec.name).flatMap { $0 }, "\(spec.name)")
    }
  }

  /// A change moves elements within a period, and only that much is in memory together.
  @Test func periodsAreAsShortAsTheChangesAllow() throws {
    let shapes = Dictionary(
      uniqueKeysWithValues: specs.map { (ExactString($0.name), $0.shape) })
    let expected = [
      ("joined", "q", 1), ("joined", "expert.gate", 1), ("joined", "expert.down", 64 * 32),
      ("grouped", "expert.down", 64 * 32), ("tiled", "query", 4 * 32), ("tiled", "out", 30),
      ("tiled", "gate", 1), ("tiled", "conv", 42 * 4),
    ]
    for (dialect, name, period) in expected {
      let naming = try #require(Patchwork.dialects.first { $0.name == dialect })
      let spec = try #require(specs.first { $0.name == name })
      let form = try StoredForm(
        spec, naming.source(name), shapes: shapes, Patchwork.configuration, metadata: [:])
      #expect(form.changes.period == period, "\(dialect) \(name)")
    }
  }

  @Test func expertsAreStoredInBlocksOfEightBits() throws {
    let mapping = try mapping(checkpoint(grouped(), .bf16))
    let types = Dictionary(
      uniqueKeysWithValues: mapping.plan(.q8).map { ($0.name, $0.dataType) })
    #expect(types["expert.gate"] == .q8 && types["expert.down"] == .q8 && types["q"] == .q8)
    // Rows of 30 columns are not whole blocks.
    #expect(types["out"] == .bf16 && types["conv"] == .bf16)
    #expect(mapping.matricesKeepingType(.q8) == ["out"])
  }

  /// A language model that is a part of another one has other prefixes, beside the other parts.
  @Test func aPartOfAnotherModelIsTheSameModel() throws {
    let wrapped = try joined().map { tensor in
      (name: tensor.name.replacing("model.", with: "model.language."), value: tensor.value)
    }
    let others = ["model.visual.blocks.0.qkv", "model.visual.norm", "mtp.fc"].map {
      (name: $0, value: Tensor(zeros: [3]))
    }
    let file = try checkpoint(wrapped + others)
    let weights = try ModelWeights(of: file, .init(), namedAs: [Patchwork.joined])
    #expect(
      weights.notes == [
        "left out the parts of the model that are not its language model: model.visual.* "
          + "(2 tensors), mtp.* (1 tensor)",
        "put \"model.\" in the place of \"model.language.\" in the tensors' names",
      ])
    let mapping = try mapping(weights.checkpoint)
    for spec in specs {
      let found = try bytes(mapping, spec.name, weights.checkpoint)
      let expected = Tensor(try rows(spec.name).flatMap { $0 }, shape: spec.shape)
      #expect(found == expected.withUnsafeBytes { Array($0) }, "\(spec.name)")
    }
  }

  /// The blocks of experts are written as they are, by groups.
  @Test func blocksOfExpertsAreWrittenUnchanged() throws {
    let path = folder.path("q8.sxt")
    try StoreWriter.publish(
      specs.map { spec in
        let value = Tensor(try rows(spec.name).flatMap { $0 }, shape: spec.shape)
        let type: DataType = spec.kind == .experts ? .q8 : .f32
        return (spec.name, try #require(value.converted(to: type)))
      }, to: path, architecture: Patchwork.name, configuration: Patchwork.configuration)
    let model = try PublishedModel(
      ModelStore(opening: path), Patchwork.self, Patchwork.joined
    ) { _, form, stored in form.changes.exist ? .f32 : stored }
    let written = try #require(model.tensors.first { $0.name == "model.layers.3.gate_up" })
    #expect(written.dataType == .q8 && written.shape == [3, 128, 32])
    var bytes: [UInt8] = []
    try model.write(written) { bytes += $0 }
    let expected = try joined().first { $0.name == written.name }?.value.converted(to: .q8)
    #expect(bytes == expected?.withUnsafeBytes { Array($0) })
  }

  // MARK: Files that differ

  @Test func aSequenceMayBeCutAtOtherRows() throws {
    var tensors = try grouped().filter { !$0.name.hasPrefix("conv_") }
    for (place, name) in ["conv_q", "conv_k", "conv_v"].enumerated() {
      let part = try rows("conv", 14 * place..<14 * place + 14)
      tensors.append(tensor(name, [14, 1, 4], part))
    }
    let file = try checkpoint(tensors)
    let found = try bytes(mapping(file), "conv", file)
    #expect(
      try found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        == rows("conv").flatMap { $0 })
  }

  @Test(arguments: [
    ("conv_v", [29, 1, 4], "41 rows in 3 tensors", "42"),
    ("conv_v", [30, 1, 3], "[30, 1, 3]", "[30, 1, 4]"),
    ("qkvz", [71, 32], "[71, 32]", "[72, 32]"), ("ba", [6, 64], "[6, 64]", "[12, 32]"),
    ("experts.1.down", [32, 64], "[32, 64]", "[64, 32]"),
  ])
  func otherShapesAreRefused(
    name: String, shape: [Int], found: String, expected: String
  ) throws {
    let tensors = try grouped().map {
      (name: $0.name, value: $0.name == name ? Tensor(zeros: shape) : $0.value)
    }
    let refusal = expectRefusal(.modelShape) { try mapping(checkpoint(tensors)) }
    #expect(refusal?.found == found && refusal?.expected == expected)
  }

  @Test func aMissingExpertIsNamed() throws {
    let tensors = try grouped().filter { $0.name != "experts.2.up" }
    let refusal = expectRefusal(.modelTensorMissing) { try mapping(checkpoint(tensors)) }
    #expect(refusal?.found == "no experts.2.up")
  }

  @Test func anExpertTooManyIsRefused() throws {
    let tensors = try grouped() + [(name: "experts.3.up", value: Tensor(zeros: [64, 32]))]
    let refusal = expectRefusal(.modelTensorUnexpected) { try mapping(checkpoint(tensors)) }
    #expect(refusal?.found == "experts.3.up")
  }

  @Test func expertsOfDifferentTypesAreRefused() throws {
    let tensors = try grouped().map { tensor in
      let type: DataType = tensor.name == "experts.1.up" ? .bf16 : .f32
      return (name: tensor.name, value: try #require(tensor.value.converted(to: type)))
    }
    let refusal = expectRefusal(.modelDataType) {
      var writer = SafetensorsWriter()
      for (name, value) in tensors { writer.add(name, value) }
      let path = folder.path("mixed.safetensors")
      try writer.publish(to: path)
      return try mapping(SafetensorsFile(path))
    }
    #expect(refusal?.place == .tensor("experts.1.up"))
    #expect(refusal?.expected == "F32, as in experts.0.up")
  }

  @Test(
    arguments: [
      ("grouped", "n_key_head", 4), ("joined", "n_head", 3), ("tiled", "n_value_head", 7),
      ("tiled", "multiplier", 0.0), ("tiled", "multipliers", [1.0]),
      ("grouped", "key_width", 4), ("tiled", "head_dim", 3),
    ] as [(String, String, JSONValue)])
  func numbersThatDoNotFitTheTensorsAreRefused(
    dialect: String, key: String, value: JSONValue
  ) throws {
    let file = try checkpoint(stored(dialect))
    var configuration = Patchwork.configuration
    configuration[key] = value
    let refusal = expectRefusal(.modelConfiguration) { try mapping(file, configuration) }
    #expect(refusal?.file == file.path)
  }
}
