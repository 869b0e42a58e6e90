import Glibc
import SextantBytes
import SextantModels
import SextantTensor

/// How a naming changes the elements of one canonical tensor: it moves some, and computes others.
struct ElementChanges: Sendable {
  private var steps: [Step] = []
  /// The elements of a canonical tensor that change independently of all others: it can be read
  /// and written in pieces of any multiple of this number.
  private(set) var period = 1

  /// One way in which elements move or change.
  private enum Step {
    /// From the element `start` on, runs of [rows, columns] pieces of `unit` elements are stored as
    /// [columns, rows].
    case swap(start: Int, rows: Int, columns: Int, unit: Int)
    /// x is stored as -exp(x).
    case negativeExponential
    /// x is stored as x + 1.
    case plusOne
    /// Elements are stored multiplied, by the first factor up to the element `end`, and so on.
    case scale([(end: Int, factor: Float)])
  }

  /// - Parameters:
  ///   - shape: the canonical tensor's.
  ///   - metadata: the free text of the file.
  /// - Throws: `model.config`.
  init(
    _ source: Dialect.Source, _ shape: [Int], _ numbers: ConfigurationNumbers,
    metadata: [String: String]
  ) throws(Refusal) {
    let count = shape.reduce(1, *)
    for change in source.changes {
      try add(change, shape, numbers, metadata: metadata)
    }
    if source.isTransposed, count > 0 {
      let matrix = try Self.matrices(of: shape, source, numbers).suffix(2)
      steps.append(
        .swap(start: 0, rows: matrix[matrix.startIndex], columns: matrix.last ?? 1, unit: 1))
    }
    for case .swap(let start, let rows, let columns, let unit) in steps {
      let length = rows * columns * unit
      if start > 0 || (length % period != 0 && period % length != 0) {
        period = count
      } else {
        period = max(period, length)
      }
    }
  }

  /// The shape whose last two dimensions are those of the matrices that a transposition changes.
  ///
  /// - Throws: `model.config`.
  static func matrices(
    of shape: [Int], _ source: Dialect.Source, _ numbers: ConfigurationNumbers
  ) throws(Refusal) -> [Int] {
    guard case .heads(let key) = source.form else { return shape }
    let heads = try numbers.integer(key, dividing: shape[0])
    return [heads, shape[0] / heads] + shape.dropFirst()
  }

  private mutating func add(
    _ change: Dialect.Source.Change, _ shape: [Int], _ numbers: ConfigurationNumbers,
    metadata: [String: String]
  ) throws(Refusal) {
    let (rows, rowLength) = (shape.first ?? 1, shape.dropFirst().reduce(1, *))
    switch change {
    case .pairedRows(let key):
      let headWidth = try numbers.integer(key, upTo: rows)
      guard headWidth % 2 == 0, rows % headWidth == 0 else {
        throw try numbers.refusal(of: key, expected: "heads of two halves")
      }
      steps.append(.swap(start: 0, rows: 2, columns: headWidth / 2, unit: rowLength))
    case .groupedRows(let kinds, let key):
      let heads = try numbers.integer(key, upTo: rows)
      guard rows % (heads * kinds) == 0 else {
        throw try numbers.refusal(of: key, expected: "heads of equal width")
      }
      let headWidth = rows / (heads * kinds)
      steps.append(.swap(start: 0, rows: heads, columns: kinds, unit: headWidth * rowLength))
    case .tiledHeads(let groupsKey, let headsKey, let axis, let after):
      var skipped = 0
      for part in after { skipped += try numbers.product(part, upTo: shape[axis]) }
      let length = shape[axis] - skipped
      let heads = try numbers.integer(headsKey, upTo: max(1, length))
      let groups = try numbers.integer(groupsKey, upTo: heads)
      guard length > 0, length % heads == 0, heads % groups == 0 else {
        throw try numbers.refusal(of: headsKey, expected: "heads of equal width, in equal groups")
      }
      guard groups > 1, heads > groups else { return }
      let columnLength = shape.dropFirst(axis + 1).reduce(1, *)
      steps.append(
        .swap(
          start: skipped * columnLength, rows: groups, columns: heads / groups,
          unit: length / heads * columnLength))
    case .negativeExponential: steps.append(.negativeExponential)
    case .plusOne: steps.append(.plusOne)
    case .halved(let block, let key):
      let interval = metadata[key].flatMap { Int($0) } ?? 0
      guard interval > 0, block >= interval else { return }
      let factor = Float(sign: .plus, exponent: -(block / interval), significand: 1)
      steps.append(.scale([(rows * rowLength, factor)]))
    case .scaled(let scales):
      try add(scales, rows, rowLength, numbers)
    }
  }

