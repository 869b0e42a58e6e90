import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor

/// Which tensors of a checkpoint are which tensor of an architecture.
struct WeightMapping: Sendable {
  /// The naming that the checkpoint follows.
  let dialect: Dialect
  /// The canonical tensors.
  let specs: [WeightSpec]
  /// Notes for the user.
  let notes: [String]
  /// The checkpoint's tensors that contain the elements of each canonical tensor, by its name.
  private let sources: [ExactString: [CheckpointTensor]]
  private let forms: [ExactString: StoredForm]
  /// The names of the embedding and of the output head.
  private let tiedPair: TiedPair

  /// Matches names, then shapes and types; refuses with everything that is missing or left over.
  ///
  /// - Parameters:
  ///   - leftOut: the tensors that the user excludes.
  ///   - isBaseModel: whether the tensors are named as in a model without an output head.
  /// - Throws: `index.tensor-missing`, `model.dialect-unknown`, `model.dialect-ambiguous`, `model.tensor-missing`,
  ///   `model.tensor-unexpected`, `h5.keras.count`, `model.shape`, `model.dtype`, `model.tied`.
  init(
    _ architecture: any Architecture.Type, _ configuration: JSONObject,
    _ checkpoint: any Checkpoint, leavingOut leftOut: LeftOutTensors, isBaseModel: Bool
  ) throws(Refusal) {
    let path = checkpoint.path
    var found = Dictionary(
      checkpoint.tensors.map { (ExactString($0.name), $0) }, uniquingKeysWith: { first, _ in first }
    )
    let dialect = try Self.dialect(of: architecture, found, path)
    self.dialect = dialect
    tiedPair = architecture.tiedPair
    let ignored = found.keys.filter { leftOut.ignores($0.string) }.sorted().map(\.string)
    try Self.check(ignored, architecture, configuration, dialect, path)
    for name in ignored { found[ExactString(name)] = nil }
    let duplicate = try Self.tiedHead(
      architecture, configuration, dialect, found, checkpoint, isBaseModel)
    specs = try architecture.weights(configuration)
    sources = try Self.sources(of: specs, architecture, dialect, found, checkpoint)
    let used = Set(sources.values.joined().map { ExactString($0.name) })
    let others = found.values.filter { tensor in
      !used.contains(ExactString(tensor.name)) && tensor.name != duplicate
        && !dialect.ignores(tensor.name, shape: tensor.shape)
    }.sorted { ExactString($0.name) < ExactString($1.name) }
    try Self.check(others, besides: used, architecture, dialect, specs.count, path)
    forms = try Self.forms(of: specs, sources, dialect, configuration, checkpoint)
    var notes = duplicate.map { ["\($0) equals the embedding and is stored once"] } ?? []
    if !others.isEmpty {
      notes.append(
        "left out, because they are not part of a language model: "
          + Self.list(others.map(\.name)))
    }
    if !ignored.isEmpty { notes.append("left out, as `ignoring` asks: \(Self.list(ignored))") }
    self.notes = notes
  }

  /// The checkpoint's tensors for each canonical tensor.
  ///
  /// - Throws: `model.tensor-missing` and its like with all names that are missing.
  private static func sources(
    of specs: [WeightSpec], _ architecture: any Architecture.Type, _ dialect: Dialect,
    _ found: [ExactString: CheckpointTensor], _ checkpoint: any Checkpoint
  ) throws(Refusal) -> [ExactString: [CheckpointTensor]] {
    var sources: [ExactString: [CheckpointTensor]] = [:]
    var missing: [String] = []
    // A configuration may declare millions of experts that the file does not have.
    for spec in specs where missing.count < 1000 {
      for name in dialect.source(spec.name).names(spec.shape) {
        if let tensor = tensor(name, dialect, found) {
          sources[ExactString(spec.name), default: []].append(tensor)
        } else if missing.count < 1000, !missing.contains(name) {
          missing.append(name)
        }
      }
    }
    guard missing.isEmpty else {
      let isAnnounced = missing.contains { checkpoint.absent.contains($0) }
      throw Refusal(
        isAnnounced
          ? .indexTensorMissing : dialect.countsVariables ? .hdf5KerasCount : .modelTensorMissing,
        file: checkpoint.path, found: "no \(list(missing))",
        expected: "\(counted(specs.count, "tensor")) of \(architecture.name)")
    }
    return sources
  }

