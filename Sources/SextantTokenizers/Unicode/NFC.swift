// The standard library normalises every string it compares and has the composed form ready as
// `_nfc`, behind this SPI; its public twin is Foundation's, which drags ICU's data along.
@_spi(_Unicode) import Swift

/// Normalisation form C (UAX #15) as the `tokenizers` package computes it.
enum NFC {
  /// The composed form of UTF-8 bytes; nil if they are in that form already, which a quick check
  /// finds.
  ///
  /// Scalars assigned after Unicode 9.0 are not changed and separate their neighbours, as for a
  /// program that does not know them: the package's tables have that version.
  static func normalize(_ bytes: [UInt8]) -> [UInt8]? {
    // No scalar below U+0300, whose first byte is 0xCC, is changed or combines backwards.
    guard bytes.contains(where: { $0 >= 0xCC }) else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var run = ReorderedScalars()
    func endRun() {
      for scalar in run.take()._nfc { result.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
    }
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      if ScalarClass.of(scalar.value).isInertInNFC {
        endRun()
        result.append(contentsOf: UTF8.encode(scalar) ?? .init())
      } else {
        run.append(scalar)
      }
    }
    endRun()
    return result
  }
}

/// Scalars whose long runs of combining marks are in canonical order (Unicode 17.0, section 3.11).
///
/// The standard library sorts such a run by insertion: a million marks in another order would take hours.
/// Sorted before, they take time by their number. The order is the one that normalisation gives them.
struct ReorderedScalars {
  private var scalars = String.UnicodeScalarView()
  /// Marks whose place is not settled, with their classes.
  private var marks: [(combiningClass: UInt8, scalar: Unicode.Scalar)] = []

  // Natural texts have at most this many marks in a row; more are sorted in linear time.
  private static let shortCount = 8

  /// Adds a scalar.
  mutating func append(_ scalar: Unicode.Scalar) {
    // No scalar below U+0300 is a mark.
    guard scalar.value >= 0x300 else { return appendBase(scalar) }
    let combiningClass = scalar.properties.canonicalCombiningClass
    if combiningClass != .notReordered {
      marks.append((combiningClass.rawValue, scalar))
    } else if scalar.value >= 0xF73, scalar.value <= 0xF81 {
      appendTibetan(scalar)
    } else {
      appendBase(scalar)
    }
  }

  private mutating func appendBase(_ scalar: Unicode.Scalar) {
    settle()
    scalars.append(scalar)
  }

  /// Three vowel signs of Tibetan are not marks and become two each.
  private mutating func appendTibetan(_ scalar: Unicode.Scalar) {
    let parts = Array(String(scalar)._nfd)
    guard parts.count > 1 else { return appendBase(scalar) }
    for part in parts { append(part) }
  }

  private mutating func settle() {
    if marks.count > Self.shortCount {
      var starts = [Int](repeating: 0, count: 257)
      for mark in marks { starts[Int(mark.combiningClass) + 1] += 1 }
      for index in 1..<starts.count { starts[index] += starts[index - 1] }
      var sorted = marks
      for mark in marks {
        let index = Int(mark.combiningClass)
        sorted[starts[index]] = mark
        starts[index] += 1
      }
      marks = sorted
    }
    for mark in marks { scalars.append(mark.scalar) }
    marks.removeAll(keepingCapacity: true)
  }

  /// The scalars so far, which are forgotten.
  mutating func take() -> String {
    settle()
    defer { scalars.removeAll(keepingCapacity: true) }
    return String(scalars)
  }
}
