import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTensor

/// The tensors of a checkpoint that are a model's weights, as the architectures know them.
///
/// Training programs wrap a model, so that the names of its tensors get prefixes and parts. They
/// store optimizers, averages and counters in the same file, and they may store doubles. All that
/// is undone here for every container, and reported in notes.
struct ModelWeights {
  /// The weights, under the names and with the types that remain.
  let checkpoint: any Checkpoint
  /// The names of the weights, and those that the checkpoint has for them.
  let names: [(name: String, original: String)]
  /// Whether the names are those of a model without its output head, as `LlamaModel` saves them.
  let isBaseModel: Bool
  /// The tensors that were changed and left out.
  let notes: [String]

  /// Parts of names that wrappers of PyTorch leave, wherever they wrap: `torch.compile`, fully
  /// sharded data parallelism, checkpointed activations, Lightning Fabric.
  private static let wrappers: Set<Substring> = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
  ]

  /// Finds the weights.
  ///
  /// - Parameter config: the model's configuration, which may determine the expected names.
  /// - Throws: `model.group` if no single group of tensors can be selected, `model.architecture`,
  ///   `usage.option` for an option that applies to nothing in the checkpoint.
  init(
    of checkpoint: any Checkpoint, _ options: ConversionOptions, _ config: JSONNode?
  ) throws(Refusal) {
    try self.init(
      of: checkpoint, options, namedAs: Self.dialects(options, config, checkpoint.path))
  }

  /// Finds the weights by the namings that their names may follow.
  init(
    of checkpoint: any Checkpoint, _ options: ConversionOptions, namedAs dialects: [Dialect]
  ) throws(Refusal) {
    var selection = Selection(
      checkpoint, dialects, ignoring: options.ignoring.map { NamePattern($0) })
    try selection.unwrap(Self.wrappers)
    try selection.choose(options.group)
    if options.readsUInt16AsBFloat16 { try selection.readUInt16AsBFloat16() }
    selection.narrowDoubles()
    // Nothing to undo is the usual case, and then the checkpoint is the faster one.
    self.checkpoint =
      selection.isChanged
      ? AdaptedCheckpoint(checkpoint, selection.entries, absent: selection.absent)
      : checkpoint
    names = selection.entries.map { ($0.name, $0.source.name) }
    isBaseModel = selection.isBaseModel
    notes = selection.notes
  }

  /// The namings that the names may follow.
  private static func dialects(
    _ options: ConversionOptions, _ config: JSONNode?, _ path: String
  ) throws(Refusal) -> [Dialect] {
    if let name = options.architecture { return try Conversion.architecture(named: name).dialects }
    let told = config.map { config in Architectures.all.filter { $0.recognises(config) } } ?? []
    return (told.isEmpty ? Architectures.all : told).flatMap { $0.dialects }
  }
}

/// The tensors that are left, step by step.
private struct Selection {
  var entries: [AdaptedCheckpoint.Entry]
  var absent: [String]
  var notes: [String] = []
  var isChanged = false
  /// Whether the names are those of a model without its output head.
  var isBaseModel = false
  private let path: String
  private let dialects: [Dialect]
  /// The names of tensors that the user excludes.
  private let ignored: [NamePattern]

  init(_ checkpoint: any Checkpoint, _ dialects: [Dialect], ignoring ignored: [NamePattern]) {
    entries = checkpoint.tensors.map { AdaptedCheckpoint.Entry($0) }
    absent = checkpoint.absent
    path = checkpoint.path
    self.dialects = dialects
    self.ignored = ignored
  }

  // MARK: Names