  /// Refuses tensors that are in no naming and may be weights.
  ///
  /// - Throws: `model.tensor-unexpected`, `h5.keras.count`.
  private static func check(
    _ others: [CheckpointTensor], besides used: Set<ExactString>,
    _ architecture: any Architecture.Type, _ dialect: Dialect, _ count: Int, _ path: String
  ) throws(Refusal) {
    // A number among the model's own weights, such as a scale, may change the model's output.
    let roots = Set(used.map { root($0.string) })
    let unexpected = others.filter { tensor in
      if LeftOutTensors.isWellKnown(tensor.name) { return false }
      // Too many numbered variables may shift the meaning of all, independent of their types.
      return dialect.countsVariables || !isNoWeight(tensor) || roots.contains(root(tensor.name))
    }
    guard unexpected.isEmpty else {
      throw Refusal(
        dialect.countsVariables ? .hdf5KerasCount : .modelTensorUnexpected, file: path,
        found: list(unexpected.map(\.name)),
        expected: "\(counted(count, "tensor")) of \(architecture.name)")
    }
  }

  /// The form of each canonical tensor, compared with the checkpoint's tensors.
  ///
  /// - Throws: `model.shape`, `model.dtype`, `model.config`.
  private static func forms(
    of specs: [WeightSpec], _ sources: [ExactString: [CheckpointTensor]], _ dialect: Dialect,
    _ configuration: JSONObject, _ checkpoint: any Checkpoint
  ) throws(Refusal) -> [ExactString: StoredForm] {
    let shapes = Dictionary(
      specs.map { (ExactString($0.name), $0.shape) }, uniquingKeysWith: { first, _ in first })
    var forms: [ExactString: StoredForm] = [:]
    for spec in specs {
      let name = ExactString(spec.name)
      let tensors = sources[name] ?? []
      do throws(Refusal) {
        let form = try StoredForm(
          spec, dialect.source(spec.name), shapes: shapes, configuration,
          metadata: checkpoint.metadata)
        try form.check(tensors)
        forms[name] = form
      } catch {
        let wrong = tensors.first { error.place == .tensor($0.name) } ?? tensors.first
        throw error.inFile(wrong.map { checkpoint.path(of: $0) } ?? checkpoint.path)
      }
    }
    return forms
  }

  /// Refuses to leave out tensors that the model needs.
  ///
  /// - Throws: `model.tensor-missing`.
  private static func check(
    _ ignored: [String], _ architecture: any Architecture.Type, _ configuration: JSONObject,
    _ dialect: Dialect, _ path: String
  ) throws(Refusal) {
    guard !ignored.isEmpty else { return }
    let specs = try architecture.weights(configuration)
    let needed = Set(
      specs.flatMap { dialect.source($0.name).names($0.shape) }.map { ExactString($0) })
    let wanted = ignored.filter { needed.contains(ExactString($0)) }
    guard wanted.isEmpty else {
      throw Refusal(
        .modelTensorMissing, file: path, at: .parameter("ignoring"),
        found: "a pattern that leaves out \(list(wanted))",
        expected: "\(counted(specs.count, "tensor")) of \(architecture.name)",
        remedy: "Give `ignoring` a pattern that fits other tensors only.")
    }
  }

  /// The checkpoint's tensors for a canonical name.
  private func sources(of name: String) -> [CheckpointTensor] { sources[ExactString(name)] ?? [] }

  /// The type of a canonical tensor's elements in the checkpoint.
  private func dataType(of spec: WeightSpec) -> DataType {
    guard let first = sources(of: spec.name).first else { preconditionFailure("no \(spec.name)") }
    return first.dataType
  }

  /// The type of the blocks in which a canonical tensor can be stored as it came; nil if it does not come in
  /// blocks, or if they do not stay whole.
  private func blocks(of spec: WeightSpec) -> DataType? {
    guard let form = forms[ExactString(spec.name)] else { return nil }
    let types = Set(sources(of: spec.name).map { $0.inBlocks?.dataType })
    guard types.count == 1, let type = types.first.flatMap({ $0 }), form.keepsBlocks(type, of: spec)
    else { return nil }
    return type
  }

