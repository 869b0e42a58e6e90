import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor

/// The tensors of a native model as a published naming has them, streamed from the mapped store.
///
/// A dialect's rules for reading are applied in reverse here, so that each naming is written down
/// only once.
struct PublishedModel {
  /// One tensor of the naming.
  struct Published {
    /// Its name there.
    let name: String
    /// The type that its elements are written in.
    let dataType: DataType
    /// Its shape there.
    let shape: [Int]
    /// The parts of canonical tensors that each group of it is made of, one after the other.
    fileprivate let parts: [Part]
    /// How many groups it has; 1 unless several canonical tensors share it.
    fileprivate let groupCount: Int

    /// Bytes of its elements.
    var byteCount: Int { dataType.byteCount(shape: shape) ?? 0 }
  }

  fileprivate struct Part {
    let canonicalName: String
    let form: StoredForm
    /// The part in the first group, in the elements of the canonical tensor as the naming changes them.
    /// The next group has the elements that follow.
    let elements: Range<Int>

    /// The part in a group.
    func elements(ofGroup group: Int) -> Range<Int> {
      let start = elements.lowerBound + group * elements.count
      return start..<start + elements.count
    }
  }

  /// The model.
  let store: ModelStore
  /// The naming.
  let dialect: Dialect
  /// The tensors, in the model's order.
  let tensors: [Published]
  /// The type of each canonical tensor whose blocks became numbers.
  let widened: [String]

  /// - Parameter type: the type to write a tensor in, of the one that it is stored in.
  /// - Throws: `model.config`, `model.tensor-missing`.
  init(
    _ store: ModelStore, _ architecture: any Architecture.Type, _ dialect: Dialect,
    type: (_ spec: WeightSpec, _ form: StoredForm, _ stored: DataType) -> DataType
  ) throws(Refusal) {
    self.store = store
    self.dialect = dialect
    var forms: [ExactString: StoredForm] = [:]
    var types: [ExactString: DataType] = [:]
    var widened: [String] = []
    let specs = try architecture.weights(store.configuration)
    let shapes = Dictionary(
      specs.map { (ExactString($0.name), $0.shape) }, uniquingKeysWith: { first, _ in first })
    for spec in specs {
      guard let entry = store.entry(spec.name) else {
        throw Refusal(
          .modelTensorMissing, file: store.path, found: "no \(spec.name)",
          expected: "a model of \(architecture.name)")
      }
      let form = try StoredForm(
        spec, dialect.source(spec.name), shapes: shapes, store.configuration, metadata: [:])
      let type = form.changes.need32Bits ? .f32 : type(spec, form, entry.dataType)
      forms[ExactString(spec.name)] = form
      types[ExactString(spec.name)] = type
      if entry.dataType.isBlocks, !type.isBlocks { widened.append(entry.dataType.rawValue) }
    }
    var tensors: [Published] = []
    var names: Set<ExactString> = []
    for spec in specs {
      guard let form = forms[ExactString(spec.name)] else { continue }
      let sharers = form.sharers.isEmpty ? [spec.name] : form.sharers
      // Tensors of several types share one that has room for all.
      let found = Set(sharers.compactMap { types[ExactString($0)] })
      let type = found.count == 1 ? found.first ?? .f32 : .f32
      let fillers = dialect.fillers.filter { $0.original == spec.name }.map(\.name)
      for name in form.tensors.map(\.name) + fillers where names.insert(ExactString(name)).inserted
      {
        let place = form.tensors.firstIndex { $0.name == name } ?? 0
        let stored = form.tensors[place]
        let parts = Self.parts(of: place, form, spec.name, sharers, forms)
        let groupCount =
          form.sharers.isEmpty ? 1 : stored.shape.reduce(1, *) / form.share.groupLength
        tensors.append(
          Published(
            name: name, dataType: type, shape: stored.shape, parts: parts, groupCount: groupCount))
      }
    }
    self.tensors = tensors
    self.widened = widened
  }

  /// The parts of a stored tensor: of one canonical tensor, or of each of `sharers` in its first group.
  private static func parts(
    of place: Int, _ form: StoredForm, _ name: String, _ sharers: [String],
    _ forms: [ExactString: StoredForm]
  ) -> [Part] {
    guard !form.sharers.isEmpty else {
      let sizes = form.tensors.map { $0.shape.reduce(1, *) }
      let start = sizes[..<place].reduce(0, +)
      return [Part(canonicalName: name, form: form, elements: start..<start + sizes[place])]
    }
    return sharers.compactMap { name in
      forms[ExactString(name)].map { form in
        Part(canonicalName: name, form: form, elements: 0..<form.share.length)
      }
    }
  }

