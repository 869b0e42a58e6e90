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
    /// The canonical tensors that it is made of, one after the other.
    fileprivate let parts: [Part]

    /// Bytes of its elements.
    var byteCount: Int { dataType.byteCount(shape: shape) ?? 0 }
  }

  fileprivate struct Part {
    let canonicalName: String
    let form: StoredForm
  }

  /// The model.
  let store: ModelStore
  /// The naming.
  let dialect: Dialect
  /// The tensors, in the model's order.
  let tensors: [Published]
  /// Whether 8-bit blocks became numbers.
  let wasDequantised: Bool

  /// - Parameter type: the type to write a tensor in, of the one that it is stored in.
  /// - Throws: `model.config`, `model.tensor-missing`.
  init(
    _ store: ModelStore, _ architecture: any Architecture.Type, _ dialect: Dialect,
    type: (_ spec: WeightSpec, _ form: StoredForm, _ stored: DataType) -> DataType
  ) throws(Refusal) {
    self.store = store
    self.dialect = dialect
    var places: [ExactString: Int] = [:]
    var tensors: [Published] = []
    var wasDequantised = false
    let specs = try architecture.weights(store.configuration)
    func add(_ name: String, _ spec: WeightSpec, _ form: StoredForm) throws(Refusal) {
      guard let entry = store.entry(spec.name) else {
        throw Refusal(
          .modelTensorMissing, file: store.path, found: "no \(spec.name)",
          expected: "a model of \(architecture.name)")
      }
      let type = form.computes ? .f32 : type(spec, form, entry.dataType)
      if entry.dataType == .q8, type != .q8 { wasDequantised = true }
      let part = Part(canonicalName: spec.name, form: form)
      var parts = [part]
      // Parts of one tensor are in their own order, not in that of the specifications.
      if form.source.part != nil, let place = places[ExactString(name)] {
        parts = (tensors[place].parts + parts).sorted {
          ($0.form.source.part?.index ?? 0) < ($1.form.source.part?.index ?? 0)
        }
        tensors[place] = Published(
          name: name, dataType: tensors[place].dataType, shape: form.shape, parts: parts)
        return
      }
      places[ExactString(name)] = tensors.count
      tensors.append(Published(name: name, dataType: type, shape: form.shape, parts: parts))
    }
    for spec in specs {
      let source = dialect.source(spec.name)
      try add(
        source.name, spec,
        StoredForm(spec, source, store.configuration, metadata: [:]))
      for filler in dialect.fillers where filler.original == spec.name {
        try add(filler.name, spec, StoredForm(spec, source, store.configuration, metadata: [:]))
      }
    }
    self.tensors = tensors
    self.wasDequantised = wasDequantised
  }

  /// Hands over the elements of a tensor.
  ///
  /// - Throws: the errors of `sink`; `model.tensor-missing`; `model.overflow` if the type that is
  ///   written has no number for a weight.
  func write(
    _ tensor: Published, to sink: SafetensorsWriter.Sink
  ) throws(Refusal) {
    var overflowCount = 0
    for part in tensor.parts {
      let stored = try store.tensor(part.canonicalName)
      if part.form.movesElements {
        guard let converted = stored.converted(to: tensor.dataType) else {
          preconditionFailure("types of weights convert")
        }
        let bytes = part.form.writing(converted.withUnsafeBytes { Array($0) }, tensor.dataType)
        overflowCount += stored.withUnsafeBytes { from in
          bytes.withUnsafeBytes {
            Kernels.overflowCount(from: from, stored.dataType, to: $0, tensor.dataType)
          }
        }
        try bytes.span.bytes.withUnsafeBytes(sink)
      } else {
        overflowCount += try Self.stream(stored, as: tensor.dataType, to: sink)
      }
    }
    try Overflow.check(overflowCount, of: tensor.name, in: tensor.dataType, file: store.path)
  }

  /// Rows in pieces of some megabytes, converted if the types differ.
  ///
  /// - Returns: how many elements were finite and became NaN or infinite.
  private static func stream(
    _ tensor: Tensor, as type: DataType, to sink: SafetensorsWriter.Sink
  ) throws(Refusal) -> Int {
    var overflowCount = 0
    let rowCount = tensor.shape.first ?? 1
    let rowLength = max(1, tensor.count / max(1, rowCount))
    let step = max(1, pieceElements / rowLength)
    var row = 0
    while row < rowCount {
      let rows = tensor.shape.isEmpty ? tensor : tensor.rows(row..<min(row + step, rowCount))
      guard let piece = rows.dataType == type ? rows : rows.converted(to: type) else {
        preconditionFailure("types of weights convert")
      }
      if type != tensor.dataType {
        overflowCount += rows.withUnsafeBytes { from in
          piece.withUnsafeBytes { Kernels.overflowCount(from: from, rows.dataType, to: $0, type) }
        }
      }
      try piece.withUnsafeBytes(sink)
      row += step
    }
    return overflowCount
  }

  private static let pieceElements = 1 << 20
}