  private mutating func add(
    _ scales: [Dialect.Source.Scale], _ rows: Int, _ rowLength: Int,
    _ numbers: ConfigurationNumbers
  ) throws(Refusal) {
    var factors: [(end: Int, factor: Float)] = []
    var end = 0
    for scale in scales {
      var factor = 1.0
      for key in scale.factors { factor *= try numbers.number(key) }
      guard factor != 0, factor.isFinite else {
        throw numbers.refusal(
          "a product of \(scale.factors.joined(separator: ", ")) that is \(factor)",
          expected: "a number other than 0")
      }
      end +=
        try scale.rows.map { keys throws(Refusal) in
          try numbers.product(keys, upTo: rows)
        } ?? rows - end
      factors.append((end * rowLength, Float(factor)))
    }
    guard end == rows else {
      throw numbers.refusal("\(counted(end, "row")) with multipliers", expected: "\(rows)")
    }
    if factors.contains(where: { $0.factor != 1 }) { steps.append(.scale(factors)) }
  }

  /// Whether there are any.
  var exist: Bool { !steps.isEmpty }

  /// Whether elements are computed in a way that takes f32.
  var need32Bits: Bool {
    steps.contains {
      switch $0 {
      case .negativeExponential, .plusOne: true
      case .swap, .scale: false
      }
    }
  }

  /// Whether they move blocks of so many neighbours as wholes, and compute none of the elements.
  func keepBlocks(ofLength length: Int) -> Bool {
    steps.allSatisfy {
      guard case .swap(let start, _, _, let unit) = $0 else { return false }
      return start.isMultiple(of: length) && unit.isMultiple(of: length)
    }
  }

  // MARK: Elements

  /// The canonical elements of stored ones, or whole blocks of them if the changes keep these.
  ///
  /// - Parameter offset: the place of the first element in the tensor. The elements are whole
  ///   periods.
  func undone(_ stored: [UInt8], _ type: DataType, at offset: Int) -> [UInt8] {
    var bytes = stored
    for step in steps.reversed() {
      switch step {
      case .swap(let start, let rows, let columns, let unit):
        swap(
          &bytes, from: type.byteCount(elements: start), columns, rows,
          type.byteCount(elements: unit))
      case .negativeExponential: map(&bytes) { Float(log(-Double($0))) }
      case .plusOne: map(&bytes) { $0 - 1 }
      case .scale(let factors):
        scale(&bytes, type, at: offset, factors) { $0 / $1 }
      }
    }
    return bytes
  }

  /// The elements to store of canonical ones; the reverse of `undone`.
  func made(_ canonical: [UInt8], _ type: DataType, at offset: Int) -> [UInt8] {
    var bytes = canonical
    for step in steps {
      switch step {
      case .swap(let start, let rows, let columns, let unit):
        swap(
          &bytes, from: type.byteCount(elements: start), rows, columns,
          type.byteCount(elements: unit))
      case .negativeExponential: map(&bytes) { Float(-exp(Double($0))) }
      case .plusOne: map(&bytes) { $0 + 1 }
      case .scale(let factors):
        scale(&bytes, type, at: offset, factors) { $0 * $1 }
      }
    }
    return bytes
  }