  /// Hands over the elements of a tensor.
  ///
  /// - Throws: the errors of `sink`; `model.tensor-missing`; `model.overflow` if the type that is
  ///   written has no number for a weight.
  func write(
    _ tensor: Published, to sink: SafetensorsWriter.Sink
  ) throws(Refusal) {
    var overflow = Overflow()
    if try isInterleaved(tensor) {
      try writeInterleaved(tensor, to: sink, &overflow)
    } else {
      for group in 0..<tensor.groupCount {
        for part in tensor.parts {
          try write(
            part, part.elements(ofGroup: group), as: tensor.dataType, to: sink, &overflow)
        }
      }
    }
    try overflow.check(of: tensor.name, in: tensor.dataType, file: store.path)
  }

  /// Whether a tensor has smaller groups than the pieces that can be converted.
  private func isInterleaved(_ tensor: Published) throws(Refusal) -> Bool {
    guard tensor.groupCount > 1 else { return false }
    for part in tensor.parts {
      let unit = Self.unit(of: try store.tensor(part.canonicalName), part)
      if unit > part.elements.count { return true }
    }
    return false
  }

  /// Hands over a shared tensor whose groups are smaller than the pieces that can be converted. All of it
  /// is in memory then, as a transposed matrix is.
  ///
  /// - Parameter overflow: counts elements that were finite and became NaN or infinite.
  private func writeInterleaved(
    _ tensor: Published, to sink: SafetensorsWriter.Sink, _ overflow: inout Overflow
  ) throws(Refusal) {
    var sources: [[UInt8]] = []
    for part in tensor.parts {
      var bytes: [UInt8] = []
      let whole = 0..<part.elements.count * tensor.groupCount
      try write(
        part, whole, as: tensor.dataType, to: { piece throws(Refusal) in bytes += piece }, &overflow
      )
      sources.append(bytes)
    }
    var joined: [UInt8] = []
    joined.reserveCapacity(tensor.byteCount)
    for group in 0..<tensor.groupCount {
      for (part, bytes) in zip(tensor.parts, sources) {
        let range = part.elements(ofGroup: group)
        let start = tensor.dataType.byteCount(elements: range.lowerBound)
        joined += bytes[start..<start + tensor.dataType.byteCount(elements: range.count)]
      }
    }
    try joined.span.bytes.withUnsafeBytes(sink)
  }

  /// Hands over some elements of a part in pieces of some megabytes: whole rows, and whole periods of the
  /// changes.
  ///
  /// - Parameters:
  ///   - elements: in the elements of the canonical tensor as the naming changes them.
  ///   - overflow: counts elements that were finite and became NaN or infinite.
  private func write(
    _ part: Part, _ elements: Range<Int>, as type: DataType, to sink: SafetensorsWriter.Sink,
    _ overflow: inout Overflow
  ) throws(Refusal) {
    let tensor = try store.tensor(part.canonicalName)
    let unit = Self.unit(of: tensor, part)
    // The elements around a part that does not consist of whole units are converted with it.
    let lower = elements.lowerBound / unit * unit
    let upper = (elements.upperBound + unit - 1) / unit * unit
    let rows = tensor.reshaped([tensor.count / unit, unit]).rows(lower / unit..<upper / unit)
    let step = max(1, Self.pieceElements / unit)
    for row in stride(from: 0, to: rows.shape[0], by: step) {
      let canonical = rows.rows(row..<min(row + step, rows.shape[0]))
      guard let piece = canonical.dataType == type ? canonical : canonical.converted(to: type)
      else { preconditionFailure("types of weights convert") }
      let start = lower + row * unit
      if type != canonical.dataType {
        canonical.withUnsafeBytes { from in
          piece.withUnsafeBytes {
            overflow.add(from: from, canonical.dataType, to: $0, type, at: start)
          }
        }
      }
      let wanted = elements.clamped(to: start..<start + piece.count)
      let place = type.byteCount(elements: wanted.lowerBound - start)
      let range = place..<place + type.byteCount(elements: wanted.count)
      guard part.form.changes.exist else {
        try piece.withUnsafeBytes { bytes throws(Refusal) in
          try sink(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
        continue
      }
      let own = piece.withUnsafeBytes { Array($0) }
      let bytes = part.form.changes.made(own, type, at: start)
      own.withUnsafeBytes { from in
        bytes.withUnsafeBytes { overflow.add(from: from, type, to: $0, type, at: start) }
      }
      try bytes.span.bytes.extracting(range).withUnsafeBytes(sink)
    }
  }

  /// The elements that have to be converted together: rows, as far as a part consists of whole
  /// ones, and periods of the changes.
  private static func unit(of tensor: Tensor, _ part: Part) -> Int {
    let row = tensor.shape.count > 1 ? tensor.shape.last ?? 1 : 1
    let period = part.form.changes.period
    if row % period == 0 { return row }
    return period % row == 0 ? period : tensor.count
  }

  private static let pieceElements = 1 << 20
}
