import Glibc
import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// Models of the fixtures, written as GGUF files the way llama.cpp's converter does.
@Suite struct GGUFConversionTests {
  private let folder = TemporaryFolder()

  private func convert(_ path: String, as name: String) throws -> ModelStore {
    let destination = folder.path(name)
    _ = try Conversion(path).write(to: destination)
    return try ModelStore(opening: destination)
  }

  /// The tensors of a fixture under other names and with other elements.
  private func tensors(
    of fixture: String, _ edit: (String, [Int], [UInt8]) -> (String, [UInt8])
  ) throws -> [(name: String, shape: [Int], bytes: [UInt8])] {
    let file = try SafetensorsFile(PackageFiles.fixture("\(fixture)/model.safetensors"))
    return try file.tensors.filter { !$0.name.hasSuffix("inv_freq") }.map { tensor in
      let (name, bytes) = edit(tensor.name, tensor.shape, try file.bytes(of: tensor))
      return (
        name, tensor.shape.count == 3 ? [tensor.shape[0], tensor.shape[2]] : tensor.shape, bytes
      )
    }
  }

  private func rename(_ name: String, _ names: [(String, String)]) -> String {
    names.reduce(name) { $0.replacing($1.0, with: $1.1) }
  }

  // MARK: Llama

  private static let llamaNames = [
    ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
    ("model.layers", "blk"), ("input_layernorm", "attn_norm"), ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"), ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
  ]

  /// Row s · W/2 + i of each head becomes row 2 i + s, as llama.cpp's converter stores it.
  private func paired(_ bytes: [UInt8], rows: Int, headWidth: Int) -> [UInt8] {
    let width = bytes.count / rows
    var result = bytes
    for row in 0..<rows {
      let (head, place) = (row / headWidth * headWidth, row % headWidth)
      let target = head + 2 * (place % (headWidth / 2)) + place / (headWidth / 2)
      for byte in 0..<width { result[target * width + byte] = bytes[row * width + byte] }
    }
    return result
  }

  /// The tiny Llama, as a GGUF file with some more metadata and tensors.
  private func llama(
    _ c: JSONObject, _ values: [[UInt8]] = [],
    _ more: [(name: String, shape: [Int], bytes: [UInt8])] = [], replacing keys: [String] = []
  ) throws -> String {
    let node = JSONNode(.object(c), code: .modelConfiguration, file: nil)
    func number(_ key: String) throws -> UInt32 { try UInt32(node.member(key).integer()) }
    func double(_ key: String) throws -> Float { try Float(node.member(key).number()) }
    let headWidth = try number("head_dim")
    let tensors = try tensors(of: "llama-tiny/huggingface") { name, shape, bytes in
      let isTurned = name.contains("q_proj") || name.contains("k_proj")
      return (
        rename(name, Self.llamaNames),
        isTurned ? paired(bytes, rows: shape[0], headWidth: Int(headWidth)) : bytes
      )
    }
    let own = [
      RawGGUF.entry("general.architecture", "llama"),
      RawGGUF.entry("llama.block_count", try number("n_layer")),
      RawGGUF.entry("llama.context_length", try number("context_length")),
      RawGGUF.entry("llama.embedding_length", try number("d_model")),
      RawGGUF.entry("llama.feed_forward_length", try number("d_ff")),
      RawGGUF.entry("llama.attention.head_count", try number("n_head")),
      RawGGUF.entry("llama.attention.head_count_kv", try number("n_kv_head")),
      RawGGUF.entry("llama.attention.key_length", headWidth),
      RawGGUF.entry("llama.attention.layer_norm_rms_epsilon", f32: try double("norm_eps")),
      RawGGUF.entry("llama.rope.freq_base", f32: try double("rope_theta")),
      RawGGUF.entry("llama.rope.dimension_count", headWidth),
    ]
    let kept = own.filter { entry in
      !keys.contains { entry.starts(with: RawGGUF.string($0)) }
    }
    return folder.write(RawGGUF.file(values: kept + values, f32: tensors + more), to: "m.gguf")
  }