  private func swap(
    _ bytes: inout [UInt8], from start: Int, _ rows: Int, _ columns: Int, _ unit: Int
  ) {
    let swapped = swappedAxes(
      start == 0 ? bytes : Array(bytes[start...]), rows: rows, columns: columns, unit: unit)
    if start == 0 { bytes = swapped } else { bytes.replaceSubrange(start..., with: swapped) }
  }

  private func map(_ bytes: inout [UInt8], _ change: (Float) -> Float) {
    bytes.withUnsafeMutableBytes { buffer in
      for offset in stride(from: 0, to: buffer.count, by: 4) {
        let value = buffer.loadUnaligned(fromByteOffset: offset, as: Float.self)
        buffer.storeBytes(of: change(value), toByteOffset: offset, as: Float.self)
      }
    }
  }

  /// Multiplies or divides elements; powers of two are exact short of a type's smallest numbers.
  private func scale(
    _ bytes: inout [UInt8], _ type: DataType, at offset: Int,
    _ factors: [(end: Int, factor: Float)], _ change: (Float, Float) -> Float
  ) {
    let elements = bytes.withUnsafeBytes {
      Tensor(copying: $0, dataType: type, shape: [$0.count / type.byteWidth])
    }
    guard var values = elements?.converted(to: .f32) else {
      preconditionFailure("types were checked to convert")
    }
    values.withMutableFloats { values in
      var start = offset
      for (end, factor) in factors where end > start {
        for place in start - offset..<min(end - offset, values.count) {
          values[place] = change(values[place], factor)
        }
        start = max(start, min(end, offset + values.count))
      }
    }
    values.converted(to: type)?.withUnsafeBytes { bytes = Array($0) }
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

/// Takes a canonical tensor's elements out of the stored ones, which come in pieces, and undoes
/// their changes. Memory is limited by the pieces and the period of the changes.
struct FormReader {
  private let form: StoredForm
  private let type: DataType
  /// Bytes of stored elements that came so far.
  private var position = 0
  /// Canonical elements that were handed over.
  private var done = 0
  /// Bytes of the canonical tensor that wait for the rest of their period.
  private var waiting: [UInt8] = []
  /// Bytes of whole periods that are changed together.
  private let step: Int

  init(_ form: StoredForm, _ type: DataType) {
    self.form = form
    self.type = type
    let usual = 1 << 18
    step = type.byteCount(
      elements: max(1, usual / form.changes.period) * form.changes.period)
  }

  /// Receives the next stored elements.
  mutating func append(
    _ piece: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let group = type.byteCount(elements: form.share.groupLength)
    let start = type.byteCount(elements: form.share.start)
    let share = start..<start + type.byteCount(elements: form.share.length)
    let end = position + piece.count
    var first = position / max(1, group) * group
    while first < end {
      let lower = max(first + share.lowerBound, position)
      let upper = min(first + share.upperBound, end)
      if lower < upper {
        try take(
          UnsafeRawBufferPointer(rebasing: piece[lower - position..<upper - position]), body)
      }
      first += group
    }
    position = end
  }

  private mutating func take(
    _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard form.changes.exist else { return try body(bytes) }
    waiting += bytes
    let whole = waiting.count / step * step
    if whole > 0 { try hand(whole, body) }
  }

  /// Hands over what waits, after the last piece.
  mutating func finish(
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    if !waiting.isEmpty { try hand(waiting.count, body) }
  }

  private mutating func hand(
    _ count: Int, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let stored = count == waiting.count ? waiting : Array(waiting[..<count])
    waiting.removeFirst(count)
    let bytes = form.changes.undone(stored, type, at: done)
    done += count / type.byteWidth * type.blockLength
    try bytes.span.bytes.withUnsafeBytes(body)
  }
}
