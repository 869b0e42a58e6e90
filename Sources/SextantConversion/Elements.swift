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
  /// Elements so far that were finite and became NaN or infinite.
  private(set) var overflowCount = 0

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
    let size = piece.count / unit * target.byteWidth
    if output.count != size { output = [UInt8](repeating: 0, count: size) }
    output.withUnsafeMutableBytes { Kernels.convert(piece, from: source, into: $0, as: target) }
    overflowCount += output.withUnsafeBytes {
      Kernels.overflowCount(from: piece, source, to: $0, target)
    }
  }
}

/// Finite weights that a type has no number for.
enum Overflow {
  /// Refuses a tensor that lost elements.
  ///
  /// - Parameters:
  ///   - count: how many were finite and became NaN or infinite.
  ///   - name: the tensor's.
  ///   - type: the type of the converted elements.
  /// - Throws: `model.overflow`.
  static func check(
    _ count: Int, of name: String, in type: DataType, file: String
  ) throws(Refusal) {
    guard count > 0 else { return }
    let isBlocks = type.blockLength > 1
    throw Refusal(
      .modelOverflow, file: file, at: .tensor(name),
      found: isBlocks
        ? "\(counted(count, "element")) in blocks with NaN, infinity or a number beyond \(type.rawValue)"
        : "\(counted(count, "element")) beyond \(type.rawValue)",
      expected: "\(isBlocks ? "finite numbers with " : "")magnitudes of at most \(largest(type))")
  }

  static func largest(_ type: DataType) -> String {
    switch type {
    case .f16: "65,504"
    case .q8: "8.3 million"
    default: "3.4e38"
    }
  }
}
