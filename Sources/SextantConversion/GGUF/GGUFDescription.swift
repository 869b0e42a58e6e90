import SextantBytes
import SextantCheckpoints
import SextantModels

/// What a GGUF file says of its model, in the words of the formats that the rest of the program
/// reads: a published `config.json` and a tokenizer's file.
struct GGUFDescription {
  let file: GGUFFile

  /// The description in a checkpoint; nil for other formats, and for a file of weights alone.
  init?(_ checkpoint: any Checkpoint) {
    guard let file = checkpoint as? GGUFFile, file.values[Self.architectureKey] != nil else {
      return nil
    }
    self.file = file
  }

  static let architectureKey = "general.architecture"

  /// The configuration as transformers publishes it.
  ///
  /// - Throws: `model.architecture` for models that have none here, `model.config`.
  func configuration() throws(FormatError) -> JSONNode {
    let name = try string(Self.architectureKey)
    guard let family = GGUFFamily.all.first(where: { $0.name == name }) else {
      throw FormatError(
        .modelArchitecture, file: file.path, found: "\(Self.architectureKey) \"\(name)\"",
        expected: GGUFFamily.names, remedy: "Give the model's config.json with --config.")
    }
    var result = JSONObject(family.fixed.map { ($0.member, $0.value) })
    for (key, value) in family.required {
      let key = "\(name).\(key)"
      guard file.values[key] == nil || file.values[key] == value else {
        throw unsupported(found(key), expected: value.description)
      }
    }
    for (key, member) in family.integers {
      result[member] = .integer(try integer("\(name).\(key)"))
    }
    for (key, member) in family.optionalIntegers {
      if let value = try optionalInteger("\(name).\(key)") { result[member] = .integer(value) }
    }
    for (key, member) in family.numbers {
      result[member] = .number(try number("\(name).\(key)"))
    }
    for (key, member) in family.booleans {
      result[member] = .boolean(try boolean("\(name).\(key)"))
    }
    result["vocab_size"] = .integer(try vocabularySize())
    if let tied = family.tied { result[tied] = .boolean(!has("output.weight")) }
    switch family.special {
    case .none: break
    case .headsOfInnerWidth: try addHeads(name, to: &result)
    case .rotation: try addRotation(name, to: &result)
    case .partialRotation: try addPartialRotation(name, to: &result)
    }
    return JSONNode(.object(result), code: .modelConfiguration, file: file.path)
  }

  /// The tokenizer's file; nil where the file has no tokenizer.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`.
  func tokenizer() throws(FormatError) -> [UInt8]? { try GGUFTokenizer(file).content() }

  /// The key of all ids that end a text, an array of integers: the format has keys for single ones.
  static let endOfTextKey = "sextant.end_of_text"
  /// The keys of single ids that end a text, or a turn of a conversation.
  static let endOfTextKeys = ["eos_token_id", "eot_token_id", "eom_token_id"].map {
    "tokenizer.ggml.\($0)"
  }

  /// The ids that end a text, as the metadata name them.
  var endOfTextIDs: [Int64] {
    if case .array(let array)? = file.values[Self.endOfTextKey],
      let ids = try? file.integers(of: array)
    {
      return ids
    }
    return Self.endOfTextKeys.compactMap { key in
      if case .integer(let id)? = file.values[key] { id } else { nil }
    }
  }

  // MARK: Parts that are no table

  private func addHeads(_ name: String, to result: inout JSONObject) throws(FormatError) {
    let inner = try integer("\(name).ssm.inner_size")
    let width = try integer("\(name).embedding_length")
    let heads = try integer("\(name).ssm.time_step_rank")
    guard heads > 0, inner % heads == 0, width > 0, inner % width == 0 else {
      throw refusal(
        "an inner width of \(inner)", expected: "a multiple of \(heads) heads and of \(width)")
    }
    result["head_dim"] = .integer(inner / heads)
    result["expand"] = .integer(inner / width)
  }

  private func addRotation(_ name: String, to result: inout JSONObject) throws(FormatError) {
    let heads = try integer("\(name).attention.head_count")
    let width = try integer("\(name).embedding_length")
    let headWidth = try optionalInteger("\(name).attention.key_length") ?? width / max(heads, 1)
    try require("\(name).attention.value_length", headWidth)
    try require("\(name).rope.dimension_count", headWidth)
    let keyHeads = try optionalInteger("\(name).attention.head_count_kv") ?? heads
    result["head_dim"] = .integer(headWidth)
    result["num_key_value_heads"] = .integer(keyHeads)
    let base = try optionalNumber("\(name).rope.freq_base") ?? 10_000
    result["rope_theta"] = .number(base)
    result["rope_scaling"] = try GGUFRotation(self, name, base: base, width: Int(headWidth))
      .scaling()
    result["attention_bias"] = .boolean(has("blk.0.attn_q.bias"))
    result["mlp_bias"] = .boolean(has("blk.0.ffn_up.bias"))
  }

