import SextantBytes
import SextantCheckpoints
import SextantModels

/// A model's description in the metadata of a GGUF file, as `GGUFDescription` reads it.
struct GGUFModelMetadata {
  /// The table that fits the model.
  let table: GGUFTable
  /// The metadata, in the order in which they are written.
  private(set) var values: [(key: String, value: GGUFNewValue)] = []
  /// The wrong results of llama.cpp for a model that it loads.
  private(set) var warnings: [String] = []
  private let configuration: JSONObject
  /// The configuration as it is published.
  private let published: JSONObject

  /// The metadata by the first of the architecture's tables that fits the model.
  ///
  /// - Throws: `export.inexpressible` for features that llama.cpp does not support,
  ///   `export.format` for an architecture that it does not have, `model.config`.
  init(_ architecture: any Architecture.Type, _ configuration: JSONObject) throws(Refusal) {
    guard !architecture.ggufTables.isEmpty else {
      throw Refusal(
        .exportFormat, found: "a model of \(architecture.name)",
        expected: "one that llama.cpp has: \(GGUFTables.names)")
    }
    let hasExperts = try architecture.weights(configuration).contains { $0.kind == .experts }
    let tables = architecture.ggufTables.filter { $0.hasExperts == hasExperts }
    try self.init(
      tables.isEmpty ? architecture.ggufTables : tables, configuration,
      published: architecture.published(configuration, dialect: "gguf"))
  }

  /// The metadata by the first table that fits the model.
  ///
  /// - Parameters:
  ///   - tables: at least one.
  ///   - configuration: the canonical configuration.
  ///   - published: the published one.
  /// - Throws: the `export.inexpressible` of the last table, `model.config`.
  init(
    _ tables: [GGUFTable], _ configuration: JSONObject, published: JSONObject
  ) throws(Refusal) {
    for table in tables.dropLast() {
      do throws(Refusal) {
        self = try GGUFModelMetadata(table, configuration, published)
        return
      } catch {
        guard error.code == .exportInexpressible else { throw error }
      }
    }
    self = try GGUFModelMetadata(tables[tables.count - 1], configuration, published)
  }

  private init(
    _ table: GGUFTable, _ configuration: JSONObject, _ published: JSONObject
  ) throws(Refusal) {
    self.table = table
    self.configuration = configuration
    self.published = published
    for (key, value) in table.fixed {
      let node = try member(key)
      guard node.value == value else {
        throw Self.inexpressible(
          "\(key) \(node.value.canonicalText)",
          expected: "\(value.canonicalText), the only one that llama.cpp computes")
      }
    }
    values.append((GGUFDescription.architectureKey, .string(table.name)))
    set("vocab_size", .uint32(try Self.word(member("vocab_size"))))
    for row in table.rows { try write(row) }
    if let multiple = table.multiple {
      let size = try member(multiple.member).integer()
      if size % multiple.of != 0 {
        warnings.append(
          "llama.cpp computes wrong values for this model, without a warning: its \(table.name) is "
            + "correct only if \(multiple.member) is a multiple of \(multiple.of), and here it is "
            + "\(size)")
      }
    }
  }

  /// A member of the published configuration. The canonical one has the sizes that a published
  /// one leaves to the tensors.
  private func member(_ key: String) throws(Refusal) -> JSONNode {
    let holder = published[key] == nil ? configuration : published
    return try JSONNode(.object(holder), code: .modelConfiguration, file: nil).member(key)
  }

  private mutating func set(_ key: String, _ value: GGUFNewValue) {
    values.append(("\(table.name).\(key)", value))
  }

  // MARK: Rows

