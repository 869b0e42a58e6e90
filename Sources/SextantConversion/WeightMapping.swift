import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor

/// Which tensor of a checkpoint is which tensor of an architecture.
struct WeightMapping: Sendable {
  /// The naming that the checkpoint follows.
  let dialect: Dialect
  /// The canonical tensors.
  let specs: [WeightSpec]
  /// The checkpoint's tensor for each canonical name.
  let sources: [ExactString: CheckpointTensor]
  /// Notes for the user.
  let notes: [String]
  private let forms: [ExactString: StoredForm]

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
    let ignored = found.keys.filter { leftOut.ignores($0.string) }.sorted().map(\.string)
    try Self.check(ignored, architecture, configuration, dialect, path)
    for name in ignored { found[ExactString(name)] = nil }
    let duplicate = try Self.tiedHead(
      architecture, configuration, dialect, found, checkpoint, isBaseModel)
    let specs = try architecture.weights(configuration)
    var sources: [ExactString: CheckpointTensor] = [:]
    var forms: [ExactString: StoredForm] = [:]
    var missing: [String] = []
    for spec in specs {
      if let tensor = Self.tensor(spec.name, dialect, found) {
        sources[ExactString(spec.name)] = tensor
      } else {
        missing.append(dialect.source(spec.name).name)
      }
    }
    guard missing.isEmpty else {
      let isAnnounced = missing.contains { checkpoint.absent.contains($0) }
      throw Refusal(
        isAnnounced
          ? .indexTensorMissing : dialect.countsVariables ? .hdf5KerasCount : .modelTensorMissing,
        file: path,
        found: "no \(Self.list(missing))",
        expected: "\(specs.count) tensors of \(architecture.name)")
    }
    let used = Set(sources.values.map { ExactString($0.name) })
    let others = checkpoint.tensors.filter { tensor in
      let name = ExactString(tensor.name)
      return found[name] != nil && !used.contains(name) && tensor.name != duplicate
        && !dialect.ignores(tensor.name, shape: tensor.shape)
    }
    // Too many numbered variables may shift the meaning of all, independent of their types. A
    // number among the model's own weights, such as a scale, may change the model's output.
    let roots = Set(used.map { Self.root($0.string) })
    let counters =
      dialect.countsVariables
      ? []
      : Set(
        others.filter { Self.isNoWeight($0) && !roots.contains(Self.root($0.name)) }
          .map { ExactString($0.name) })
    let rest = others.map(\.name)
    let unexpected = rest.filter {
      !LeftOutTensors.isWellKnown($0) && !counters.contains(ExactString($0))
    }
    guard unexpected.isEmpty else {
      throw Refusal(
        dialect.countsVariables ? .hdf5KerasCount : .modelTensorUnexpected, file: path,
        found: Self.list(unexpected),
        expected: "\(specs.count) tensors of \(architecture.name)")
    }
    for spec in specs {
      let form: StoredForm
      do throws(Refusal) {
        form = try StoredForm(
          spec, dialect.source(spec.name), configuration, metadata: checkpoint.metadata)
      } catch {
        throw error.inFile(path)
      }
      try Self.check(sources[ExactString(spec.name)], form, path)
      forms[ExactString(spec.name)] = form
    }
    self.dialect = dialect
    self.forms = forms
    self.specs = specs
    self.sources = sources
    var notes = duplicate.map { ["\($0) equals the embedding and is stored once"] } ?? []
    if !rest.isEmpty {
      notes.append("left out, because they are not part of a language model: \(Self.list(rest))")
    }
    if !ignored.isEmpty { notes.append("left out, as `ignoring` asks: \(Self.list(ignored))") }
    self.notes = notes
  }

  /// Refuses to leave out tensors that the model needs.
  ///
  /// - Throws: `model.tensor-missing`.
  private static func check(
    _ ignored: [String], _ architecture: any Architecture.Type, _ configuration: JSONObject,
    _ dialect: Dialect, _ path: String
  ) throws(Refusal) {
    let specs = try architecture.weights(configuration)
    let needed = Set(specs.map { ExactString(dialect.source($0.name).name) })
    let wanted = ignored.filter { needed.contains(ExactString($0)) }
    guard wanted.isEmpty else {
      throw Refusal(
        .modelTensorMissing, file: path, at: .parameter("ignoring"),
        found: "a pattern that leaves out \(list(wanted))",
        expected: "\(specs.count) tensors of \(architecture.name)",
        remedy: "Give `ignoring` a pattern that fits other tensors only.")
    }
  }

  /// The checkpoint's tensor for a canonical name.
  func source(of name: String) -> CheckpointTensor {
    guard let tensor = sources[ExactString(name)] else { preconditionFailure("no \(name)") }
    return tensor
  }

  /// Hands over a canonical tensor's elements in the architecture's order, as `Checkpoint.read`.
  ///
  /// Only a tensor whose elements move or change is kept in memory as a whole.
  func read(
    _ name: String, from checkpoint: any Checkpoint,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let tensor = source(of: name)
    guard let form = forms[ExactString(name)], !form.isPlain else {
      return try checkpoint.read(tensor, body)
    }
    let bytes = form.reading(try checkpoint.bytes(of: tensor), tensor.dataType)
    var failure: Refusal?
    bytes.withUnsafeBytes { buffer in
      do throws(Refusal) { try body(buffer) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// The place of a canonical tensor's elements in a file in the architecture's order; nil if they
  /// have to be read otherwise.
  func part(of name: String, in checkpoint: any Checkpoint) -> FilePart? {
    guard let form = forms[ExactString(name)], form.isPlain else { return nil }
    return checkpoint.part(of: source(of: name))
  }

  /// Bytes of the checkpoint's elements of all canonical tensors.
  var byteCount: Int {
    specs.reduce(0) { $0 + $1.shape.reduce(1, *) * source(of: $1.name).dataType.byteWidth }
  }

  /// The first dimension of a canonical tensor.
  func rowCount(of name: String) -> Int { source(of: name).shape.first ?? 0 }

  /// The tensors to store, with matrices in `dataType` if that is given and fits.
  func plan(_ dataType: DataType?) -> [PlannedTensor] {
    specs.map { spec in
      let stored = source(of: spec.name).dataType
      let wanted = spec.kind == .matrix && !keepsType(spec, dataType) ? dataType : nil
      return PlannedTensor(
        name: spec.name, dataType: wanted ?? stored, shape: spec.shape, sourceDataType: stored)
    }
  }

  /// The matrices that keep their type although they should be stored in `dataType`.
  func matricesKeepingType(_ dataType: DataType?) -> [String] {
    specs.filter { $0.kind == .matrix && keepsType($0, dataType) }.map(\.name)
  }

  private func keepsType(_ spec: WeightSpec, _ dataType: DataType?) -> Bool {
    guard let dataType, dataType.blockLength > 1 else { return false }
    return spec.shape.count != 2 || dataType.byteCount(shape: spec.shape) == nil
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

  /// The checkpoint's tensor for a canonical name, under its usual name or another one.
  private static func tensor(
    _ canonicalName: String, _ dialect: Dialect, _ found: [ExactString: CheckpointTensor]
  ) -> CheckpointTensor? {
    let name = dialect.source(canonicalName).name
    return found[ExactString(name)] ?? dialect.synonyms[name].flatMap { found[ExactString($0)] }
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
    let head = tensor(pair.head, dialect, found)
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

  private static func check(
    _ tensor: CheckpointTensor?, _ form: StoredForm, _ path: String
  ) throws(Refusal) {
    guard let tensor else { return }
    // [E, 1, K] and [E, K], [1, 1, C] and [C] are the same numbers.
    guard tensor.shape.filter({ $0 != 1 }) == form.shape.filter({ $0 != 1 }) else {
      throw Refusal(
        .modelShape, file: path, at: .tensor(tensor.name), found: "\(tensor.shape)",
        expected: "\(form.shape)")
    }
    guard !form.computes || tensor.dataType == .f32 else {
      throw Refusal(
        .modelDataType, file: path, at: .tensor(tensor.name), found: tensor.dataType.rawValue,
        expected: "F32")
    }
    guard [.f32, .bf16, .f16].contains(tensor.dataType) else {
      throw Refusal(
        .modelDataType, file: path, at: .tensor(tensor.name), found: tensor.dataType.rawValue,
        expected: "F32, BF16 or F16",
        remedy: tensor.dataType == .u16
          ? "If these are the bits of bfloat16 numbers, pass `readsUInt16AsBFloat16`." : nil)
    }
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
