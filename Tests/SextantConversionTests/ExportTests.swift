import Glibc
import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantConversion

/// Models of the fixtures, written in the formats of other programs and read back.
@Suite struct ExportTests {
  private let files = ConversionFolder()
  private var folder: TemporaryFolder { files.folder }

  private func convert(
    _ source: String, as name: String, _ options: ConversionOptions = .init()
  ) throws -> ModelStore {
    try files.convert(source, as: name, options)
  }

  private func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path).readAll(limit: 1 << 30)
  }

  private func export(
    _ store: ModelStore, to name: String, _ options: ModelExportOptions = .init()
  ) throws -> ModelExportReport {
    try files.export(store, to: name, options)
  }

  private static let models = [
    "mamba-tiny/huggingface", "mamba-tiny/bf16", "mamba-tiny/untied", "mamba2-tiny/huggingface",
    "mamba2-tiny/grouped", "rwkv-tiny/rwkv4/huggingface", "rwkv-tiny/rwkv5/huggingface",
    "rwkv-tiny/rwkv6/huggingface", "rwkv-tiny/rwkv7/fla", "llama-tiny/huggingface",
    "llama-tiny/llama3", "llama-tiny/linear", "llama-tiny/mistral", "gpt-neox-tiny/huggingface",
    "gpt-neox-tiny/serial", "gpt-neox-tiny/f16", "btlm-tiny/huggingface",
    "demo-model/model.safetensors", "configurations/llama-yarn-mscale",
    "configurations/llama-longrope-in-long-text", "configurations/llama-dynamic-in-long-text",
    "configurations/llama-act-quick_gelu", "configurations/mistral-window-and-yarn",
    "configurations/neox-odd", "configurations/neox-dynamic",
    "configurations/rwkv-rescaled-epsilon", "configurations/rwkv-tied",
    "hybrids/checkpoints/lfm2", "hybrids/checkpoints/nemotron_h",
    "hybrids/checkpoints/falcon_mamba",
    "hybrids/checkpoints/granite_h", "hybrids/checkpoints/granite_attention",
    "hybrids/checkpoints/qwen3_5-multimodal",
    "hybrids/checkpoints/falcon_h1-bf16", "hybrids/checkpoints/qwen2_small",
    "hybrids/checkpoints/qwen3_small", "hybrids/checkpoints/gemma3_small",
    "hybrids/checkpoints/olmo3_small", "hybrids/checkpoints/olmo_hybrid_small",
    "hybrids/checkpoints/jamba",
  ]

  // MARK: Folders

  @Test(arguments: models) func aFolderConvertsToTheSameBytes(model: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    let report = try export(store, to: "out")
    #expect(report.files.contains("config.json") && report.tensorCount > 0)
    _ = try convert(folder.path("out"), as: "b.sxt")
    #expect(try bytes(folder.path("a.sxt")) == bytes(folder.path("b.sxt")))
  }

  /// transformers refuses a tensor of another shape, even where only a 1 is missing.
  @Test(arguments: [
    "mamba-tiny/huggingface", "mamba2-tiny/huggingface", "rwkv-tiny/rwkv4/huggingface",
    "rwkv-tiny/rwkv5/huggingface", "rwkv-tiny/rwkv6/huggingface", "rwkv-tiny/rwkv7/fla",
    "llama-tiny/huggingface", "gpt-neox-tiny/huggingface", "btlm-tiny/huggingface",
    "hybrids/checkpoints/lfm2", "hybrids/checkpoints/nemotron_h",
    "hybrids/checkpoints/falcon_mamba",
    "hybrids/checkpoints/granite_h", "hybrids/checkpoints/falcon_h1-bf16",
    "hybrids/checkpoints/qwen2_small", "hybrids/checkpoints/gemma3_small",
    "hybrids/checkpoints/olmo3_small", "hybrids/checkpoints/olmo_hybrid_small",
    "hybrids/checkpoints/jamba",
  ])
  func tensorsHaveTheirPublishedShapesAndBytes(model: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    _ = try export(store, to: "out")
    let original = try SafetensorsFile(PackageFiles.fixture("\(model)/model.safetensors"))
    let exported = try SafetensorsFile(folder.path("out/model.safetensors"))
    #expect(exported.tensors.count > 0)
    for tensor in exported.tensors {
      let expected = try #require(original.tensor(named: tensor.name), "\(tensor.name)")
      #expect(tensor == expected)
      #expect(try exported.bytes(of: tensor) == original.bytes(of: expected), "\(tensor.name)")
    }
  }

  @Test func largeFoldersAreSharded() throws {
    let store = try convert(PackageFiles.fixture("demo-model/model.safetensors"), as: "a.sxt")
    var options = ModelExportOptions()
    options.shardByteLimit = 2_000_000
    let report = try export(store, to: "out", options)
    #expect(report.files.filter { $0.hasPrefix("model-0000") }.count == 5)
    #expect(report.files.contains("model.safetensors.index.json"))
    _ = try convert(folder.path("out"), as: "b.sxt")
    #expect(try bytes(folder.path("a.sxt")) == bytes(folder.path("b.sxt")))
  }

  @Test func nothingIsReplacedUnlessAskedFor() throws {
    let store = try convert(PackageFiles.fixture("mamba-tiny/huggingface"), as: "a.sxt")
    _ = try export(store, to: "out")
    let before = try bytes(folder.path("out/model.safetensors"))
    expectRefusal(.fileExists) { try export(store, to: "out") }
    var options = ModelExportOptions()
    options.replacing = true
    _ = try export(store, to: "out", options)
    #expect(try bytes(folder.path("out/model.safetensors")) == before)
  }

  // MARK: Single files

  @Test(arguments: [
    ("mamba-tiny/huggingface", "huggingface"), ("mamba-tiny/huggingface", "state-spaces"),
    ("mamba2-tiny/huggingface", "state-spaces"), ("rwkv-tiny/rwkv4/huggingface", "blinkdl"),
    ("rwkv-tiny/rwkv5/huggingface", "blinkdl"), ("rwkv-tiny/rwkv6/blinkdl", "huggingface"),
    ("rwkv-tiny/rwkv7/fla", "blinkdl"), ("hybrids/checkpoints/granite_attention", "granite"),
  ])
  func everyNamingCanBeWrittenAndReadBack(model: String, naming: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    var options = ModelExportOptions()
    options.naming = naming
    var reading = ConversionOptions()
    _ = try export(store, to: "out", options)
    reading.configuration = folder.path("out/config.json")
    for name in ["m.safetensors", "m.pth"] {
      let report = try export(store, to: name, options)
      #expect(report.naming == naming)
      let back = try convert(folder.path(name), as: "\(name).sxt", reading)
      #expect(back.identity == store.identity && back.configuration == store.configuration)
    }
  }

  @Test func matricesCanBeWrittenInAnotherType() throws {
    let store = try convert(PackageFiles.fixture("demo-model/model.safetensors"), as: "a.sxt")
    var options = ModelExportOptions()
    options.dataType = .bf16
    _ = try export(store, to: "m.safetensors", options)
    let file = try SafetensorsFile(folder.path("m.safetensors"))
    let matrix = try #require(file.tensor(named: "backbone.embeddings.weight"))
    #expect(matrix.dataType == .bf16)
    let expected = try store.tensor("embedding.weight").converted(to: .bf16)
    let found = try file.bytes(of: matrix)
    #expect(expected?.withUnsafeBytes { Array($0) } == found)
    #expect(file.tensor(named: "backbone.norm_f.weight")?.dataType == .f32)
  }

  @Test func eightBitBlocksBecomeNumbersWithANote() throws {
    var conversion = ConversionOptions()
    conversion.dataType = .q8
    let store = try convert(
      PackageFiles.fixture("demo-model/model.safetensors"), as: "q8.sxt", conversion)
    let report = try export(store, to: "m.safetensors")
    #expect(report.notes.contains { $0.contains("blocks of few bits (Q8_0) written as numbers") })
    let file = try SafetensorsFile(folder.path("m.safetensors"))
    let matrix = try #require(file.tensor(named: "backbone.embeddings.weight"))
    let expected = try store.tensor("embedding.weight").converted(to: .f32)
    let found = try file.bytes(of: matrix)
    #expect(expected?.withUnsafeBytes { Array($0) } == found)
  }

  // MARK: HDF5

  @Test(arguments: [
    "mamba-tiny/huggingface", "mamba-tiny/bf16", "gpt-neox-tiny/f16", "rwkv-tiny/rwkv7/fla",
    "demo-model/model.safetensors",
  ])
  func anHDF5FileConvertsToTheSameBytes(model: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    _ = try export(store, to: "m.h5")
    var options = ConversionOptions()
    if try store.attachment("tokenizer") != nil {
      options.tokenizer = PackageFiles.fixture("demo-model/tokenizer.json")
    }
    _ = try convert(folder.path("m.h5"), as: "b.sxt", options)
    #expect(try bytes(folder.path("a.sxt")) == bytes(folder.path("b.sxt")))
    // The same weights give the same file.
    _ = try export(store, to: "n.h5")
    #expect(try bytes(folder.path("m.h5")) == bytes(folder.path("n.h5")))
  }

  @Test func aWriterThatFailsLeavesNothing() throws {
    for program in ["/bin/false", "/bin/cat", "/nonexistent/sextant-hdf5"] {
      var writer = HDF5Writer(writerPath: program, timeout: .seconds(2))
      try writer.add("a", .f32, shape: [1]) { sink throws(Refusal) in
        try [0, 0, 128, 63].span.bytes.withUnsafeBytes(sink)
      }
      let path = folder.path("no.h5")
      #expect(throws: Refusal.self) { try writer.publish(to: path) }
      #expect(access(path, F_OK) != 0)
    }
  }

  @Test(arguments: [
    ("a/b", DataType.f32, [1], Refusal.Code.hdf5Name), (".", .f32, [1], .hdf5Name),
    ("", .f32, [1], .hdf5Name), ("a", .i64, [1], .hdf5DataType), ("a", .q8, [32], .hdf5DataType),
    ("a", .f32, [0], .hdf5Dataspace),
    ("a", .f32, [Int](repeating: 1, count: 9), .hdf5Dataspace),
  ])
  func whatHDF5FilesDoNotHoldIsRefused(
    name: String, type: DataType, shape: [Int], code: Refusal.Code
  ) {
    expectRefusal(code) {
      var writer = HDF5Writer()
      try writer.add(name, type, shape: shape) { _ in }
    }
  }

  // MARK: GGUF

  @Test(arguments: [
    "rwkv-tiny/rwkv6/blinkdl", "rwkv-tiny/rwkv7/blinkdl", "llama-tiny/huggingface",
    "gpt-neox-tiny/huggingface", "hybrids/checkpoints/lfm2",
    "hybrids/checkpoints/granite_attention", "hybrids/checkpoints/qwen3_small",
    "hybrids/checkpoints/olmo3_small",
  ])
  func aGGUFConvertsToTheSameBytes(model: String) throws {
    _ = try export(convert(PackageFiles.fixture(model), as: "a.sxt"), to: "m.gguf")
    _ = try convert(folder.path("m.gguf"), as: "b.sxt")
    #expect(try bytes(folder.path("a.sxt")) == bytes(folder.path("b.sxt")))
  }

  /// Vectors are F32 in the files; the scaling of the rotation comes back from its factors.
  @Test(arguments: [
    "llama-tiny/llama3", "llama-tiny/linear", "gpt-neox-tiny/f16",
    "configurations/llama-llama3-length-outside", "configurations/llama-yarn-mscale",
    "configurations/llama-longrope-in-long-text",
  ])
  func aGGUFOfHalfPrecisionKeepsEveryNumber(model: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    _ = try export(store, to: "m.gguf")
    let back = try convert(folder.path("m.gguf"), as: "b.sxt")
    #expect(back.configuration == store.configuration)
    for entry in store.tensors {
      let (found, expected) = (try back.tensor(entry.name), try store.tensor(entry.name))
      #expect(found.converted(to: .f32) == expected.converted(to: .f32), "\(entry.name)")
    }
  }

  /// The files contain -exp(A_log) in f32, which does not determine the last bits of A_log.
  @Test(arguments: [
    "mamba-tiny/huggingface", "mamba2-tiny/huggingface", "demo-model/model.safetensors",
    "hybrids/checkpoints/nemotron_h", "hybrids/checkpoints/falcon_mamba",
    "hybrids/checkpoints/granite_h", "hybrids/checkpoints/jamba",
  ])
  func aMambaFromGGUFDiffersInTheRoundingOfOneTensorOnly(model: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    _ = try export(store, to: "m.gguf")
    let back = try convert(folder.path("m.gguf"), as: "b.sxt")
    #expect(back.configuration == store.configuration)
    #expect(try back.attachment("tokenizer") == store.attachment("tokenizer"))
    for entry in store.tensors {
      let (found, expected) = (try back.tensor(entry.name), try store.tensor(entry.name))
      guard entry.name.hasSuffix("A_log") else {
        #expect(found == expected, "\(entry.name)")
        continue
      }
      let pairs = zip(found.values, expected.values)
      #expect(pairs.allSatisfy { abs($0 - $1) <= 2e-7 * max(1, abs($1)) }, "\(entry.name)")
    }
  }

  /// The rows of these matrices are not multiples of 32.
  @Test func matricesThatStayNumbersAreNoted() throws {
    let store = try convert(PackageFiles.fixture("hybrids/checkpoints/nemotron_h"), as: "n.sxt")
    var options = ModelExportOptions()
    options.dataType = .q8
    let report = try export(store, to: "n.gguf", options)
    let file = try GGUFFile(folder.path("n.gguf"))
    #expect(file.tensors.allSatisfy { $0.dataType == .f32 && $0.encoding == nil })
    #expect(report.notes.contains { $0.contains("written as F32") }, "\(report.notes)")
    options.dataType = .f32
    options.replacing = true
    #expect(
      try !export(store, to: "n.gguf", options).notes.contains { $0.contains("written as F32") })
  }

  @Test func blocksOfEightBitsAreTheSameInGGUF() throws {
    var conversion = ConversionOptions()
    conversion.dataType = .q8
    let store = try convert(
      PackageFiles.fixture("demo-model/model.safetensors"), as: "q8.sxt", conversion)
    _ = try export(store, to: "m.gguf")
    let file = try GGUFFile(folder.path("m.gguf"))
    let matrix = try #require(file.tensor(named: "blk.0.ssm_in.weight"))
    #expect(matrix.encoding == "Q8_0")
    let expected = try store.tensor("blocks.0.mixer.in_proj.weight").converted(to: .f32)
    let found = try file.bytes(of: matrix)
    #expect(expected?.withUnsafeBytes { Array($0) } == found)
    #expect(file.values["general.file_type"] == .integer(7))

    // Scales and weights have the same bytes in the file, and in a model that is made from it.
    let written = try InputFile(folder.path("m.gguf")).readAll(limit: 1 << 30)
    conversion.replacing = true
    let again = try convert(folder.path("m.gguf"), as: "again.sxt", conversion)
    var blocks = 0
    for entry in store.tensors where entry.dataType == .q8 {
      let own = try store.tensor(entry.name).withUnsafeBytes { Array($0) }
      // Tensors start at multiples of 32 in the file.
      let isThere = stride(from: 0, through: written.count - own.count, by: 32).contains {
        written[$0] == own[0] && written[$0..<$0 + own.count].elementsEqual(own)
      }
      #expect(isThere, "\(entry.name)")
      #expect(try again.tensor(entry.name).withUnsafeBytes { Array($0) } == own, "\(entry.name)")
      blocks += own.count / 34
    }
    #expect(blocks > 1000 && again.variant == "q8")
  }

  @Test(arguments: [
    ("rwkv-tiny/rwkv4/huggingface", Refusal.Code.exportFormat, "rwkv4"),
    ("btlm-tiny/huggingface", .exportFormat, "btlm"),
    ("rwkv-tiny/rwkv7/fla", .exportInexpressible, "group_norm_epsilon"),
    ("mamba2-tiny/grouped", .exportInexpressible, "time_step_limit"),
    ("llama-tiny/mistral", .exportInexpressible, "model_type"),
    ("gpt-neox-tiny/serial", .exportInexpressible, "hidden_act"),
    ("configurations/llama-act-quick_gelu", .exportInexpressible, "hidden_act"),
    ("configurations/llama-dynamic-in-long-text", .exportInexpressible, "dynamic"),
    ("configurations/neox-odd", .exportInexpressible, "3 rotated channels"),
    ("hybrids/checkpoints/qwen2_small", .exportInexpressible, "window"),
    ("hybrids/checkpoints/gemma3_small", .exportInexpressible, "query_pre_attn_scalar"),
    ("hybrids/checkpoints/olmo_hybrid_small", .exportInexpressible, "gated delta rule"),
  ])
  func whatLlamaCppDoesNotComputeIsRefused(
    model: String, code: Refusal.Code, found: String
  ) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    let refusal = expectRefusal(code) { try export(store, to: "m.gguf") }
    #expect(refusal?.found.contains(found) == true)
    #expect(access(folder.path("m.gguf"), F_OK) != 0)
  }

  @Test(arguments: [
    ("llama-tiny/huggingface", "llama", 128), ("gpt-neox-tiny/huggingface", "gptneox", 128),
    ("mamba-tiny/huggingface", "mamba", 1 << 20),
  ])
  func theLengthOfTextsIsTheModelsOwn(model: String, name: String, length: Int64) throws {
    _ = try export(convert(PackageFiles.fixture(model), as: "a.sxt"), to: "m.gguf")
    let file = try GGUFFile(folder.path("m.gguf"))
    #expect(file.values["\(name).context_length"] == .integer(length))
  }

  @Test func theLengthOfTextsIsInAFolderToo() throws {
    _ = try export(convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "a.sxt"), to: "out")
    let config = try JSONNode(
      parsing: bytes(folder.path("out/config.json")), code: .modelConfiguration, file: nil)
    #expect(try config.member("max_position_embeddings").integer() == 128)
  }

  @Test func whatLlamaCppComputesWronglyIsWarnedOf() throws {
    let wrong = try export(
      convert(PackageFiles.fixture("rwkv-tiny/rwkv7/blinkdl"), as: "a.sxt"), to: "m.gguf")
    #expect(wrong.warnings.count == 1)
    #expect(wrong.warnings.first?.contains("head_dim is a multiple of 64") == true)
    let right = try export(
      convert(PackageFiles.fixture("rwkv-tiny/rwkv6/blinkdl"), as: "b.sxt"), to: "n.gguf")
    #expect(right.warnings.isEmpty)
  }

  @Test func aTokenizerCanBeLeftOut() throws {
    let store = try convert(PackageFiles.fixture("demo-model/model.safetensors"), as: "a.sxt")
    var options = ModelExportOptions()
    options.leavesOutTokenizer = true
    let report = try export(store, to: "m.gguf", options)
    #expect(report.notes.contains { $0.contains("token ids only") })
    let file = try GGUFFile(folder.path("m.gguf"))
    #expect(file.values["tokenizer.ggml.model"] == .string("none"))
    #expect(file.values["sextant.tokenizer"] == nil)
    #expect(
      try export(store, to: "out", options).files == [
        "model.safetensors", "generation_config.json", "config.json",
      ])
  }

  @Test func theTokenizerIsSpelledOutForOtherPrograms() throws {
    let store = try convert(PackageFiles.fixture("demo-model/model.safetensors"), as: "a.sxt")
    _ = try export(store, to: "m.gguf")
    let file = try GGUFFile(folder.path("m.gguf"))
    #expect(file.values["tokenizer.ggml.pre"] == .string("smollm"))
    guard case .array(let tokens)? = file.values["tokenizer.ggml.tokens"] else {
      Issue.record("no tokens")
      return
    }
    let tokenizer = try #require(try ModelTokenizer.load(from: store))
    let names = try #require(try file.strings(of: tokens))
    #expect(names.count == store.entry("embedding.weight")?.shape[0])
    for id in 0..<tokenizer.vocabularySize { #expect(names[id] == tokenizer.token(id)) }
  }

  @Test func aVocabularyOfBytesIsOneOfLongestTokens() throws {
    let lines = (0..<256).map { byte in
      let digits = String(byte, radix: 16)
      return "\(byte + 1) b'\\x\(digits.count < 2 ? "0" : "")\(digits)' 1"
    }
    let world = Array((lines + ["257 'film' 4", "300 b\"'\\t\" 2"]).joined(separator: "\n").utf8)
    let metadata = try GGUFTokenizerMetadata(world, vocabularySize: 302)
    var writer = GGUFWriter()
    for (key, value) in metadata.values where key != "sextant.tokenizer" { writer.set(key, value) }
    writer.set("general.architecture", .string("none"))
    try writer.add("token_embd.weight", Tensor(zeros: [302, 1]))
    try writer.publish(to: folder.path("t.gguf"))
    let content = try #require(try GGUFTokenizer(GGUFFile(folder.path("t.gguf"))).content())
    let (found, expected) = (try Tokenizers.load(bytes: content), try Tokenizers.load(bytes: world))
    #expect(found.vocabularySize == expected.vocabularySize)
    for text in ["The film was 'good'\n'\t", "naïve 日本 \\"] {
      #expect(found.encode(text) == expected.encode(text))
      #expect(found.decode(found.encode(text)) == text)
    }
  }

  // MARK: Options

  @Test func unknownNamingsAndEndingsAreRefused() throws {
    let store = try convert(PackageFiles.fixture("mamba-tiny/huggingface"), as: "a.sxt")
    var options = ModelExportOptions()
    options.naming = "fla"
    expectRefusal(.usageOption) { try export(store, to: "m.safetensors", options) }
    #expect(ModelExportFormat(path: "m.onnx") == nil)
    #expect(ModelExportFormat(path: "folder/m") == .huggingFace)
    #expect(ModelExportFormat(path: "a.b/m.h5") == .hdf5)
    #expect(ModelExportFormat(path: "M.GGUF") == .gguf)
  }

  @Test(arguments: [DataType.q8, .q4v1])
  func blocksAreRefusedWhereTheFormatHasNone(type: DataType) throws {
    let store = try convert(PackageFiles.fixture("mamba-tiny/huggingface"), as: "a.sxt")
    var options = ModelExportOptions()
    options.dataType = type
    for name in ["m.safetensors", "m.pth", "m.h5", "folder"] {
      expectRefusal(.usageOption) { try export(store, to: name, options) }
    }
  }

  /// A name may have a dot in it.
  @Test(arguments: [
    "llama-1.5b", "model.v2", "rwkv.0", "llama-1.5b/", "my.model/", "m.gguf/", "a.onnx//",
    ".hidden",
  ])
  func aFolderMayHaveADotInItsName(name: String) throws {
    #expect(ModelExportFormat(path: name) == .huggingFace)
    let store = try convert(PackageFiles.fixture("mamba-tiny/huggingface"), as: "a.sxt")
    #expect(
      try export(store, to: name).files
        == ["model.safetensors", "generation_config.json", "config.json"])
    _ = try convert(folder.path(name), as: "b.sxt")
    #expect(try bytes(folder.path("a.sxt")) == bytes(folder.path("b.sxt")))
  }

  @Test func aFolderThatIsThereIsOneWhateverItsName() throws {
    folder.makeFolder("my.model")
    #expect(ModelExportFormat(path: folder.path("my.model")) == .huggingFace)
    #expect(ModelExportFormat(path: folder.path("your.model")) == nil)
  }

  /// Programs read `model.safetensors` before an index beside it.
  @Test func otherWeightsAreNotLeftBesideTheExportedOnes() throws {
    let store = try convert(PackageFiles.fixture("mamba-tiny/huggingface"), as: "a.sxt")
    _ = try export(store, to: "out")
    var options = ModelExportOptions()
    options.replacing = true
    options.shardByteLimit = 10_000
    let refusal = expectRefusal(.fileExists) { try export(store, to: "out", options) }
    #expect(refusal?.file == folder.path("out/model.safetensors"))
  }

  /// The tiny Llama in f32 with these elements in its embedding.
  private func llama(embedding: [Float]) throws -> ModelStore {
    let source = try SafetensorsFile(
      PackageFiles.fixture("llama-tiny/huggingface/model.safetensors"))
    var writer = SafetensorsWriter()
    for entry in source.tensors {
      var values =
        try source.bytes(of: entry).withUnsafeBytes {
          Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
        }?.values ?? []
      if entry.name == "model.embed_tokens.weight" {
        values.replaceSubrange(5..<5 + embedding.count, with: embedding)
      }
      writer.add(entry.name, Tensor(values, shape: entry.shape))
    }
    try writer.publish(to: folder.path("model.safetensors"))
    var options = ConversionOptions()
    options.configuration = PackageFiles.fixture("llama-tiny/huggingface/config.json")
    return try convert(folder.path("model.safetensors"), as: "a.sxt", options)
  }

  @Test(arguments: ["out/", "m.safetensors", "m.pth", "m.gguf", "m.h5"])
  func finiteWeightsThatTheTypeCannotExpressAreRefused(name: String) throws {
    let store = try llama(embedding: [70_000, -1e6, 65_519, .infinity])
    var options = ModelExportOptions()
    options.dataType = .f16
    let refusal = expectRefusal(.modelOverflow) { try export(store, to: name, options) }
    #expect(refusal?.found == "2 elements beyond F16, such as 70000.0 as element 5")
    #expect(access(folder.path(name), F_OK) != 0)
    options.dataType = .bf16
    _ = try export(store, to: name, options)
  }
}