  @Test func aLlamaIsTheSameFromGGUF() throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let store = try convert(llama(reference.configuration), as: "m.sxt")
    #expect(store.configuration == reference.configuration)
    #expect(store.identity == reference.identity)
    for entry in reference.tensors {
      #expect(try store.tensor(entry.name) == reference.tensor(entry.name), "\(entry.name)")
    }
  }

  // MARK: Rotation

  private static func rope(_ key: String, _ value: Float) -> [UInt8] {
    RawGGUF.entry("llama.rope.\(key)", f32: value)
  }
  private static func type(_ name: String) -> [UInt8] {
    RawGGUF.entry("llama.rope.scaling.type", name)
  }
  private static let length = RawGGUF.entry("llama.rope.scaling.original_context_length", 32)
  private static func vector(
    _ name: String, _ values: [Float]
  ) -> (name: String, shape: [Int], bytes: [UInt8]) {
    (name, [values.count], values.flatMap { $0.bitPattern.littleEndianBytes })
  }
  private static let usualAttention = 0.1 * log(4.0) + 1
  private static let short: [Float] = [1, 1.5, 2, 2.5, 3, 3.5]
  private static let long: [Float] = [1, 2, 3, 4, 5, 6]
  private static func json(_ values: [Float]) -> JSONValue {
    .array(values.map { .number(Double($0)) })
  }

  /// The meaning of keys and tensors in llama.cpp, in the words of the configuration.
  @Test(
    arguments: [
      ([], [], .null), ([rope("scaling.factor", 4)], [], ["rope_type": "linear", "factor": 4.0]),
      ([rope("scale_linear", 4)], [], ["rope_type": "linear", "factor": 4.0]),
      (
        [rope("scaling.factor", 2), rope("scale_linear", 4)], [],
        ["rope_type": "linear", "factor": 2.0]
      ),
      ([type("none"), rope("scaling.factor", 4)], [], .null),
      ([rope("scaling.factor", 0)], [], .null),
      (
        [
          type("linear"), rope("scaling.factor", 4),
          RawGGUF.entry("llama.rope.scaling.finetuned", true),
        ],
        [], ["rope_type": "linear", "factor": 4.0]
      ),
      (
        [type("yarn"), rope("scaling.factor", 4), length, rope("scaling.attn_factor", 0.5)], [],
        [
          "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32.0,
          "attention_factor": .number(usualAttention * 0.5), "beta_fast": 32.0,
          "beta_slow": 1.0, "truncate": true,
        ]
      ),
      (
        [
          type("yarn"), rope("scaling.factor", 4), rope("scaling.yarn_beta_fast", 3),
          rope("scaling.yarn_log_multiplier", 0.5),
        ], [],
        [
          "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128.0,
          "attention_factor": .number(usualAttention / (1 + 0.5 * (usualAttention - 1))),
          "beta_fast": 3.0,
          "beta_slow": 1.0, "truncate": true,
        ]
      ),
      (
        [type("longrope"), length, rope("scaling.attn_factor", 1.25)],
        [vector("rope_factors_long.weight", long), vector("rope_factors_short.weight", short)],
        [
          "rope_type": "longrope", "short_factor": json(short), "long_factor": json(long),
          "original_max_position_embeddings": 32.0, "attention_factor": 1.25,
        ]
      ),
      // Factors that are those of no published scaling, alone and with a factor for all.
      (
        [], [vector("rope_freqs.weight", short)],
        [
          "rope_type": "longrope", "short_factor": json(short), "long_factor": json(short),
          "original_max_position_embeddings": 1.0, "attention_factor": 1.0,
        ]
      ),
      (
        [rope("scaling.factor", 2)], [vector("rope_freqs.weight", short)],
        [
          "rope_type": "longrope", "short_factor": json(short.map { 2 * $0 }),
          "long_factor": json(short.map { 2 * $0 }), "original_max_position_embeddings": 1.0,
          "attention_factor": 1.0,
        ]
      ),
    ] as [([[UInt8]], [(name: String, shape: [Int], bytes: [UInt8])], JSONValue)])
  func theRotationIsScaledAsLlamaCppScalesIt(
    values: [[UInt8]], tensors: [(name: String, shape: [Int], bytes: [UInt8])], scaling: JSONValue
  ) throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let store = try convert(llama(reference.configuration, values, tensors), as: "m.sxt")
    #expect(store.configuration["rope_scaling"] == scaling)
  }

  @Test(
    arguments: [
      ([type("ntk"), rope("scaling.factor", 4)], []),
      ([rope("scaling.factor", 4), rope("scaling.attn_factor", 2)], []),
      ([rope("scaling.factor", 4), rope("scaling.yarn_ext_factor", 1)], []),
      ([type("yarn"), rope("scaling.factor", 4)], [vector("rope_freqs.weight", short)]),
    ] as [([[UInt8]], [(name: String, shape: [Int], bytes: [UInt8])])])
  func aRotationThatIsNotSupportedIsRefused(
    values: [[UInt8]], tensors: [(name: String, shape: [Int], bytes: [UInt8])]
  ) throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let path = try llama(reference.configuration, values, tensors)
    expectRefusal(.modelUnsupported) { try Conversion(path) }
  }

  @Test(
    arguments: [
      ([rope("scaling.factor", -4)], []), ([type("longrope")], []),
      ([], [vector("rope_freqs.weight", [1, 2])]),
      ([], [vector("rope_freqs.weight", [1, 2, 0, 4, 5, 6])]),
      ([], [vector("rope_freqs.weight", [1, 2, .nan, 4, 5, 6])]),
      ([RawGGUF.entry("llama.rope.scaling.type", 1)], []),
    ] as [([[UInt8]], [(name: String, shape: [Int], bytes: [UInt8])])])
  func aBadRotationIsRefused(
    values: [[UInt8]], tensors: [(name: String, shape: [Int], bytes: [UInt8])]
  ) throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let path = try llama(reference.configuration, values, tensors)
    expectRefusal(.modelConfiguration) { try Conversion(path) }
  }

  @Test func onlyModelsThatAttendToEarlierTokensAreRead() throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let key = "llama.attention.causal"
    let both = try llama(reference.configuration, [RawGGUF.entry(key, false)])
    let refusal = expectRefusal(.modelUnsupported) { try Conversion(both) }
    #expect(refusal?.place == .key(key) && refusal?.expected == "true")
    let causal = try llama(reference.configuration, [RawGGUF.entry(key, true)])
    let report = try Conversion(causal).write(to: folder.path("m.sxt"))
    #expect(!report.notes.contains { $0.contains("causal") })
  }

  @Test func keysThatNothingReadsAreNamed() throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let values = [
      RawGGUF.entry("llama.attention.scale", f32: 0.5), RawGGUF.entry("llama.vocab_size", 101),
      RawGGUF.entry("general.name", "a name"),
    ]
    let path = try llama(reference.configuration, values)
    let report = try Conversion(path).write(to: folder.path("m.sxt"))
    let notes = report.notes.filter { $0.hasPrefix("not used") }
    #expect(notes.count == 1 && notes[0].contains("llama.attention.scale"))
    #expect(notes.allSatisfy { !$0.contains("vocab_size") && !$0.contains("general.name") })
  }

  // MARK: Mamba

  private static let mambaNames = [
    ("backbone.embeddings", "token_embd"), ("backbone.norm_f", "output_norm"),
    ("backbone.layers", "blk"), (".norm.", ".attn_norm."), ("mixer.A_log", "ssm_a"),
    ("mixer.D", "ssm_d"), ("mixer.dt_proj", "ssm_dt"), ("mixer.conv1d", "ssm_conv1d"),
    ("mixer.in_proj", "ssm_in"), ("mixer.x_proj", "ssm_x"), ("mixer.out_proj", "ssm_out"),
  ]

  @Test func aMambaIsTheSameFromGGUFButForTheRoundingOfItsMatrixA() throws {
    let fixture = "mamba-tiny/huggingface"
    let reference = try convert(PackageFiles.fixture(fixture), as: "reference.sxt")
    let tensors = try tensors(of: fixture) { name, _, bytes in
      guard name.hasSuffix("A_log") else { return (rename(name, Self.mambaNames), bytes) }
      var a: [UInt8] = []
      for place in stride(from: 0, to: bytes.count, by: 4) {
        let value = bytes.withUnsafeBytes {
          $0.loadUnaligned(fromByteOffset: place, as: Float.self)
        }
        a += Float(-exp(Double(value))).bitPattern.littleEndianBytes
      }
      return (rename(name, Self.mambaNames), a)
    }
    let keys = [
      ("embedding_length", "d_model"), ("block_count", "n_layer"), ("ssm.inner_size", "d_inner"),
      ("ssm.state_size", "d_state"), ("ssm.time_step_rank", "dt_rank"),
      ("ssm.conv_kernel", "d_conv"),
    ]
    var values = [RawGGUF.entry("general.architecture", "mamba")]
    for (key, canonical) in keys {
      guard case .integer(let value)? = reference.configuration[canonical] else { continue }
      values.append(RawGGUF.entry("mamba.\(key)", UInt32(value)))
    }
    values.append(RawGGUF.entry("mamba.attention.layer_norm_rms_epsilon", f32: 1e-5))
    let file = folder.write(RawGGUF.file(values: values, f32: tensors), to: "m.gguf")
    let store = try convert(file, as: "m.sxt")
    #expect(store.configuration == reference.configuration)
    for entry in reference.tensors {
      let (found, expected) = (try store.tensor(entry.name), try reference.tensor(entry.name))
      guard entry.name.hasSuffix("A_log") else {
        #expect(found == expected, "\(entry.name)")
        continue
      }
      let pairs = zip(floats(found), floats(expected))
      #expect(pairs.allSatisfy { abs($0 - $1) <= 2e-7 * max(1, abs($1)) }, "\(entry.name)")
    }
  }

  private func floats(_ tensor: Tensor) -> [Float] {
    tensor.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  // MARK: Refusals

  @Test func refusesModelsThatItCannotTranslate() {
    func refusal(_ code: Refusal.Code, _ values: [[UInt8]]) -> Refusal? {
      let bytes = RawGGUF.file(
        values: values, f32: [("token_embd.weight", [1, 2], [UInt8](repeating: 0, count: 8))])
      let path = folder.write(bytes, to: "m.gguf")
      let refusal = expectRefusal(code) { try Conversion(path) }
      #expect(refusal?.file == path)
      return refusal
    }
    let llama = RawGGUF.entry("general.architecture", "llama")
    let other = refusal(.modelArchitecture, [RawGGUF.entry("general.architecture", "gemma")])
    #expect(other?.found == "\"gemma\"" && other?.place == .key("general.architecture"))
    let vector = refusal(
      .modelArchitecture, [RawGGUF.entry("general.architecture", "controlvector")])
    #expect(vector?.found == "a control vector, not a model")
    #expect(vector?.remedy.contains("`model`") == true)
    #expect(refusal(.modelConfiguration, [llama])?.found == "no llama.embedding_length")
    let heads = [
      llama, RawGGUF.entry("llama.attention.head_count", 1),
      RawGGUF.entry("llama.embedding_length", 2), RawGGUF.entry("llama.block_count", 1),
      RawGGUF.entry("llama.feed_forward_length", 2),
      RawGGUF.entry("llama.attention.layer_norm_rms_epsilon", f32: 1e-5),
    ]
    for (key, value) in [("expert_count", 8), ("rope.dimension_count", 1)] as [(String, UInt32)] {
      let found = refusal(.modelUnsupported, heads + [RawGGUF.entry("llama.\(key)", value)])?
        .found
      #expect(found == "llama.\(key) \(value)")
    }
  }

  /// Some models of llama.cpp have one number for each block. Here all blocks have the same.
  @Test func oneNumberForEachBlockIsReadWhereAllAreEqual() throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let node = JSONNode(.object(reference.configuration), code: .modelConfiguration, file: nil)
    let blocks = try node.member("n_layer").integer()
    let heads = try UInt32(node.member("n_kv_head").integer())
    let (key, other) = ("llama.attention.head_count_kv", "llama.feed_forward_length")
    func array(_ key: String, _ values: [UInt32]) -> [UInt8] {
      let elements = values.flatMap(\.littleEndianBytes)
      return RawGGUF.entry(
        key, 9, UInt32(4).littleEndianBytes + UInt64(values.count).littleEndianBytes + elements)
    }
    let equal = [UInt32](repeating: heads, count: blocks)
    let path = try llama(reference.configuration, [array(key, equal)], replacing: [key])
    #expect(try convert(path, as: "m.sxt").identity == reference.identity)

    let differing = [heads + 1] + equal.dropFirst()
    let uneven = try llama(reference.configuration, [array(key, differing)], replacing: [key])
    let refusal = expectRefusal(.modelUnsupported) { try Conversion(uneven) }
    #expect(refusal?.place == .key(key))
    #expect(refusal?.found == "[\(differing.map { "\($0)" }.joined(separator: ", "))]")
    for values in [[], equal + [heads]] {
      let count = try llama(reference.configuration, [array(key, values)], replacing: [key])
      #expect(expectRefusal(.modelConfiguration) { try Conversion(count) }?.place == .key(key))
    }
    let width = try UInt32(node.member("d_ff").integer())
    let widths = [UInt32](repeating: width, count: blocks)
    let wide = try llama(reference.configuration, [array(other, widths)], replacing: [other])
    #expect(try convert(wide, as: "w.sxt").identity == reference.identity)
  }

  /// The configuration is made from the metadata, so that a user can find only the metadata.
  @Test(
    arguments: [
      ("llama.attention.head_count_kv", 5), ("llama.attention.head_count", 0),
      ("llama.embedding_length", 0), ("llama.block_count", 0), ("llama.feed_forward_length", 0),
      ("llama.context_length", 0),
    ] as [(String, UInt32)])
  func refusalsNameTheKeyOfTheMetadata(key: String, value: UInt32) throws {
    let reference = try convert(PackageFiles.fixture("llama-tiny/huggingface"), as: "reference.sxt")
    let path = try llama(
      reference.configuration, [RawGGUF.entry(key, value)], replacing: [key])
    do {
      _ = try Conversion(path)
      Issue.record("not refused")
    } catch {
      let isOfWhole = key.hasSuffix("head_count_kv")  // it contradicts another key
      #expect(isOfWhole || error.description.contains("(key \(key))"), "\(error)")
      #expect(!error.description.contains("Repair config.json"), "\(error)")
      #expect(!error.description.contains("at /"), "\(error)")
    }
  }

  // MARK: Tokenizer

  /// The demo model's tokenizer as metadata, with edits.
  private func tokenizerValues(
    pre: String = "smollm", _ edit: (inout [String], inout [Int32]) -> Void = { _, _ in }
  ) throws -> [[UInt8]] {
    let path = PackageFiles.fixture("demo-model/tokenizer.json")
    let root = try JSONNode(
      parsing: InputFile(path).readAll(limit: 1 << 20), code: .tokenizerInvalid, file: path)
    let words = try root.member("model").member("vocab").members()
    var tokens = [String](repeating: "", count: words.count)
    for (word, id) in words { tokens[try id.integer()] = word }
    var kinds = [Int32](repeating: 1, count: tokens.count)
    for token in try root.member("added_tokens").elements() {
      kinds[try token.member("id").integer()] = 3
    }
    let merges = try root.member("model").member("merges").elements().map { node in
      if case .array = node.value {
        return try node.elements().map { try $0.string() }.joined(separator: " ")
      }
      return try node.string()
    }
    edit(&tokens, &kinds)
    return [
      RawGGUF.entry("tokenizer.ggml.model", "gpt2"), RawGGUF.entry("tokenizer.ggml.pre", pre),
      RawGGUF.entry("tokenizer.ggml.tokens", 9, RawGGUF.array(tokens)),
      RawGGUF.entry("tokenizer.ggml.token_type", 9, RawGGUF.array(kinds)),
      RawGGUF.entry("tokenizer.ggml.merges", 9, RawGGUF.array(merges)),
    ]
  }

  /// The demo model's weights as a GGUF file that has no configuration of its own.
  private func demo(_ tokenizer: [[UInt8]]) throws -> String {
    let values = [RawGGUF.entry("general.architecture", "none")] + tokenizer
    let tensors = try tensors(of: "demo-model") { name, _, bytes in (name, bytes) }
    return folder.write(RawGGUF.file(values: values, f32: tensors), to: "demo.gguf")
  }

  private var options: ConversionOptions {
    var options = ConversionOptions()
    options.configuration = PackageFiles.fixture("demo-model/config.json")
    return options
  }

  @Test func theTokenizerGivesTheSameIdsFromGGUF() throws {
    let destination = folder.path("demo.sxt")
    _ = try Conversion(demo(tokenizerValues()), options: options).write(to: destination)
    let found = try #require(try ModelTokenizer.load(from: ModelStore(opening: destination)))
    let path = PackageFiles.fixture("demo-model/tokenizer.json")
    let expected = try Tokenizers.load(bytes: InputFile(path).readAll(limit: 1 << 20), file: path)
    #expect(found.vocabularySize == expected.vocabularySize)
    for text in ["The film was 2023 times worse<|endoftext|>!", "  naïve  \n\n日本", "<|pad|> a"] {
      #expect(found.encode(text) == expected.encode(text))
    }
  }

  @Test func refusesTokenizersThatItDoesNotKnow() throws {
    func refusal(_ code: Refusal.Code, _ values: [[UInt8]]) throws {
      let path = try demo(values)
      #expect(expectRefusal(code) { try Conversion(path, options: options) }?.file == path)
    }
    try refusal(.tokenizerUnsupported, tokenizerValues(pre: "deepseek-llm"))
    try refusal(.tokenizerUnsupported, [RawGGUF.entry("tokenizer.ggml.model", "bert")])
    try refusal(
      .tokenizerInvalid,
      tokenizerValues {
        $0[500] = $0[501]; _ = $1
      })
    try refusal(
      .tokenizerInvalid,
      tokenizerValues {
        _ = $0; $1[500] = 9
      })
    try refusal(
      .tokenizerInvalid,
      tokenizerValues {
        _ = $0; $1.removeLast()
      })
  }
}

/// `SEXTANT_SMOLLM` names the published `SmolLM2-135M-Instruct.Q4_1.gguf`.
private let smolLM = getenv("SEXTANT_SMOLLM").map { String(cString: $0) }

@Test(.enabled(if: smolLM != nil)) func aPublishedLlamaConvertsWithItsTokenizer() throws {
  let folder = TemporaryFolder()
  let destination = folder.path("smollm.sxt")
  let report = try Conversion(try #require(smolLM)).write(to: destination)
  #expect(report.architecture == "llama")
  #expect(report.tensorCount == 272)
  #expect(report.parameterCount == 134_515_008)
  #expect(report.nonfinite.isEmpty)
  let store = try ModelStore(opening: destination)
  #expect(store.configuration["norm_eps"] == .number(1e-5))
  let tokenizer = try #require(try ModelTokenizer.load(from: store))
  #expect(tokenizer.vocabularySize == 49_152)
  let model = try Architectures.open(store)
  var state = model.initialState()
  let logits = try model.run(
    TokenBatch(tokenizer.encode("The capital of France is")), from: &state)  // [1, 1, V]
  #expect(tokenizer.decode(Kernels.argmax(logits)) == " Paris")
}
