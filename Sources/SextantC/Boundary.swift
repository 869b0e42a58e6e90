import CSextant
import Glibc
import Sextant

// How values cross between C and Swift. Nothing that comes from C is trusted, except that a pointer which is not null leads to as
// much memory as the header asks for.

/// An error for C, or null.
public typealias CError = UnsafeMutablePointer<sextant_error>
/// A text of C.
public typealias CText = UnsafePointer<CChar>
/// Texts of C.
public typealias CTexts = UnsafePointer<UnsafePointer<CChar>?>

/// Calls `body`. Its refusal becomes an error of C.
func answering(_ body: () throws(Refusal) -> Void) -> CError? {
  do throws(Refusal) {
    try body()
    return nil
  } catch {
    // All lines but the last, which is the remedy.
    let lines = error.description.split(separator: "\n").dropLast()
    return sextant_error_make(
      error.code.rawValue, lines.joined(separator: "\n"), error.remedy)
  }
}

/// Refuses an argument.
func misuse(found: String, expected: String) -> Refusal {
  Refusal(.usageOption, found: found, expected: expected)
}

// MARK: Arguments

/// A text that must be given.
func text(_ pointer: CText?, _ what: String) throws(Refusal) -> String {
  guard let pointer else { throw misuse(found: "null", expected: what) }
  guard let text = String(validatingCString: pointer) else {
    throw misuse(found: "bytes that are not UTF-8", expected: what)
  }
  return text
}

/// A text that may be null.
func optionalText(_ pointer: CText?, _ what: String) throws(Refusal) -> String? {
  pointer == nil ? nil : try text(pointer, what)
}

/// An array that may be null if it is empty.
func array<Element>(
  _ pointer: UnsafePointer<Element>?, _ count: Int, _ what: String
) throws(Refusal) -> [Element] {
  guard count >= 0, count <= Int.max / max(MemoryLayout<Element>.stride, 1) else {
    throw misuse(found: "a count of \(UInt(bitPattern: count))", expected: what)
  }
  guard let pointer else {
    guard count == 0 else { throw misuse(found: "null", expected: what) }
    return []
  }
  return Array(UnsafeBufferPointer(start: pointer, count: count))
}

/// An array of texts.
func texts(_ pointer: CTexts?, _ count: Int, _ what: String) throws(Refusal) -> [String] {
  var result: [String] = []
  for element in try array(pointer, count, what) { result.append(try text(element, what)) }
  return result
}

/// Blocks such as `2-4`.
func layers(_ pointer: CText?) throws(Refusal) -> LayerSelection? {
  guard let words = try optionalText(pointer, "blocks") else { return nil }
  guard let layers = LayerSelection(words) else {
    throw misuse(found: "the blocks \"\(words)\"", expected: "a list such as 3 or 1,3,10-12")
  }
  return layers
}

/// Blocks one after the other, such as `2-4`.
func layerRange(_ pointer: CText?) throws(Refusal) -> ClosedRange<Int>? {
  guard let layers = try layers(pointer) else { return nil }
  guard layers.parts.count == 1 else {
    throw misuse(found: "the blocks \(layers)", expected: "one block or one range, such as 2-4")
  }
  return layers.parts[0]
}

/// Tokens such as `last`.
func positions(_ pointer: CText?) throws(Refusal) -> PositionSelection? {
  guard let words = try optionalText(pointer, "positions") else { return nil }
  guard let positions = PositionSelection(words) else {
    throw misuse(
      found: "the positions \"\(words)\"", expected: "a list such as last, all, generated or 2:5")
  }
  return positions
}

// MARK: Results

/// A place for a result, which must be given.
struct Place<Value> {
  private let pointer: UnsafeMutablePointer<Value>

  init(_ pointer: UnsafeMutablePointer<Value>?) throws(Refusal) {
    guard let pointer else {
      throw misuse(found: "null", expected: "the address of a variable for the result")
    }
    self.pointer = pointer
  }

  func write(_ value: Value) { pointer.pointee = value }
}

/// Memory of `malloc`, for C to free.
private func allocated(_ byteCount: Int) throws(Refusal) -> UnsafeMutableRawPointer {
  guard let memory = malloc(max(byteCount, 1)) else {
    throw Refusal(
      .systemMemory, found: "no memory for \(byteCount) bytes of a result", expected: "enough")
  }
  return memory
}

/// The bytes of a text and a 0 after them.
func copied(_ text: String) throws(Refusal) -> UnsafeMutablePointer<CChar> {
  let bytes = Array(text.utf8)
  let memory = try allocated(bytes.count + 1)
  bytes.withUnsafeBytes {
    if let base = $0.baseAddress { memory.copyMemory(from: base, byteCount: $0.count) }
  }
  memory.storeBytes(of: 0, toByteOffset: bytes.count, as: UInt8.self)
  return memory.assumingMemoryBound(to: CChar.self)
}

func copied(_ numbers: [Int64]) throws(Refusal) -> UnsafeMutablePointer<Int64> {
  let memory = try allocated(numbers.count * MemoryLayout<Int64>.stride)
    .bindMemory(to: Int64.self, capacity: numbers.count)
  for (index, number) in numbers.enumerated() { memory[index] = number }
  return memory
}

extension JSONValue {
  /// A number, or null for one that JSON has no word for.
  init(number: Double) { self = number.isFinite ? .number(number) : .null }

  init(_ numbers: [Int]) { self = .array(numbers.map { .integer(Int64($0)) }) }

  init(_ texts: [String]) { self = .array(texts.map { .string($0) }) }
}