  private mutating func write(_ row: GGUFTable.Row) throws(Refusal) {
    switch row {
    case .expected, .tensor, .missingTensor, .tensorOfBlocks: break
    case .constant(let key, let value): set(key, try Self.stored(value))
    case .integer(_, let name, .usual)
    where [nil, .null].contains(published[name]) && configuration[name] == nil:
      break
    case .integer(let key, let name, _): set(key, .uint32(try Self.word(member(name))))
    case .number(let key, let name, let other):
      for key in [key] + (other.map { [$0] } ?? []) {
        set(key, .float32(Float(try member(name).number())))
      }
    case .flag(let key, let name): set(key, .boolean(try member(name).boolean()))
    case .integers(let key, let name):
      var numbers: [Int32] = []
      for element in try member(name).elements() {
        numbers.append(Int32(try element.integer(in: 0...Int(Int32.max))))
      }
      set(key, .int32s(numbers))
    case .choice(let key, let name, let pairs):
      let value = try member(name).value
      guard let pair = pairs.first(where: { $0.published == value }) else {
        throw Self.inexpressible(
          "\(name) \(value.canonicalText)",
          expected: pairs.map(\.published.canonicalText).joined(separator: " or "))
      }
      set(key, try Self.stored(pair.stored))
    case .product(let key, let name, let other):
      let product = try member(name).integer() * member(other).integer()
      set(key, .uint32(UInt32(clamping: product)))
    case .ratio(let name, let factor, let other):
      let (value, single) = try (member(name).integer(), member(other).integer())
      guard value == factor * single else {
        throw Self.inexpressible(
          "\(name) \(value)",
          expected: "\(factor * single), the only one that llama.cpp computes")
      }
    case .equal(let name, let other):
      let (value, expected) = try (member(name).integer(), member(other).integer())
      if value != expected {
        warnings.append(
          "llama.cpp does not load this model: its \(table.name) has only models whose \(name), "
            + "here \(value), is their \(other), here \(expected)")
      }
    case .kinds(let kinds): try write(kinds)
    case .recurrentBlocks: try writeRecurrentBlocks()
    case .rotation(let rotation): try write(rotation)
    case .windows(let windows): try write(windows)
    }
  }

  /// The windows of attention, and which blocks have one.
  private mutating func write(_ windows: GGUFTable.Windows) throws(Refusal) {
    let kinds = try member("layer_types").elements()
    let hasWindow = kinds.map { $0.value == "sliding_attention" }
    guard hasWindow.contains(true) else { return }
    set("attention.sliding_window", .uint32(try Self.word(member("sliding_window"))))
    set("attention.sliding_window_pattern", .booleans(hasWindow))
    if let base = windows.base {
      set("rope.freq_base_swa", .float32(Float(try member(base).number())))
    }
  }

  /// Which blocks have a recurrent state: by the rule that all versions of llama.cpp read, if there is
  /// one.
  private mutating func writeRecurrentBlocks() throws(Refusal) {
    let kinds = try member("layer_types").elements()
    let isRecurrent = kinds.map { $0.value == "linear_attention" }
    let interval = (isRecurrent.firstIndex(of: false) ?? isRecurrent.count) + 1
    if isRecurrent == isRecurrent.indices.map({ ($0 + 1) % interval != 0 }) {
      set(RecurrentBlocksKeys.interval, .uint32(UInt32(interval)))
    } else {
      set(RecurrentBlocksKeys.array, .booleans(isRecurrent))
    }
  }

  /// The arrays that mark the kinds of the blocks.
  private mutating func write(_ kinds: GGUFTable.BlockKinds) throws(Refusal) {
    var names: [String] = []
    for element in try member(kinds.member).elements() { names.append(try element.string()) }
    let known = Set(kinds.marks.map(\.kind) + [kinds.rest])
    if let other = names.first(where: { !known.contains($0) }) {
      throw Self.inexpressible(
        "blocks of kind \(other)", expected: known.sorted().joined(separator: ", "))
    }
    for mark in kinds.marks {
      var numbers: [Int32] = []
      for name in names {
        let isMarked = name == mark.kind
        numbers.append(
          isMarked ? Int32(try member(mark.member).integer(in: 1...Int(Int32.max))) : 0)
      }
      set(mark.key, .int32s(numbers))
    }
  }

  private mutating func write(_ rotation: GGUFTable.Rotation) throws(Refusal) {
    if let name = rotation.headWidth {
      let headWidth = try Self.word(member(name))
      set("attention.key_length", .uint32(headWidth))
      set("attention.value_length", .uint32(headWidth))
      if rotation.part == nil { set("rope.dimension_count", .uint32(headWidth)) }
    }
    if rotation.part != nil {
      let turned = try Self.word(member("rotary_dim"))
      guard turned % 2 == 0, turned > 0 else {
        throw Self.inexpressible("\(turned) rotated channels", expected: "an even number")
      }
      set("rope.dimension_count", .uint32(turned))
    }
    values += try scaling(turnsWholeHeads: rotation.part == nil)
  }