  /// Takes parts that wrappers left out of the names.
  mutating func unwrap(_ wrappers: Set<Substring>) throws(Refusal) {
    var found: Set<Substring> = []
    for place in entries.indices {
      let parts = Self.parts(of: entries[place].name)
      let wrapping = parts.dropLast().map(\.text).filter(wrappers.contains)
      guard !wrapping.isEmpty else { continue }
      found.formUnion(wrapping)
      entries[place].name =
        parts.dropLast().filter { !wrappers.contains($0.text) }.map { $0.text + $0.separator }
        .joined() + (parts.last?.text ?? "")
    }
    guard !found.isEmpty else { return }
    isChanged = true
    absent = absent.map { name in
      Self.parts(of: name).filter { !wrappers.contains($0.text) }.map { $0.text + $0.separator }
        .joined()
    }
    try checkNames("one of them without \(Self.quoted(found))")
    notes.append("removed \(Self.quoted(found)) from the tensors' names")
  }

  /// Refuses names that two tensors got.
  private func checkNames(_ reason: String) throws(Refusal) {
    var names: Set<ExactString> = []
    for entry in entries where !names.insert(ExactString(entry.name)).inserted {
      throw Refusal(
        .modelGroup, file: path, at: .tensor(entry.name),
        found: "two tensors of this name, \(reason)",
        expected: "one", remedy: "Remove one of the two from the file.")
    }
  }