  /// Hands over a canonical tensor's elements in the architecture's order, as `Checkpoint.read`.
  ///
  /// Only elements that move together are in memory together: of most tensors a piece, of a
  /// transposed matrix all.
  ///
  /// - Parameter inBlocks: whether to hand over the blocks that contain the elements instead.
  func read(
    _ name: String, inBlocks: Bool = false, from checkpoint: any Checkpoint,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let tensors = sources(of: name).compactMap { inBlocks ? $0.inBlocks : $0 }
    guard let form = forms[ExactString(name)], let first = tensors.first else {
      preconditionFailure("no \(name)")
    }
    if form.isPlain { return try checkpoint.read(first, body) }
    var reader = FormReader(form, first.dataType)
    for tensor in tensors {
      try checkpoint.read(tensor) { piece throws(Refusal) in try reader.append(piece, body) }
    }
    try reader.finish(body)
  }

  /// The place of a canonical tensor's elements in a file in the architecture's order; nil if they
  /// have to be read otherwise.
  func part(of name: String, in checkpoint: any Checkpoint) -> FilePart? {
    guard let slice = forms[ExactString(name)]?.slice, let tensor = sources(of: name).first,
      let part = checkpoint.part(of: tensor)
    else { return nil }
    let (start, width) = (part.range.lowerBound, tensor.dataType.byteWidth)
    return FilePart(
      part.file, start + slice.lowerBound * width..<start + slice.upperBound * width)
  }

  /// Bytes of the checkpoint's elements of all canonical tensors.
  var byteCount: Int {
    specs.reduce(0) { $0 + $1.shape.reduce(1, *) * dataType(of: $1).byteWidth }
  }

  /// The first dimension of a canonical tensor.
  func rowCount(of name: String) -> Int { specs.first { $0.name == name }?.shape.first ?? 0 }

  /// The tensors to store, with matrices in `dataType` if that is given and fits; if it is not, blocks are
  /// kept as they came, as far as they stay whole.
  func plan(_ dataType: DataType?) -> [PlannedTensor] {
    specs.map { spec in
      let stored = self.dataType(of: spec)
      let wanted =
        dataType.map { wantedType(of: spec, $0) ?? stored } ?? blocks(of: spec) ?? stored
      return PlannedTensor(
        name: spec.name, dataType: wanted, shape: spec.shape, sourceDataType: stored)
    }
  }

  /// The matrices that keep their type although they should be stored in `dataType`.
  func matricesKeepingType(_ dataType: DataType?) -> [String] {
    guard let dataType else { return [] }
    return specs.filter { $0.kind != .vector && wantedType(of: $0, dataType) == nil }.map(\.name)
  }

  /// The type for a tensor of a model that is stored in `dataType`; nil if it keeps its own. The embedding and
  /// the output head of a model with 4 bits have 8: their errors reach the logits directly.
  private func wantedType(of spec: WeightSpec, _ dataType: DataType) -> DataType? {
    guard spec.kind != .vector else { return nil }
    guard dataType.isBlocks else { return dataType }
    let isOuter = [tiedPair.embedding, tiedPair.head].contains(spec.name)
    let type = isOuter ? .q8 : dataType
    let hasRows = spec.kind == .experts || spec.shape.count == 2
    return hasRows && type.byteCount(shape: spec.shape) != nil ? type : nil
  }

  /// Notes for the user on tensors that have blocks of few bits in the file: how many keep them, and how many
  /// were converted because `dataType` was asked for; if none was, the names of those whose blocks cannot be kept.
  func notes(onBlocksIn plan: [PlannedTensor], _ dataType: DataType?) -> [String] {
    var kept: [String: Int] = [:]
    var converted: [String: Int] = [:]
    var widened: [String] = []
    for tensor in plan {
      let encodings = sources(of: tensor.name).compactMap(\.encoding).filter { $0.hasPrefix("Q") }
      guard let encoding = encodings.min() else { continue }
      if dataType != nil {
        converted["\(encoding) as \(tensor.dataType.rawValue)", default: 0] += 1
      } else if tensor.dataType.isBlocks {
        kept[encoding, default: 0] += 1
      } else {
        widened.append("\(tensor.name) (\(encoding), stored as \(tensor.dataType.rawValue))")
      }
    }
    func list(_ counts: [String: Int]) -> String {
      counts.sorted { $0.key < $1.key }.map { "\($0.value) in \($0.key)" }.joined(separator: ", ")
    }
    var notes: [String] = []
    if !kept.isEmpty { notes.append("tensors that keep the blocks of the file: \(list(kept))") }
    if !converted.isEmpty {
      notes.append("tensors that were converted from blocks: \(list(converted))")
    }
    if !widened.isEmpty {
      notes.append("tensors whose blocks cannot be kept: \(Self.list(widened))")
    }
    return notes
  }

  // MARK: Parts

