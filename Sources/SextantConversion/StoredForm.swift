import Glibc
import SextantBytes
import SextantModels
import SextantTensor

/// How one naming stores one canonical tensor, with everything that its elements depend on: read in
/// one direction and written in the other.
struct StoredForm: Sendable {
  /// The naming's rule for the tensor.
  let source: Dialect.Source
  /// The stored tensor's shape; of a part, that of all parts together.
  let shape: [Int]
  /// The canonical tensor's shape.
  private let canonicalShape: [Int]
  private let steps: [Step]

  /// One way in which elements move or change.
  private enum Step {
    /// Runs of [rows, columns] pieces of `unit` elements are stored as [columns, rows].
    case swap(rows: Int, columns: Int, unit: Int)
    /// x is stored as -exp(x).
    case negativeExponential
    /// x is stored as x / 2^exponent.
    case halving(exponent: Int)
  }

  /// - Parameter metadata: the free text of the file.
  /// - Throws: `model.config` if the configuration lacks a number that the form depends on.
  init(
    _ spec: WeightSpec, _ source: Dialect.Source, _ configuration: JSONObject,
    metadata: [String: String]
  ) throws(Refusal) {
    self.source = source
    canonicalShape = spec.shape
    shape = try source.storedShape(of: spec.shape, configuration)
    var steps: [Step] = []
    switch source.change {
    case nil: break
    case .pairedRows(let key):
      let headWidth = try Self.number(key, configuration, upTo: spec.shape[0])
      guard headWidth % 2 == 0, spec.shape[0] % headWidth == 0 else {
        throw try Self.node(configuration).member(key).refusal(expected: "heads of two halves")
      }
      steps.append(.swap(rows: 2, columns: headWidth / 2, unit: Self.rowLength(spec.shape)))
    case .groupedRows(let kinds, let key):
      let heads = try Self.number(key, configuration, upTo: spec.shape[0])
      guard spec.shape[0] % (heads * kinds) == 0 else {
        throw try Self.node(configuration).member(key).refusal(expected: "heads of equal width")
      }
      let headWidth = spec.shape[0] / (heads * kinds)
      steps.append(
        .swap(rows: heads, columns: kinds, unit: headWidth * Self.rowLength(spec.shape)))
    case .negativeExponential: steps.append(.negativeExponential)
    case .halved(let block, let key):
      let interval = metadata[key].flatMap { Int($0) } ?? 0
      if interval > 0, block >= interval { steps.append(.halving(exponent: block / interval)) }
    }
    if source.isTransposed {
      let rank = spec.shape.count
      steps.append(.swap(rows: spec.shape[rank - 2], columns: spec.shape[rank - 1], unit: 1))
    }
    self.steps = steps
  }

  /// Whether the elements in the file have the architecture's order.
  var isPlain: Bool { steps.isEmpty && source.part == nil }

  /// Whether elements move or change in the conversion.
  var movesElements: Bool { !steps.isEmpty }

  /// Whether elements are computed, which takes f32.
  var computes: Bool {
    steps.contains { if case .negativeExponential = $0 { true } else { false } }
  }

  private static func node(_ configuration: JSONObject) -> JSONNode {
    JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
  }

  private static func number(
    _ key: String, _ configuration: JSONObject, upTo limit: Int
  ) throws(Refusal) -> Int {
    try node(configuration).member(key).integer(in: 1...max(1, limit))
  }

  private static func rowLength(_ shape: [Int]) -> Int { shape.dropFirst().reduce(1, *) }

  // MARK: Elements

  /// The canonical elements of the stored tensor's.
  func reading(_ stored: [UInt8], _ type: DataType) -> [UInt8] {
    var bytes = stored
    if let part = source.part {
      let count = stored.count / part.count
      bytes = Array(stored[part.index * count..<(part.index + 1) * count])
    }
    for step in steps.reversed() {
      switch step {
      case .swap(let rows, let columns, let unit):
        bytes = swappedAxes(bytes, rows: columns, columns: rows, unit: unit * type.byteWidth)
      case .negativeExponential: bytes = mapped(bytes) { Float(log(-Double($0))) }
      case .halving(let exponent): scale(&bytes, type, byTwoToThe: exponent)
      }
    }
    return bytes
  }

  /// The elements to store of the canonical ones; of a part, those of the part.
  func writing(_ canonical: [UInt8], _ type: DataType) -> [UInt8] {
    var bytes = canonical
    for step in steps {
      switch step {
      case .swap(let rows, let columns, let unit):
        bytes = swappedAxes(bytes, rows: rows, columns: columns, unit: unit * type.byteWidth)
      case .negativeExponential: bytes = mapped(bytes) { Float(-exp(Double($0))) }
      case .halving(let exponent): scale(&bytes, type, byTwoToThe: -exponent)
      }
    }
    return bytes
  }

  private func mapped(_ bytes: [UInt8], _ change: (Float) -> Float) -> [UInt8] {
    var bytes = bytes
    bytes.withUnsafeMutableBytes { buffer in
      for offset in stride(from: 0, to: buffer.count, by: 4) {
        let value = buffer.loadUnaligned(fromByteOffset: offset, as: Float.self)
        buffer.storeBytes(of: change(value), toByteOffset: offset, as: Float.self)
      }
    }
    return bytes
  }

  /// Multiplies elements by a power of two, which no type rounds short of its smallest numbers.
  private func scale(_ bytes: inout [UInt8], _ type: DataType, byTwoToThe exponent: Int) {
    let elements = bytes.withUnsafeBytes {
      Tensor(copying: $0, dataType: type, shape: [$0.count / type.byteWidth])
    }
    guard let values = elements?.converted(to: .f32)?.values else {
      preconditionFailure("types were checked to convert")
    }
    let factor = Float(sign: .plus, exponent: exponent, significand: 1)
    let scaled = Tensor(values.map { $0 * factor }, shape: [values.count]).converted(to: type)
    scaled?.withUnsafeBytes { bytes = Array($0) }
  }
}

/// Runs of [rows, columns] pieces of `unit` bytes, each run as [columns, rows].
func swappedAxes(_ bytes: [UInt8], rows: Int, columns: Int, unit: Int) -> [UInt8] {
  let size = rows * columns * unit
  precondition(size > 0 && bytes.count % size == 0)
  return bytes.withUnsafeBytes { source in
    [UInt8](unsafeUninitializedCapacity: bytes.count) { target, count in
      count = source.count
      guard let from = source.baseAddress else { return }
      guard let to = UnsafeMutableRawBufferPointer(target).baseAddress else { return }
      for run in stride(from: 0, to: count, by: size) {
        for row in 0..<rows {
          for column in 0..<columns {
            memcpy(
              to + run + (column * rows + row) * unit, from + run + (row * columns + column) * unit,
              unit)
          }
        }
      }
    }
  }
}
