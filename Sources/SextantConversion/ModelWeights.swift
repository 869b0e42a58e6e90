import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTensor

/// The tensors of a checkpoint that are a model's weights, as the architectures know them.
///
/// Training programs wrap a model, and the names of its tensors get prefixes and parts; they store
/// optimizers, averages and counters beside it; and they may store doubles. All that is undone here,
/// for every container alike, and told in notes.
struct ModelWeights {
  /// The weights, under the names and with the types that remain.
  let checkpoint: any Checkpoint
  /// What was changed and left out.
  let notes: [String]

  /// Parts of names that wrappers of PyTorch leave, wherever they wrap: `torch.compile`, fully
  /// sharded data parallelism, checkpointed activations, Lightning Fabric.
  private static let wrappers: Set<Substring> = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
  ]

  /// Finds the weights.
  ///
  /// - Parameter config: the model's configuration, which may tell whose names to look for.
  /// - Throws: `model.group` where no single group of tensors is meant, `model.architecture`,
  ///   `usage.option` for an option that nothing in the checkpoint answers to.
  init(
    of checkpoint: any Checkpoint, _ options: ConversionOptions, _ config: JSONNode?
  ) throws(FormatError) {
    var selection = Selection(checkpoint, try Self.dialects(options, config, checkpoint.path))
    try selection.unwrap(Self.wrappers)
    try selection.choose(options.group)
    if options.readsUInt16AsBFloat16 { try selection.readUInt16AsBFloat16() }
    selection.narrowDoubles()
    // Nothing to undo is the usual case, and then the checkpoint is the faster one.
    self.checkpoint =
      selection.isChanged
      ? AdaptedCheckpoint(checkpoint, selection.entries, absent: selection.absent)
      : checkpoint
    notes = selection.notes
  }

  /// The namings that the names may follow.
  private static func dialects(
    _ options: ConversionOptions, _ config: JSONNode?, _ path: String
  ) throws(FormatError) -> [Dialect] {
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
  private let path: String
  private let dialects: [Dialect]

  init(_ checkpoint: any Checkpoint, _ dialects: [Dialect]) {
    entries = checkpoint.tensors.map { AdaptedCheckpoint.Entry($0) }
    absent = checkpoint.absent
    path = checkpoint.path
    self.dialects = dialects
  }

  // MARK: Names

  /// Takes parts that wrappers left out of the names.
  mutating func unwrap(_ wrappers: Set<Substring>) throws(FormatError) {
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
    var names: Set<ExactString> = []
    for entry in entries where !names.insert(ExactString(entry.name)).inserted {
      throw FormatError(
        .modelGroup, file: path, at: .tensor(entry.name),
        found: "two tensors of this name, one of them without \(Self.quoted(found))",
        expected: "one", remedy: "Remove one of the two from the file.")
    }
    notes.append("took \(Self.quoted(found)) out of the tensors' names")
  }

  /// Keeps the tensors of one group, without the prefix that their names share.
  ///
  /// - Parameter group: the group's name, as a user gives it; nil for the only one.
  mutating func choose(_ group: String?) throws(FormatError) {
    let outer = try group.map { group throws(FormatError) in try prefix(of: group) } ?? ""
    if !outer.isEmpty { keep(prefix: outer) }
    let prefixes = prefixes()
    if prefixes.first == "" {
      // The names are right as they are; other groups may lie beside them.
      return drop { name in prefixes.dropFirst().contains { name.utf8.starts(with: $0.utf8) } }
    }
    guard prefixes.count <= 1 else {
      // A group inside the one that was chosen has its whole name.
      let names = prefixes.map { outer + String($0.dropLast()) }
      throw FormatError(
        .modelGroup, file: path,
        found:
          "\(names.count) groups of weights: \(names.map { "\"\($0)\"" }.joined(separator: ", "))",
        expected: "one",
        remedy: "Choose one: \(names.map { "--group \($0)" }.joined(separator: " or ")).")
    }
    if let prefix = prefixes.first { keep(prefix: prefix) }
  }

  /// The prefixes without which names follow a naming, shortest first.
  private func prefixes() -> [String] {
    let names = Set(entries.map { ExactString($0.name) })
    var result: Set<ExactString> = []
    for dialect in dialects {
      guard let marker = dialect.markers.first else { continue }
      for entry in entries where entry.name.utf8.reversed().starts(with: marker.utf8.reversed()) {
        let prefix = String(Substring(entry.name.utf8.dropLast(marker.utf8.count)))
        guard prefix.isEmpty || prefix.hasSuffix(".") || prefix.hasSuffix("/"),
          dialect.fits({ names.contains(ExactString(prefix + $0)) })
        else { continue }
        result.insert(ExactString(prefix))
      }
    }
    return result.map(\.string).sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
  }

  /// The prefix of a group that a user named.
  private func prefix(of group: String) throws(FormatError) -> String {
    for prefix in [group, group + ".", group + "/"]
    where prefix.hasSuffix(".") || prefix.hasSuffix("/") {
      if entries.contains(where: { $0.name.utf8.starts(with: prefix.utf8) }) { return prefix }
    }
    let first = entries.compactMap { entry in
      let parts = Self.parts(of: entry.name)
      return parts.count > 1 ? parts.first.map { String($0.text) } : nil
    }
    throw FormatError(
      .modelGroup, file: path, at: .option("--group"), found: group,
      expected: "what tensor names start with: \(Self.list(Array(Set(first)).sorted()))",
      remedy: "sextant inspect shows all names.")
  }

  private mutating func keep(prefix: String) {
    drop { !$0.utf8.starts(with: prefix.utf8) }
    absent = absent.filter { $0.utf8.starts(with: prefix.utf8) }.map {
      String(Substring($0.utf8.dropFirst(prefix.utf8.count)))
    }
    for place in entries.indices {
      entries[place].name = String(
        Substring(entries[place].name.utf8.dropFirst(prefix.utf8.count)))
    }
    isChanged = true
    notes.append("took the prefix \"\(prefix)\" off the tensors' names")
  }

  private mutating func drop(where isBeside: (String) -> Bool) {
    let beside = entries.map(\.name).filter(isBeside)
    guard !beside.isEmpty else { return }
    entries.removeAll { isBeside($0.name) }
    isChanged = true
    notes.append("left out what is beside the weights: \(Self.list(beside))")
  }

  // MARK: Types

  mutating func readUInt16AsBFloat16() throws(FormatError) {
    guard entries.contains(where: { $0.dataType == .u16 }) else {
      throw FormatError(
        .usageOption, file: path, at: .option("--bf16-as-uint16"),
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

  /// The parts of a name between dots and slashes, each with what follows it.
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
