import SextantBytes
import SextantModels

/// The tables of all architectures that llama.cpp has.
enum GGUFTables {
  /// The table of a `general.architecture`. If the name stands for models with experts and for others,
  /// it is the table that `hasExperts` decides for.
  static func named(_ name: String, hasExperts: Bool) -> GGUFTable? {
    let tables = Architectures.ggufTables.map(\.table).filter { $0.name == name }
    return tables.first { $0.hasExperts == hasExperts } ?? tables.first
  }

  /// The names of all, for messages.
  static var names: String {
    var seen: Set<String> = []
    return Architectures.ggufTables.map(\.table.name).filter { seen.insert($0).inserted }
      .joined(separator: ", ")
  }

  /// llama.cpp's usual name for an architecture; its own name if llama.cpp does not have it.
  static func modelHint(of architecture: String) -> String {
    Architectures.named(architecture)?.ggufTables.first?.name ?? architecture
  }
}

extension GGUFTable {
  /// All keys that are read or do not affect values, without their first word.
  var keys: [String] { rows.flatMap(\.keys) + Self.silent }

  /// Keys that do not affect values, or that repeat the tensors.
  private static let silent = [
    "vocab_size", "context_length", "tensor_data_layout", "rescale_every_n_layers",
    "token_shift_count",
  ]

  /// The source of a configuration's member in a file; nil if the file has no such place.
  func place(of member: String) -> Refusal.Place? {
    if member == "vocab_size" { return .tensor("token_embd.weight") }
    return rows.lazy.flatMap(\.members).first { $0.member == member }.map {
      .key("\(name).\($0.key)")
    }
  }

  /// The rotation that the models have; nil if they have none.
  var rotation: Rotation? {
    rows.lazy.compactMap { if case .rotation(let rotation) = $0 { rotation } else { nil } }.first
  }
}

/// The keys by which a file tells which blocks have a recurrent state.
enum RecurrentBlocksKeys {
  /// A truth value for each block.
  static let array = "attention.recurrent_layers"
  /// n, if every n-th block has attention.
  static let interval = "full_attention_interval"
}

extension GGUFTable.Row {
  /// The keys that members of the configuration are made from, without their first word.
  var members: [(key: String, member: String)] {
    switch self {
    case .constant, .expected, .tensor, .missingTensor, .tensorOfBlocks, .ratio, .equal: []
    case .number(let key, let member, let other):
      [(key, member)] + (other.map { [($0, member)] } ?? [])
    case .integer(let key, let member, _),
      .flag(let key, let member), .integers(let key, let member), .choice(let key, let member, _),
      .product(let key, let member, _):
      [(key, member)]
    case .kinds(let kinds):
      kinds.marks.map { ($0.key, $0.member) } + kinds.marks.map { ($0.key, kinds.member) }
    case .recurrentBlocks:
      [RecurrentBlocksKeys.interval, RecurrentBlocksKeys.array].map { ($0, "layer_types") }
    case .windows(let windows):
      [
        ("attention.sliding_window", "sliding_window"),
        ("attention.sliding_window_pattern", "layer_types"),
      ] + (windows.base.map { [("rope.freq_base_swa", $0)] } ?? [])
    case .rotation(let rotation):
      (rotation.headWidth.map { [("attention.key_length", $0)] } ?? [])
        + (rotation.part.map { [("rope.dimension_count", $0)] } ?? [])
        + [
          ("rope.freq_base", rotation.base), ("rope.scaling.type", "rope_scaling"),
          ("rope.scaling.type", "rope_parameters"),
        ]
    }
  }

  /// The keys that it reads, without their first word.
  var keys: [String] {
    switch self {
    case .constant(let key, _), .expected(let key, _): [key]
    case .rotation(let rotation):
      GGUFRotation.keys
        + (rotation.headWidth == nil ? [] : ["attention.key_length", "attention.value_length"])
    case .windows: members.map(\.key) + ["rope.freq_base_swa"]
    default: members.map(\.key)
    }
  }
}