  private static func stored(_ value: JSONValue) throws(Refusal) -> GGUFNewValue {
    switch value {
    case .integer(let number): .uint32(UInt32(clamping: number))
    case .number(let number): .float32(Float(number))
    case .boolean(let flag): .boolean(flag)
    case .string(let text): .string(text)
    default: throw inexpressible(value.canonicalText, expected: "one value")
    }
  }

  private static func word(_ node: JSONNode) throws(Refusal) -> UInt32 {
    UInt32(try node.integer(in: 0...Int(UInt32.max)))
  }

  /// The base of the rotation and its scaling.
  private func scaling(
    turnsWholeHeads: Bool
  ) throws(Refusal) -> [(key: String, value: GGUFNewValue)] {
    let name = table.name
    let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    var result: [(key: String, value: GGUFNewValue)] = [
      ("\(name).rope.freq_base", .float32(Float(try node.member("rope_theta").number())))
    ]
    guard let scaling = try node.optionalMember("rope_scaling") else { return result }
    func number(_ key: String) throws(Refusal) -> Double { try scaling.member(key).number() }
    func length() throws(Refusal) -> GGUFNewValue {
      let length = try number("original_max_position_embeddings")
      guard let whole = UInt32(exactly: length) else {
        throw Self.inexpressible("an original length of \(length)", expected: "a whole number")
      }
      return .uint32(whole)
    }
    func add(_ key: String, _ value: GGUFNewValue) {
      result.append(("\(name).rope.scaling.\(key)", value))
    }
    // Numbers of 32 bits and tensors lose digits; the spelling keeps them.
    let spelling = (GGUFRotation.scalingKey, GGUFNewValue.string(scaling.value.canonicalText))
    switch try scaling.member("rope_type").string() {
    case "linear":
      add("type", .string("linear"))
      add("factor", .float32(Float(try number("factor"))))
    case "llama3" where turnsWholeHeads: result.append(spelling)  // The factors are a tensor.
    case "longrope" where turnsWholeHeads:  // The same is true for these.
      add("type", .string("longrope"))
      add("original_context_length", try length())
      add("attn_factor", .float32(Float(try number("attention_factor"))))
      result.append(spelling)
    case "yarn":
      guard try scaling.member("truncate").boolean() else {
        throw Self.inexpressible(
          "a ramp between parts of channels (truncate: false)", expected: "whole channels")
      }
      let factor = try number("factor")
      let attention = try number("attention_factor")
      add("type", .string("yarn"))
      add("factor", .float32(Float(factor)))
      add("original_context_length", try length())
      add("yarn_beta_fast", .float32(Float(try number("beta_fast"))))
      add("yarn_beta_slow", .float32(Float(try number("beta_slow"))))
      let usual = RotaryFactors.usualAttentionFactor(yarn: factor)
      if attention != usual { add("attn_factor", .float32(Float(attention / usual))) }
      result.append(spelling)
    case let type:
      throw Self.inexpressible(
        "a rotation scaled as \(type)",
        expected: "a kind of scaling that llama.cpp has for a \(name)")
    }
    return result
  }

  /// The tensors of factors that belong to a scaling.
  ///
  /// - Throws: `model.config`.
  func factors() throws(Refusal) -> [(name: String, values: [Float])] {
    guard let rotation = table.rotation, rotation.part == nil else { return [] }
    if let factors = try RotaryFactors.factors(of: configuration) {
      return [(GGUFRotation.factorsName, factors)]
    }
    let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
    guard let scaling = try node.optionalMember("rope_scaling"),
      try scaling.member("rope_type").value == "longrope"
    else { return [] }
    var result: [(name: String, values: [Float])] = []
    for (key, name) in [
      ("long_factor", GGUFRotation.longName), ("short_factor", GGUFRotation.shortName),
    ] {
      var values: [Float] = []
      for element in try scaling.member(key).elements() {
        values.append(Float(try element.number()))
      }
      result.append((name, values))
    }
    return result
  }

  private static func inexpressible(_ found: String, expected: String) -> Refusal {
    Refusal(.exportInexpressible, found: found, expected: expected)
  }
}