  private func addPartialRotation(
    _ name: String, to result: inout JSONObject
  ) throws(FormatError) {
    let heads = try integer("\(name).attention.head_count")
    let width = try integer("\(name).embedding_length")
    let rotated = try integer("\(name).rope.dimension_count")
    guard heads > 0, width % heads == 0, (1...(width / heads)).contains(rotated),
      rotated % 2 == 0
    else {
      throw refusal(
        "\(rotated) rotated channels", expected: "an even number, at most the width of a head")
    }
    let base = try optionalNumber("\(name).rope.freq_base") ?? 10_000
    result["rotary_pct"] = .number(Double(rotated) / Double(width / heads))
    result["rotary_emb_base"] = .number(base)
    result["rope_scaling"] = try GGUFRotation(self, name, base: base, width: Int(rotated)).scaling()
  }

  // MARK: Values

  func has(_ tensor: String) -> Bool { file.tensor(named: tensor) != nil }

  /// Rows of the embedding: `vocab_size` is not always there.
  private func vocabularySize() throws(FormatError) -> Int64 {
    guard let rows = file.tensor(named: "token_embd.weight")?.shape.first else {
      throw refusal("no token_embd.weight", expected: "an embedding")
    }
    return Int64(rows)
  }

  func string(_ key: String) throws(FormatError) -> String {
    guard case .string(let value)? = file.values[key] else {
      throw refusal(found(key), expected: "a string")
    }
    return value
  }

  private func boolean(_ key: String) throws(FormatError) -> Bool {
    guard case .boolean(let value)? = file.values[key] else {
      throw refusal(found(key), expected: "true or false")
    }
    return value
  }

  func optionalInteger(_ key: String) throws(FormatError) -> Int64? {
    file.values[key] == nil ? nil : try integer(key)
  }

  func integer(_ key: String) throws(FormatError) -> Int64 {
    guard case .integer(let value)? = file.values[key], value >= 0 else {
      throw refusal(found(key), expected: "one natural number for all blocks")
    }
    return value
  }

  func optionalNumber(_ key: String) throws(FormatError) -> Double? {
    file.values[key] == nil ? nil : try number(key)
  }

  /// A number, in its shortest decimal form where it is stored in 32 bits: the published 1e-5, and
  /// not the nearest f32 to it.
  func number(_ key: String) throws(FormatError) -> Double {
    guard case .number(let value)? = file.values[key], value.isFinite else {
      throw refusal(found(key), expected: "a finite number")
    }
    return Double(Float(value)) == value ? Double("\(Float(value))") ?? value : value
  }

  /// Refuses a value that is there and another than `value`.
  private func require(_ key: String, _ value: Int64) throws(FormatError) {
    guard let found = file.values[key], found != .integer(value) else { return }
    throw unsupported(self.found(key), expected: "\(value)")
  }

  func found(_ key: String) -> String {
    switch file.values[key] {
    case nil: "no \(key)"
    case .array: "an array as \(key)"
    default: "\(key) \(file.metadata[key] ?? "")"
    }
  }

  func refusal(_ found: String, expected: String) -> FormatError {
    FormatError(.modelConfiguration, file: file.path, found: found, expected: expected)
  }

  /// A refusal of what the file may say, and Sextant does not have.
  func unsupported(_ found: String, expected: String) -> FormatError {
    FormatError(.modelUnsupported, file: file.path, found: found, expected: expected)
  }

  // MARK: What is not read

  /// Whether a configuration was made from the file's metadata.
  func isSource(of configuration: JSONNode) -> Bool { configuration.file == file.path }

  /// The keys of the model's architecture that nothing reads, in alphabetical order.
  var unusedKeys: [String] {
    guard case .string(let name)? = file.values[Self.architectureKey],
      let family = GGUFFamily.all.first(where: { $0.name == name })
    else { return [] }
    let known = Set(family.keys.map { "\(name).\($0)" })
    return file.values.keys.filter { $0.hasPrefix("\(name).") && !known.contains($0) }.sorted()
  }
}
