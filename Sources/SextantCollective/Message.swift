import SextantBytes
import SextantTensor

/// Values as bytes that go from one rank to another. Both have the same version of Sextant and the same
/// byte order, so there is no header.
package struct Message: Sendable {
  /// The bytes so far.
  package private(set) var bytes: [UInt8] = []

  /// An empty message.
  package init() {}

  /// Appends a number.
  package mutating func put(_ value: Int) {
    withUnsafeBytes(of: Int64(value)) { bytes.append(contentsOf: $0) }
  }

  /// Appends a number, bit for bit.
  package mutating func put(_ value: Double) {
    withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
  }

  /// Appends bytes and their count.
  package mutating func put(_ values: [UInt8]) {
    put(values.count)
    bytes.append(contentsOf: values)
  }

  /// Appends a text.
  package mutating func put(_ text: String) { put(Array(text.utf8)) }

  /// Appends numbers and their count.
  package mutating func put(_ values: [Double]) {
    put(values.count)
    values.withUnsafeBytes { bytes.append(contentsOf: $0) }
  }

  /// Appends numbers and their count.
  package mutating func put(_ values: [Float]) {
    put(values.count)
    values.withUnsafeBytes { bytes.append(contentsOf: $0) }
  }

  /// Appends an f32 tensor with its shape.
  package mutating func put(_ tensor: Tensor) {
    put(tensor.shape.count)
    for count in tensor.shape { put(count) }
    tensor.withFloats { bytes.append(contentsOf: UnsafeRawBufferPointer($0)) }
  }
}

/// Reads what `Message` wrote, in the same order.
package struct MessageReader: Sendable {
  private let content: [UInt8]
  private var place = 0

  /// Reads a message from its start.
  package init(_ bytes: [UInt8]) { content = bytes }

  /// - Throws: `system.ranks` unless everything was read.
  package func expectEnd() throws(Refusal) {
    guard place == content.count else { throw Self.damaged }
  }

  private static var damaged: Refusal {
    Refusal(
      .systemRanks, found: "a message of another length", expected: "what the other rank computes",
      remedy: "Start the same version of Sextant on every machine.")
  }

  /// Calls `body` with the next bytes.
  private mutating func take<Value>(
    _ count: Int, of size: Int, _ body: (UnsafeRawBufferPointer) -> Value
  ) throws(Refusal) -> Value {
    let (length, overflow) = count.multipliedReportingOverflow(by: size)
    guard count >= 0, !overflow, length <= content.count - place else { throw Self.damaged }
    let range = place..<place + length
    place += length
    return content.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  /// The next number.
  package mutating func integer() throws(Refusal) -> Int {
    Int(try take(1, of: 8) { $0.loadUnaligned(as: Int64.self) })
  }

  /// The next number, in a range.
  package mutating func integer(in range: ClosedRange<Int>) throws(Refusal) -> Int {
    let value = try integer()
    guard range.contains(value) else { throw Self.damaged }
    return value
  }

  /// The next number.
  package mutating func double() throws(Refusal) -> Double {
    try take(1, of: 8) { $0.loadUnaligned(as: Double.self) }
  }

  /// The next bytes.
  package mutating func bytes() throws(Refusal) -> [UInt8] {
    let count = try integer()
    return try take(count, of: 1) { Array($0) }
  }

  /// The next text.
  package mutating func text() throws(Refusal) -> String {
    String(decoding: try bytes(), as: UTF8.self)
  }

  /// The next numbers.
  package mutating func doubles() throws(Refusal) -> [Double] {
    let count = try integer()
    return try take(count, of: 8) { source in
      [Double](unsafeUninitializedCapacity: count) { values, filled in
        UnsafeMutableRawBufferPointer(values).copyMemory(from: source)
        filled = count
      }
    }
  }

  /// The next numbers.
  package mutating func floats() throws(Refusal) -> [Float] {
    let count = try integer()
    return try floats(count)
  }

  private mutating func floats(_ count: Int) throws(Refusal) -> [Float] {
    try take(count, of: 4) { source in
      [Float](unsafeUninitializedCapacity: count) { values, filled in
        UnsafeMutableRawBufferPointer(values).copyMemory(from: source)
        filled = count
      }
    }
  }

  /// The next tensor.
  package mutating func tensor() throws(Refusal) -> Tensor {
    let rank = try integer(in: 0...16)
    let shape = try (0..<rank).map { _ throws(Refusal) in try integer(in: 0...Int.max) }
    let count = shape.reduce(1) { MemoryBudget.product($0, $1) }
    return Tensor(try floats(count), shape: shape)
  }
}