  /// The part of a name before its first dot.
  private static func root(_ name: String) -> ExactString {
    ExactString(String(name.prefix { $0 != "." }))
  }

  /// Whether a tensor that is in no naming is a counter, a mask or the state of a random number
  /// generator: a single number, or integers.
  private static func isNoWeight(_ tensor: CheckpointTensor) -> Bool {
    !tensor.dataType.isFloatingPoint || tensor.shape.allSatisfy { $0 == 1 }
  }

  private static func dialect(
    of architecture: any Architecture.Type, _ found: [ExactString: CheckpointTensor], _ path: String
  ) throws(Refusal) -> Dialect {
    let matches = architecture.dialects.filter { dialect in
      dialect.fits { found[ExactString($0)] != nil }
    }
    guard let match = matches.first else {
      let names = found.keys.sorted().map(\.string)
      let shared = Self.sharedPrefix(names)
      throw Refusal(
        .modelDialectUnknown, file: path,
        found: shared.isEmpty
          ? Self.list(names)
          : "names that all start with \"\(shared)\", and fit no naming without it either: "
            + Self.list(names),
        expected: architecture.dialects.map {
          "\($0.markers.joined(separator: " and ")) (\($0.name))"
        }.joined(separator: ", or "))
    }
    guard matches.count == 1 else {
      throw Refusal(
        .modelDialectAmbiguous, file: path,
        found: matches.map { $0.markers.joined(separator: ", ") }.joined(separator: " and "),
        expected: "one naming")
    }
    return match
  }

  /// The checkpoint's tensor of a name, or of another one that the naming has for it.
  private static func tensor(
    _ name: String, _ dialect: Dialect, _ found: [ExactString: CheckpointTensor]
  ) -> CheckpointTensor? {
    found[ExactString(name)] ?? dialect.synonyms[name].flatMap { found[ExactString($0)] }
  }

  /// The name of an output head that is in the checkpoint although it is tied to the embedding.
  ///
  /// Files with tied weights may still contain the head. Equal bytes are stored once; a head that
  /// differs from an embedding that claims to be tied is refused, since tools would disagree on
  /// which of the two counts.
  private static func tiedHead(
    _ architecture: any Architecture.Type, _ configuration: JSONObject, _ dialect: Dialect,
    _ found: [ExactString: CheckpointTensor], _ checkpoint: any Checkpoint, _ isBaseModel: Bool
  ) throws(Refusal) -> String? {
    let pair = architecture.tiedPair
    let head = tensor(dialect.source(pair.head).name, dialect, found)
    let isTied = configuration[pair.flag] == .boolean(true)
    guard let head else {
      let name = dialect.source(pair.head).name
      guard isTied || checkpoint.absent.contains(name) else {
        throw Refusal(
          .modelTied, file: checkpoint.path,
          found: isBaseModel
            ? "only the base model: the output head is missing (\(name))" : "no \(name)",
          expected: "an output head, because the configuration declares that it is not tied",
          remedy: isBaseModel
            ? "Save the whole model, such as LlamaForCausalLM instead of LlamaModel." : nil)
      }
      return nil
    }
    guard isTied else { return nil }
    guard let embedding = found[ExactString(dialect.source(pair.embedding).name)],
      embedding.dataType == head.dataType, embedding.shape == head.shape,
      try digest(embedding, checkpoint) == digest(head, checkpoint)
    else {
      throw Refusal(
        .modelTied, file: checkpoint.path, at: .tensor(head.name),
        found: "a head that differs from the embedding",
        expected: "equal tensors, because the configuration declares that they are tied")
    }
    return head.name
  }

  private static func digest(
    _ tensor: CheckpointTensor, _ checkpoint: any Checkpoint
  ) throws(Refusal) -> Digest {
    var hash = SHA256()
    try checkpoint.read(tensor) { piece throws(Refusal) in hash.update(piece) }
    return hash.finalize()
  }

  /// The parts, up to a dot or slash, that all names start with.
  private static func sharedPrefix(_ names: [String]) -> String {
    guard let first = names.first, let last = names.last else { return "" }
    // Among sorted names, the first and the last have the shortest common prefix.
    let shared = Substring(
      first.utf8.prefix(zip(first.utf8, last.utf8).prefix { $0 == $1 }.count))
    let end = shared.utf8.lastIndex { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") }
    return end.map { String(shared[...$0]) } ?? ""
  }

  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(8).joined(separator: ", ")
    return names.count > 8 ? "\(shown) and \(names.count - 8) more" : shown
  }
}
