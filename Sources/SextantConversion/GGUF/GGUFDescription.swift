import SextantBytes
import SextantCheckpoints

/// What a GGUF file says of its model, in the words of the formats that the rest of the program
/// reads: a published `config.json` and a `tokenizer.json`.
///
/// Architectures and tokenizers so know nothing of GGUF but the names of tensors, which are a
/// dialect like any other.
struct GGUFDescription {
  private let file: GGUFFile

  /// The description in a checkpoint; nil for other formats, and for a file of weights alone.
  init?(_ checkpoint: any Checkpoint) {
    guard let file = checkpoint as? GGUFFile, file.values[Self.architectureKey] != nil else {
      return nil
    }
    self.file = file
  }

  private static let architectureKey = "general.architecture"

  /// The configuration as transformers publishes it.
  ///
  /// - Throws: `model.architecture` for models that have none here, `model.config`.
  func configuration() throws(FormatError) -> JSONNode {
    let name = try string(Self.architectureKey)
    let configuration: JSONObject
    switch name {
    case "llama": configuration = try llama()
    case "mamba": configuration = try mamba()
    default:
      throw FormatError(
        .modelArchitecture, file: file.path, found: "\(Self.architectureKey) \"\(name)\"",
        expected: "llama or mamba", remedy: "Give the model's config.json with --config.")
    }
    return JSONNode(.object(configuration), code: .modelConfiguration, file: file.path)
  }

  /// A `tokenizer.json`; nil where the file has no tokenizer.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`.
  func tokenizer() throws(FormatError) -> [UInt8]? {
    guard file.values["tokenizer.ggml.model"] != nil else { return nil }
    return try GGUFTokenizer(file).json().canonicalBytes
  }

  // MARK: Architectures

  private func llama() throws(FormatError) -> JSONObject {
    let heads = try integer("llama.attention.head_count")
    let width = try integer("llama.embedding_length")
    let headWidth = try optionalInteger("llama.attention.key_length") ?? width / max(heads, 1)
    // What the architecture can't do, or what would have to be guessed.
    try require("llama.attention.value_length", headWidth)
    try require("llama.rope.dimension_count", headWidth)
    try require("llama.attention.sliding_window", 0)
    try require("llama.expert_count", 0)
    return JSONObject([
      ("model_type", "llama"), ("hidden_size", .integer(width)),
      ("num_hidden_layers", .integer(try integer("llama.block_count"))),
      ("vocab_size", .integer(try vocabularySize())),
      ("intermediate_size", .integer(try integer("llama.feed_forward_length"))),
      ("num_attention_heads", .integer(heads)),
      (
        "num_key_value_heads",
        .integer(try optionalInteger("llama.attention.head_count_kv") ?? heads)
      ),
      ("head_dim", .integer(headWidth)),
      ("rms_norm_eps", .number(try number("llama.attention.layer_norm_rms_epsilon"))),
      ("rope_theta", .number(try optionalNumber("llama.rope.freq_base") ?? 10_000)),
      ("rope_scaling", try ropeScaling("llama.rope.scaling")),
      ("attention_bias", .boolean(has("blk.0.attn_q.bias"))),
      ("mlp_bias", .boolean(has("blk.0.ffn_up.bias"))),
      ("tie_word_embeddings", .boolean(!has("output.weight"))),
    ])
  }

  private func ropeScaling(_ prefix: String) throws(FormatError) -> JSONValue {
    guard let type = file.values["\(prefix).type"], type != .string("none") else { return .null }
    guard type == .string("linear") else {
      throw refusal("another \(prefix).type", expected: "none or linear")
    }
    return ["rope_type": "linear", "factor": .number(try number("\(prefix).factor"))]
  }

  private func mamba() throws(FormatError) -> JSONObject {
    if let value = file.values["mamba.ssm.dt_b_c_rms"], value != .boolean(false) {
      throw refusal("mamba.ssm.dt_b_c_rms", expected: "no norms of delta, B and C")
    }
    return JSONObject([
      ("model_type", "mamba"), ("hidden_size", .integer(try integer("mamba.embedding_length"))),
      ("num_hidden_layers", .integer(try integer("mamba.block_count"))),
      ("vocab_size", .integer(try vocabularySize())),
      ("intermediate_size", .integer(try integer("mamba.ssm.inner_size"))),
      ("state_size", .integer(try integer("mamba.ssm.state_size"))),
      ("time_step_rank", .integer(try integer("mamba.ssm.time_step_rank"))),
      ("conv_kernel", .integer(try integer("mamba.ssm.conv_kernel"))),
      ("layer_norm_epsilon", .number(try number("mamba.attention.layer_norm_rms_epsilon"))),
      ("use_conv_bias", .boolean(has("blk.0.ssm_conv1d.bias"))),
      ("tie_word_embeddings", .boolean(!has("output.weight"))),
    ])
  }

  // MARK: Values

  private func has(_ tensor: String) -> Bool { file.tensor(named: tensor) != nil }

  /// Rows of the embedding: `vocab_size` is not always there.
  private func vocabularySize() throws(FormatError) -> Int64 {
    guard let rows = file.tensor(named: "token_embd.weight")?.shape.first else {
      throw refusal("no token_embd.weight", expected: "an embedding")
    }
    return Int64(rows)
  }

  private func string(_ key: String) throws(FormatError) -> String {
    guard case .string(let value)? = file.values[key] else {
      throw refusal(found(key), expected: "a string")
    }
    return value
  }

  private func optionalInteger(_ key: String) throws(FormatError) -> Int64? {
    file.values[key] == nil ? nil : try integer(key)
  }

  private func integer(_ key: String) throws(FormatError) -> Int64 {
    guard case .integer(let value)? = file.values[key], value >= 0 else {
      throw refusal(found(key), expected: "one natural number for all blocks")
    }
    return value
  }

  private func optionalNumber(_ key: String) throws(FormatError) -> Double? {
    file.values[key] == nil ? nil : try number(key)
  }

  /// A number, in its shortest decimal form where it is stored in 32 bits: the published 1e-5, and
  /// not the nearest f32 to it.
  private func number(_ key: String) throws(FormatError) -> Double {
    guard case .number(let value)? = file.values[key], value.isFinite else {
      throw refusal(found(key), expected: "a finite number")
    }
    return Double(Float(value)) == value ? Double("\(Float(value))") ?? value : value
  }

  /// Refuses a value that is there and another than `value`.
  private func require(_ key: String, _ value: Int64) throws(FormatError) {
    guard let found = file.values[key], found != .integer(value) else { return }
    throw refusal(self.found(key), expected: "\(value)")
  }

  private func found(_ key: String) -> String {
    switch file.values[key] {
    case nil: "no \(key)"
    case .array: "an array as \(key)"
    default: "\(key) \(file.metadata[key] ?? "")"
    }
  }

  private func refusal(_ found: String, expected: String) -> FormatError {
    FormatError(.modelConfiguration, file: file.path, found: found, expected: expected)
  }
}
