import SextantBytes
import SextantTensor

/// Converts a tensor's elements that come in pieces.
struct ElementConverter {
  private let source: DataType
  private let target: DataType
  /// Bytes of the source that the target stores together.
  private let unit: Int
  /// The elements since the last whole block, if the target has blocks.
  private var rest: [UInt8] = []
  /// The last piece after its conversion.
  private var output: [UInt8] = []
  /// Elements so far.
  private var done = 0
  /// The elements so far that were finite and became NaN or infinite.
  private(set) var overflow = Overflow()

  /// Both types are floating-point or blocks.
  init(from source: DataType, to target: DataType) {
    self.source = source
    self.target = target
    unit = target.blockLength * source.byteWidth
  }

  /// Hands the next elements to `body`, as far as they fill blocks; pieces may be cut between any two
  /// elements.
  mutating func convert(
    _ piece: UnsafeRawBufferPointer,
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    let isAligned = Int(bitPattern: piece.baseAddress) % source.alignment == 0
    if rest.isEmpty, piece.count.isMultiple(of: unit), isAligned {
      fill(from: piece)
    } else {
      rest += piece
      let count = rest.count / unit * unit
      let whole = Array(rest[..<count])
      rest.removeFirst(count)
      whole.withUnsafeBytes { fill(from: $0) }
    }
    var failure: Refusal?
    output.withUnsafeBytes { bytes in
      do throws(Refusal) { try body(bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  private mutating func fill(from piece: UnsafeRawBufferPointer) {
    let count = piece.count / source.byteWidth * source.blockLength
    let size = target.byteCount(elements: count)
    if output.count != size { output = [UInt8](repeating: 0, count: size) }
    output.withUnsafeMutableBytes { Kernels.convert(piece, from: source, into: $0, as: target) }
    output.withUnsafeBytes { overflow.add(from: piece, source, to: $0, target, at: done) }
    done += count
  }
}

/// Finite weights that a type has no number for.
struct Overflow {
  /// How many were finite and became NaN or infinite.
  private var count = 0
  /// The place of one of the first in its tensor, and its value.
  private var first: (place: Int, value: Double)?

  /// Counts elements that a conversion lost.
  ///
  /// - Parameter start: the place of the first element in the tensor.
  mutating func add(
    from source: UnsafeRawBufferPointer, _ sourceType: DataType,
    to target: UnsafeRawBufferPointer, _ targetType: DataType, at start: Int
  ) {
    let lost = Kernels.overflowCount(from: source, sourceType, to: target, targetType)
    guard lost > 0 else { return }
    count += lost
    guard first == nil,
      let found = Kernels.firstOverflow(from: source, sourceType, to: target, targetType)
    else { return }
    first = (start + found.place, found.value)
  }

  /// Refuses a tensor that lost elements.
  ///
  /// - Parameters:
  ///   - name: the tensor's.
  ///   - type: the type of the converted elements.
  /// - Throws: `model.overflow`.
  func check(of name: String, in type: DataType, file: String) throws(Refusal) {
    guard count > 0 else { return }
    let value = first.map { ", such as \(Float($0.value)) as element \($0.place)" } ?? ""
    throw Refusal(
      .modelOverflow, file: file, at: .tensor(name),
      found: type.isBlocks
        ? "\(counted(count, "element")) in blocks with NaN, infinity or a number beyond \(type.rawValue)\(value)"
        : "\(counted(count, "element")) beyond \(type.rawValue)\(value)",
      expected:
        "\(type.isBlocks ? "finite numbers with " : "")magnitudes of at most \(Self.largest(type))"
    )
  }

  static func largest(_ type: DataType) -> String {
    switch type {
    case .f16, .q4v1: "65,504"
    case .q8: "8.3 million"
    default: "3.4e38"
    }
  }
}
