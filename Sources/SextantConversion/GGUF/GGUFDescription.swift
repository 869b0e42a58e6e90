import SextantBytes
import SextantCheckpoints
import SextantModels

/// The description of a model in a GGUF file, in the terms of the formats that the rest of the
/// program reads: a published `config.json` and a tokenizer's file.
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
  func configuration() throws(Refusal) -> JSONNode {
    let name = try string(Self.architectureKey)
    guard let family = GGUFFamily.all.first(where: { $0.name == name }) else {
      throw Refusal(
        .modelArchitecture, file: file.path, at: .key(Self.architectureKey), found: "\"\(name)\"",
        expected: GGUFFamily.names, remedy: "Give the model's config.json with `configuration`.")
    }
    var result = JSONObject(family.fixed.map { ($0.member, $0.value) })
    for (key, value) in family.required {
      let key = "\(name).\(key)"
      guard file.values[key] == nil || file.values[key] == value else {
        throw unsupported(key: key, expected: value.description)
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

  /// The tokenizer's file; nil if the file has no tokenizer.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`.
  func tokenizer() throws(Refusal) -> [UInt8]? { try GGUFTokenizer(file).content() }

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

  // MARK: Parts that are in no table

  private func addHeads(_ name: String, to result: inout JSONObject) throws(Refusal) {
    let inner = try integer("\(name).ssm.inner_size")
    let width = try integer("\(name).embedding_length")
    let heads = try integer("\(name).ssm.time_step_rank")
    guard heads > 0, inner % heads == 0, width > 0, inner % width == 0 else {
      throw refusal(
        "an inner width of \(inner)", at: .key("\(name).ssm.inner_size"),
        expected: "a multiple of \(heads) heads and of \(width)")
    }
    result["head_dim"] = .integer(inner / heads)
    result["expand"] = .integer(inner / width)
  }

  private func addRotation(_ name: String, to result: inout JSONObject) throws(Refusal) {
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
  ) throws(Refusal) {
    let heads = try integer("\(name).attention.head_count")
    let width = try integer("\(name).embedding_length")
    let rotated = try integer("\(name).rope.dimension_count")
    guard heads > 0, width % heads == 0, (1...(width / heads)).contains(rotated),
      rotated % 2 == 0
    else {
      throw refusal(
        "\(rotated) rotated channels", at: .key("\(name).rope.dimension_count"),
        expected: "an even number, at most the width of a head")
    }
    let base = try optionalNumber("\(name).rope.freq_base") ?? 10_000
    result["rotary_pct"] = .number(Double(rotated) / Double(width / heads))
    result["rotary_emb_base"] = .number(base)
    result["rope_scaling"] = try GGUFRotation(self, name, base: base, width: Int(rotated)).scaling()
  }

  // MARK: Values

  func has(_ tensor: String) -> Bool { file.tensor(named: tensor) != nil }

  /// Rows of the embedding: `vocab_size` is not always there.
  private func vocabularySize() throws(Refusal) -> Int64 {
    guard let rows = file.tensor(named: "token_embd.weight")?.shape.first else {
      throw refusal("no token_embd.weight", expected: "an embedding")
    }
    return Int64(rows)
  }

  func string(_ key: String) throws(Refusal) -> String {
    guard case .string(let value)? = file.values[key] else {
      throw refusal(key: key, expected: "a string")
    }
    return value
  }

  private func boolean(_ key: String) throws(Refusal) -> Bool {
    guard case .boolean(let value)? = file.values[key] else {
      throw refusal(key: key, expected: "true or false")
    }
    return value
  }

  func optionalInteger(_ key: String) throws(Refusal) -> Int64? {
    file.values[key] == nil ? nil : try integer(key)
  }

  /// A natural number. Blocks may differ in it, and then it is an array with a number for each block: one
  /// in which all are equal is the same as one number.
  func integer(_ key: String) throws(Refusal) -> Int64 {
    switch file.values[key] {
    case .integer(let value)? where value >= 0: return value
    case .array(let array)?:
      guard let values = try file.integers(of: array), let first = values.first, first >= 0,
        case .integer(let blocks)? = file.values[try "\(string(Self.architectureKey)).block_count"],
        values.count == blocks
      else { throw refusal(key: key, expected: "a natural number, or one for each block") }
      guard values.allSatisfy({ $0 == first }) else {
        let shown = values.prefix(8).map { "\($0)" }.joined(separator: ", ")
        throw unsupported(
          "[\(shown)\(values.count > 8 ? ", …" : "")]", at: .key(key),
          expected: "the same number for all blocks")
      }
      return first
    default: throw refusal(key: key, expected: "a natural number")
    }
  }

  func optionalNumber(_ key: String) throws(Refusal) -> Double? {
    file.values[key] == nil ? nil : try number(key)
  }

  /// A number, in its shortest decimal form if it is stored in 32 bits: the published 1e-5, and not
  /// the nearest f32 to it.
  func number(_ key: String) throws(Refusal) -> Double {
    guard case .number(let value)? = file.values[key], value.isFinite else {
      throw refusal(key: key, expected: "a finite number")
    }
    return Double(Float(value)) == value ? Double("\(Float(value))") ?? value : value
  }

  /// Refuses a value that is there and another than `value`.
  private func require(_ key: String, _ value: Int64) throws(Refusal) {
    guard file.values[key] != nil, file.values[key] != .integer(value) else { return }
    throw unsupported(key: key, expected: "\(value)")
  }

  private func found(_ key: String) -> String {
    switch file.values[key] {
    case nil: "no \(key)"
    case .array(let array): "an array of \(array.count) elements as \(key)"
    default: "\(key) \(file.metadata[key] ?? "")"
    }
  }

  private static let remedy =
    "Repair the file's metadata, or give the model's config.json with `configuration`."

  /// A refusal of a contradiction or a missing value.
  func refusal(
    _ found: String, at place: Refusal.Place? = nil, expected: String
  ) -> Refusal {
    Refusal(
      .modelConfiguration, file: file.path, at: place, found: found, expected: expected,
      remedy: Self.remedy)
  }

  /// A refusal of a key's value, or of a key that is missing.
  func refusal(key: String, expected: String) -> Refusal {
    refusal(found(key), at: .key(key), expected: expected)
  }

  /// A refusal of a valid declaration that Sextant does not support.
  func unsupported(
    _ found: String, at place: Refusal.Place? = nil, expected: String
  ) -> Refusal {
    Refusal(.modelUnsupported, file: file.path, at: place, found: found, expected: expected)
  }

  /// A refusal of a key's value that the file may have, and Sextant does not have.
  func unsupported(key: String, expected: String) -> Refusal {
    unsupported(found(key), at: .key(key), expected: expected)
  }

  /// A refusal of the configuration that was made from the metadata, with the key that a user finds
  /// in the file instead of the member that the configuration has.
  func named(_ refusal: Refusal) -> Refusal {
    guard case .pointer(let pointer)? = refusal.place, refusal.file == file.path,
      case .string(let name)? = file.values[Self.architectureKey],
      let family = GGUFFamily.all.first(where: { $0.name == name })
    else { return refusal }
    var copy = refusal
    let member = pointer.utf8.split(separator: UInt8(ascii: "/")).first.map { String($0) ?? "" }
    copy.place = member.flatMap { family.place(of: $0) }
    if refusal.code == .modelConfiguration { copy.remedy = Self.remedy }
    return copy
  }

  // MARK: Parts that are not read

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
