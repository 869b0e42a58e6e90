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
    guard name != "controlvector" else {
      throw Refusal(
        .modelArchitecture, file: file.path, at: .key(Self.architectureKey),
        found: "a control vector, not a model", expected: GGUFTables.names,
        remedy: "Name the model that the control vector was made for with `model`.")
    }
    guard let table = table(named: name) else {
      throw Refusal(
        .modelArchitecture, file: file.path, at: .key(Self.architectureKey), found: "\"\(name)\"",
        expected: GGUFTables.names, remedy: "Give the model's config.json with `configuration`.")
    }
    return try configuration(by: table)
  }

  /// The table of the file's model.
  private func table(named name: String) -> GGUFTable? {
    let count = json("\(name).expert_count") ?? 0
    return GGUFTables.named(name, hasExperts: count != 0)
  }

  /// The configuration as a table describes it.
  ///
  /// - Throws: `model.config`, `model.unsupported`.
  func configuration(by table: GGUFTable) throws(Refusal) -> JSONNode {
    var result = JSONObject(table.fixed.map { ($0.member, $0.value) })
    for row in table.rows { try read(row, "\(table.name).", into: &result) }
    result["vocab_size"] = .integer(try vocabularySize())
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

  /// The ids that end a text, as the metadata name them, and the keys whose values are no ids.
  var endOfText: (ids: [Int64], unusable: [String]) {
    if let all = ids(of: Self.endOfTextKey) { return (all, []) }
    var found: (ids: [Int64], unusable: [String]) = ([], [])
    for key in [Self.endOfTextKey] + Self.endOfTextKeys where file.values[key] != nil {
      if let ids = ids(of: key) { found.ids += ids } else { found.unusable.append(key) }
    }
    return found
  }

  /// An id, or an array of them.
  private func ids(of key: String) -> [Int64]? {
    switch file.values[key] {
    case .integer(let id)?: [id]
    case .array(let array)?: try? file.integers(of: array)
    default: nil
    }
  }

  // MARK: Rows

  /// Reads a row of the table.
  ///
  /// - Parameter prefix: the first word of the keys.
  private func read(
    _ row: GGUFTable.Row, _ prefix: String, into result: inout JSONObject
  ) throws(Refusal) {
    switch row {
    case .constant, .ratio, .equal: break
    case .expected(let key, let value):
      guard [nil, value].contains(json(prefix + key)) else {
        throw unsupported(key: prefix + key, expected: value.canonicalText)
      }
    case .integer(let key, let member, let absence):
      if let value = try optionalInteger(prefix + key) {
        result[member] = .integer(value)
      } else if case .member(let other) = absence {
        result[member] = result[other]
      } else if case .zero = absence {
        result[member] = 0
      } else if case .refused = absence {
        throw refusal(key: prefix + key, expected: "a natural number")
      }
    case .number(let key, let member, let other):
      let isThere = file.values[prefix + key] != nil
      let used = other.flatMap { file.values[prefix + $0] == nil || isThere ? nil : $0 } ?? key
      result[member] = .number(try number(prefix + used))
    case .flag(let key, let member): result[member] = .boolean(try boolean(prefix + key))
    case .integers(let key, let member):
      result[member] = .array(try integers(prefix + key).map { .integer($0) })
    case .choice(let key, let member, let pairs):
      let stored = json(prefix + key) ?? pairs[0].stored
      guard let pair = pairs.first(where: { $0.stored == stored }) else {
        let words = pairs.map(\.stored.canonicalText).joined(separator: " or ")
        throw unsupported(key: prefix + key, expected: words)
      }
      result[member] = pair.published
    case .product(let key, let member, let other):
      let (value, factor) = (try integer(prefix + key), Self.integer(result[other]))
      guard factor > 0, value % factor == 0 else {
        throw refusal(
          "\(prefix + key) \(value)", at: .key(prefix + key), expected: "a multiple of \(factor)")
      }
      result[member] = .integer(value / factor)
    case .tensor(let name, let member): result[member] = .boolean(has(name))
    case .missingTensor(let name, let member): result[member] = .boolean(!has(name))
    case .tensorOfBlocks(let name, let member):
      let count = Int(try integer(prefix + "block_count", atMost: 1000))
      result[member] = .array(
        (0..<count).map { .boolean(has(name.replacing("*", with: "\($0)"))) })
    case .kinds(let kinds): try read(kinds, prefix, into: &result)
    case .recurrentBlocks(let interval):
      let isRecurrent = try blocksByRule(
        array: prefix + RecurrentBlocksKeys.array, interval: prefix + RecurrentBlocksKeys.interval,
        usual: interval, count: Int(integer(prefix + "block_count", atMost: 1000)))
      result["layer_types"] = .array(
        isRecurrent.map { .string($0 ? "linear_attention" : "full_attention") })
    case .windows(let windows): try read(windows, prefix, into: &result)
    case .rotation(let rotation): try read(rotation, prefix, into: &result)
    }
  }

  /// Reads the kinds of the blocks, and the numbers that mark them.
  private func read(
    _ kinds: GGUFTable.BlockKinds, _ prefix: String, into result: inout JSONObject
  ) throws(Refusal) {
    let count = Int(try integer(prefix + "block_count", atMost: 1000))
    var names = Array(repeating: kinds.rest, count: count)
    for mark in kinds.marks {
      let key = prefix + mark.key
      let values = try integers(key, forBlocks: count)
      let found = Set(values).subtracting([0])
      guard found.count <= 1 else {
        throw unsupported(
          Self.text(values), at: .key(key), expected: "0 or the same number for all blocks")
      }
      for block in values.indices where values[block] != 0 {
        guard names[block] == kinds.rest else {
          throw unsupported(
            "block \(block) marked as \(names[block]) and as \(mark.kind)", at: .key(key),
            expected: "one kind for each block")
        }
        names[block] = mark.kind
      }
      result[mark.member] = found.first.map { .integer($0) }
    }
    result[kinds.member] = .array(names.map { .string($0) })
  }

  /// Reads the windows of attention, and which blocks have one.
  private func read(
    _ windows: GGUFTable.Windows, _ prefix: String, into result: inout JSONObject
  ) throws(Refusal) {
    let (sizeKey, baseKey) = (prefix + "attention.sliding_window", prefix + "rope.freq_base_swa")
    let patternKey = prefix + "attention.sliding_window_pattern"
    let count = Int(try integer(prefix + "block_count", atMost: 1000))
    let size = try optionalInteger(sizeKey) ?? 0
    let hasWindow =
      size == 0
      ? Array(repeating: false, count: count)
      : try blocksByRule(
        array: patternKey, interval: patternKey, usual: windows.interval, count: count)
    if size > 0 { result["sliding_window"] = .integer(size) }
    result["layer_types"] = .array(
      hasWindow.map { .string($0 ? "sliding_attention" : "full_attention") })
    let base = try optionalNumber(baseKey)
    if let member = windows.base {
      result[member] = .number(base ?? 10_000)
    } else if let base, try base != optionalNumber(prefix + "rope.freq_base") ?? 10_000 {
      throw unsupported(key: baseKey, expected: "the base of all blocks")
    }
  }

  /// A property of blocks: an array with a truth value for each, or n of "every n-th block lacks it".
  private func blocksByRule(
    array arrayKey: String, interval key: String, usual: Int, count: Int
  ) throws(Refusal) -> [Bool] {
    if case .array(let array)? = file.values[arrayKey] {
      var values = try file.booleans(of: array)
      if values == nil { values = try file.integers(of: array)?.map { $0 != 0 } }
      guard let values, values.count == count else {
        throw refusal(
          key: arrayKey, expected: "a truth value for each of \(counted(count, "block"))")
      }
      return values
    }
    let interval = try optionalInteger(key) ?? Int64(usual)
    guard interval > 0 else { throw refusal(key: key, expected: "a positive number") }
    return (0..<count).map { ($0 + 1) % Int(interval) != 0 }
  }

  private func read(
    _ rotation: GGUFTable.Rotation, _ prefix: String, into result: inout JSONObject
  ) throws(Refusal) {
    let heads = try integer(prefix + "attention.head_count")
    let width = try integer(prefix + "embedding_length")
    var headWidth = width / max(heads, 1)
    if let member = rotation.headWidth {
      headWidth = try optionalInteger(prefix + "attention.key_length") ?? headWidth
      try require(prefix + "attention.value_length", headWidth)
      result[member] = .integer(headWidth)
    }
    var turned = headWidth
    let key = prefix + "rope.dimension_count"
    if let part = rotation.part {
      turned = try integer(key)
      guard heads > 0, rotation.headWidth != nil || width % heads == 0,
        headWidth > 0, (1...headWidth).contains(turned), turned % 2 == 0
      else {
        throw refusal(
          "\(turned) rotated channels", at: .key(key),
          expected: "an even number, at most the width of a head")
      }
      result[part] = .number(Double(turned) / Double(headWidth))
    } else {
      try require(key, headWidth)
    }
    let base = try optionalNumber(prefix + "rope.freq_base") ?? 10_000
    result[rotation.base] = .number(base)
    result["rope_scaling"] = try GGUFRotation(
      self, String(prefix.dropLast()), base: base, width: Int(turned)
    ).scaling()
  }

  // MARK: Values

  /// Whether the file has a tensor. A `*` in the name stands for the number of any block.
  private func has(_ tensor: String) -> Bool {
    guard tensor.contains("*") else { return file.tensor(named: tensor) != nil }
    let parts = tensor.split(separator: "*", omittingEmptySubsequences: false)
    return file.tensors.contains { tensor in
      guard tensor.name.hasPrefix(parts[0]), tensor.name.hasSuffix(parts[1]) else { return false }
      let block = tensor.name.dropFirst(parts[0].count).dropLast(parts[1].count)
      return Int(block) != nil
    }
  }

  /// A value in the terms of JSON; nil if there is none, and for arrays.
  private func json(_ key: String) -> JSONValue? {
    switch file.values[key] {
    case nil, .array: nil
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .boolean(let value): .boolean(value)
    case .string(let value): .string(value)
    }
  }

  private static func integer(_ value: JSONValue?) -> Int64 {
    if case .integer(let value)? = value { value } else { 0 }
  }

  /// The elements of an array of whole numbers.
  private func integers(_ key: String) throws(Refusal) -> [Int64] {
    guard case .array(let array)? = file.values[key], let values = try file.integers(of: array)
    else { throw refusal(key: key, expected: "an array of whole numbers") }
    return values
  }

  /// A natural number for each block, or one for all of them.
  private func integers(_ key: String, forBlocks count: Int) throws(Refusal) -> [Int64] {
    if case .integer(let value)? = file.values[key], value >= 0 {
      return Array(repeating: value, count: count)
    }
    guard case .array(let array)? = file.values[key], array.count == count,
      let values = try file.integers(of: array), values.allSatisfy({ $0 >= 0 })
    else { throw refusal(key: key, expected: "a natural number, or one for each block") }
    return values
  }

  /// The first of some numbers.
  private static func text(_ values: [Int64]) -> String {
    let shown = values.prefix(8).map { "\($0)" }.joined(separator: ", ")
    return "[\(shown)\(values.count > 8 ? ", …" : "")]"
  }

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
      else {
        throw refusal(key: key, expected: "a whole number of 0 or more, or one for each block")
      }
      guard values.allSatisfy({ $0 == first }) else {
        throw unsupported(
          Self.text(values), at: .key(key), expected: "the same number for all blocks")
      }
      return first
    default: throw refusal(key: key, expected: "a whole number of 0 or more")
    }
  }

  /// A natural number that is limited by this program.
  private func integer(_ key: String, atMost limit: Int64) throws(Refusal) -> Int64 {
    let value = try integer(key)
    guard value <= limit else { throw unsupported(key: key, expected: "at most \(limit)") }
    return value
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
    case .array(let array): "an array of \(counted(array.count, "element")) as \(key)"
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
      let table = table(named: name)
    else { return refusal }
    var copy = refusal
    let member = pointer.utf8.split(separator: UInt8(ascii: "/")).first.map { String($0) ?? "" }
    copy.place = member.flatMap { table.place(of: $0) }
    if refusal.code == .modelConfiguration { copy.remedy = Self.remedy }
    return copy
  }

  // MARK: Parts that are not read

  /// Whether a configuration was made from the file's metadata.
  func isSource(of configuration: JSONNode) -> Bool { configuration.file == file.path }

  /// The keys of the model's architecture that nothing reads, in alphabetical order.
  var unusedKeys: [String] {
    guard case .string(let name)? = file.values[Self.architectureKey],
      let table = table(named: name)
    else { return [] }
    let known = Set(table.keys.map { "\(name).\($0)" })
    return file.values.keys.filter { $0.hasPrefix("\(name).") && !known.contains($0) }.sorted()
  }
}