  /// Keeps the tensors of one group, without the prefix that their names share.
  ///
  /// A model that is saved without its output head has other names: the common prefix of the whole
  /// model's names is missing in them. As in transformers, such names are read if no others are
  /// found.
  ///
  /// - Parameter group: the group's name, as a user gives it; nil for the only one.
  mutating func choose(_ group: String?) throws(Refusal) {
    let outer = try group.map { group throws(Refusal) in try prefix(of: group) } ?? ""
    if !outer.isEmpty { keep(prefix: outer) }
    var groups = groups(ofBaseModels: false)
    let lacksBase = groups.isEmpty
    if lacksBase { groups = self.groups(ofBaseModels: true) }
    isBaseModel = lacksBase
    guard let first = groups.first else { return isBaseModel = false }
    if first.prefix.isEmpty {
      // The names are already correct; the file may also contain other groups.
      drop("they belong to another group of weights") { name in
        groups.dropFirst().contains { name.utf8.starts(with: $0.prefix.utf8) }
      }
    } else {
      guard groups.count == 1 else {
        // A group inside the one that was chosen has its whole name.
        let names = groups.map { outer + String($0.prefix.dropLast()) }
        throw Refusal(
          .modelGroup, file: path,
          found:
            "\(counted(names.count, "group")) of weights: \(names.map { "\"\($0)\"" }.joined(separator: ", "))",
          expected: "one",
          remedy: "Choose one: \(names.map { "`group` \($0)" }.joined(separator: " or ")).")
      }
      keep(prefix: first.prefix, andHeadOf: group == nil ? first.dialect : nil)
    }
    dropOtherParts(first.dialect)
    if lacksBase {
      try addBase(of: first.dialect)
    } else if first.base != first.dialect.base {
      try unwrap(first.base, of: first.dialect)
    }
  }

  /// Tensors whose names follow a naming behind a prefix.
  private struct Group {
    /// The prefix of their names.
    let prefix: String
    /// The naming.
    let dialect: Dialect
    /// The beginning of the names that have `dialect.base` in a language model alone.
    let base: String
  }

  /// The groups with different prefixes, the shortest first, without those that the user excludes.
  ///
  /// - Parameter ofBaseModels: whether the names lack the prefix of a whole model's names.
  private func groups(ofBaseModels: Bool) -> [Group] {
    let names = Set(entries.map { ExactString($0.name) })
    var result: [ExactString: Group] = [:]
    var unwanted: Set<ExactString> = []
    for dialect in dialects where !(ofBaseModels && dialect.base.isEmpty) {
      for base in ofBaseModels ? [""] : [dialect.base] + dialect.wrappedBases {
        func name(_ full: String) -> String {
          guard full.utf8.starts(with: dialect.base.utf8) else { return full }
          return base + String(Substring(full.utf8.dropFirst(dialect.base.utf8.count)))
        }
        guard let marker = dialect.markers.first.map(name) else { continue }
        for entry in entries where entry.name.utf8.reversed().starts(with: marker.utf8.reversed()) {
          let prefix = String(Substring(entry.name.utf8.dropLast(marker.utf8.count)))
          guard prefix.isEmpty || prefix.hasSuffix(".") || prefix.hasSuffix("/"),
            dialect.fits({ names.contains(ExactString(prefix + name($0))) })
          else { continue }
          result[ExactString(prefix)] = Group(prefix: prefix, dialect: dialect, base: base)
          if isIgnored(entry) {
            unwanted.insert(ExactString(prefix))
          }
        }
      }
    }
    let wanted = result.filter { !unwanted.contains($0.key) }
    return (wanted.isEmpty ? result : wanted).values.sorted {
      ($0.prefix.utf8.count, $0.prefix) < ($1.prefix.utf8.count, $1.prefix)
    }
  }

  /// Gives the tensors of a base model the names that they have in the whole model.
  private mutating func addBase(of dialect: Dialect) throws(Refusal) {
    for place in entries.indices where dialect.isOfBaseModel(entries[place].name) {
      entries[place].name = dialect.base + entries[place].name
    }
    absent = absent.map { dialect.isOfBaseModel($0) ? dialect.base + $0 : $0 }
    isChanged = true
    try checkNames("one of them without \"\(dialect.base)\"")
    notes.append(
      "these are the weights of a base model; their names were read with \"\(dialect.base)\" before them"
    )
  }

  /// Gives the tensors of a language model that is a part of another model the names that they have
  /// in the language model alone.
  private mutating func unwrap(_ base: String, of dialect: Dialect) throws(Refusal) {
    func name(_ name: String) -> String {
      guard name.utf8.starts(with: base.utf8) else { return name }
      return dialect.base + String(Substring(name.utf8.dropFirst(base.utf8.count)))
    }
    for place in entries.indices { entries[place].name = name(entries[place].name) }
    absent = absent.map(name)
    isChanged = true
    try checkNames("one of them with \"\(base)\"")
    notes.append("put \"\(dialect.base)\" in the place of \"\(base)\" in the tensors' names")
  }

  /// Leaves out the tensors of the other parts of a model, such as its vision tower.
  private mutating func dropOtherParts(_ dialect: Dialect) {
    let parts = dialect.otherParts.map { part in
      (part: part, count: entries.count { $0.name.utf8.starts(with: part.utf8) })
    }.filter { $0.count > 0 }
    guard !parts.isEmpty else { return }
    func isOther(_ name: String) -> Bool {
      parts.contains { name.utf8.starts(with: $0.part.utf8) }
    }
    entries.removeAll { isOther($0.name) }
    absent.removeAll(where: isOther)
    isChanged = true
    let list = parts.map { "\($0.part)* (\(counted($0.count, "tensor")))" }
    notes.append(
      "left out the parts of the model that are not its language model: "
        + list.joined(separator: ", "))
  }

  /// The prefix of a group that a user named.
  private func prefix(of group: String) throws(Refusal) -> String {
    for prefix in [group, group + ".", group + "/"]
    where prefix.hasSuffix(".") || prefix.hasSuffix("/") {
      if entries.contains(where: { $0.name.utf8.starts(with: prefix.utf8) }) { return prefix }
    }
    let first = entries.compactMap { entry in
      let parts = Self.parts(of: entry.name)
      return parts.count > 1 ? parts.first.map { String($0.text) } : nil
    }
    throw Refusal(
      .modelGroup, file: path, at: .parameter("group"), found: "\"\(group)\"",
      expected: "a prefix of tensor names: \(Self.list(Array(Set(first)).sorted()))",
      remedy: "sextant inspect shows all names.")
  }

  /// Keeps the tensors whose names begin with a prefix, without it.
  ///
  /// - Parameter dialect: the naming whose output head is kept as well if it stands outside of the
  ///   group, as in models of several parts; nil for none.
  private mutating func keep(prefix: String, andHeadOf dialect: Dialect? = nil) {
    func isInside(_ name: String) -> Bool { name.utf8.starts(with: prefix.utf8) }
    let heads = Set((dialect?.headNames ?? []).map { ExactString($0) })
    let hasHead = entries.contains { entry in
      heads.contains { ExactString(prefix + $0.string) == ExactString(entry.name) }
    }
    func isHead(_ name: String) -> Bool { !hasHead && heads.contains(ExactString(name)) }
    func inner(_ name: String) -> String {
      isInside(name) ? String(Substring(name.utf8.dropFirst(prefix.utf8.count))) : name
    }
    drop("their names do not begin with \"\(prefix)\"") { !isInside($0) && !isHead($0) }
    absent = absent.filter { isInside($0) || isHead($0) }.map(inner)
    if entries.contains(where: { isHead($0.name) }) { isBaseModel = false }
    for place in entries.indices { entries[place].name = inner(entries[place].name) }
    isChanged = true
    notes.append("removed the prefix \"\(prefix)\" from the tensors' names")
  }

  /// Leaves tensors out, and notes for which reason.
  private mutating func drop(_ reason: String, where isBeside: (String) -> Bool) {
    let beside = entries.filter { isBeside($0.name) }
    guard !beside.isEmpty else { return }
    entries.removeAll { isBeside($0.name) }
    isChanged = true
    let asked = beside.filter(isIgnored).map(\.name)
    let others = beside.filter { !isIgnored($0) }.map(\.name)
    if !asked.isEmpty { notes.append("left out, as `ignoring` asks: \(Self.list(asked))") }
    if !others.isEmpty { notes.append("left out, because \(reason): \(Self.list(others))") }
  }

  /// Whether the user excludes a tensor.
  private func isIgnored(_ entry: AdaptedCheckpoint.Entry) -> Bool {
    ignored.contains { $0.matches(entry.name) || $0.matches(entry.source.name) }
  }

  // MARK: Types

  mutating func readUInt16AsBFloat16() throws(Refusal) {
    guard entries.contains(where: { $0.dataType == .u16 }) else {
      throw Refusal(
        .usageOption, file: path, at: .parameter("readsUInt16AsBFloat16"),
        found: "no tensor of type U16", expected: "tensors with the bits of bfloat16 numbers",
        remedy: "Leave the option out.")
    }
    for place in entries.indices where entries[place].dataType == .u16 {
      entries[place].dataType = .bf16
    }
    isChanged = true
  }

  mutating func narrowDoubles() {
    let places = entries.indices.filter { entries[$0].dataType == .f64 }
    guard let first = places.first else { return }
    for place in places { entries[place].dataType = .f32 }
    isChanged = true
    let others = places.count > 1 ? " and \(places.count - 1) more" : ""
    notes.append("rounded F64 to F32: \(entries[first].name)\(others)")
  }

  // MARK: Text

  /// The parts of a name between dots and slashes, each with the rest after it.
  private static func parts(of name: String) -> [(text: Substring, separator: String)] {
    var parts: [(text: Substring, separator: String)] = []
    var rest = Substring(name)
    while let end = rest.utf8.firstIndex(where: {
      $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/")
    }) {
      parts.append((rest[..<end], rest.utf8[end] == UInt8(ascii: ".") ? "." : "/"))
      rest = rest[rest.utf8.index(after: end)...]
    }
    return parts + [(rest, "")]
  }

  private static func quoted(_ names: Set<Substring>) -> String {
    names.sorted().map { "\"\($0)\"" }.joined(separator: ", ")
  }

  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(4).joined(separator: ", ")
    return names.count > 4 ? "\(shown) and \(names.count - 4) more" : shown
  }
}
