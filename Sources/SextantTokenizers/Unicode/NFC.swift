// The standard library normalises every string it compares and has the composed form ready as
// `_nfc`, behind this SPI; its public twin is Foundation's, which drags ICU's data along.
@_spi(_Unicode) import Swift

/// Normalisation form C (UAX #15) as the `tokenizers` package computes it.
enum NFC {
  /// The composed form of UTF-8 bytes; nil where they are in that form already, told quickly.
  ///
  /// Scalars assigned after Unicode 9.0 are left alone and separate what they stand between, as
  /// for a program that does not know them: the package's tables are of that version.
  static func normalize(_ bytes: [UInt8]) -> [UInt8]? {
    // No scalar below U+0300, whose first byte is 0xCC, is changed or combines backwards.
    guard bytes.contains(where: { $0 >= 0xCC }) else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var run = String.UnicodeScalarView()
    func endRun() {
      if run.isEmpty { return }
      for scalar in String(run)._nfc { result.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
      run.removeAll(keepingCapacity: true)
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
