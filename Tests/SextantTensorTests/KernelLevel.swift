import CSextantKernels
import Testing

/// A level of the kernels that this processor can run.
struct KernelLevel: Sendable, CustomTestStringConvertible {
  let level: sxk_level
  let table: sxk_table

  init?(_ level: sxk_level) {
    guard let table = sxk_table_for(level) else { return nil }
    self.level = level
    self.table = table.pointee
  }

  var testDescription: String { String(cString: sxk_level_name(level)) }

  static let available = [
    SXK_PORTABLE, SXK_NEON, SXK_NEON_DOT, SXK_AVX2, SXK_AVX512, SXK_AVX512_DOT,
  ].compactMap(KernelLevel.init)
}

/// Counts around the widths of the vectors, and odd ones.
let oddSizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257]

/// The distance from `value` to the exact result, in units in the last place of the exact result as a
/// float; units of the smallest normal's spacing below the normal range.
func ulps(_ value: Float, from exact: Double) -> Double {
  if exact.isNaN { return value.isNaN ? 0 : .infinity }
  let rounded = Float(exact)
  if rounded.isInfinite || value.isInfinite { return value == rounded ? 0 : .infinity }
  let unit = max(abs(rounded), .leastNormalMagnitude).ulp
  return value.isNaN ? .infinity : abs(Double(value) - exact) / Double(unit)
}

/// The largest |a - b| / (absolute + relative · |b|): at most 1 when all are near.
func excess(
  _ a: [Float], over b: [Double], absolute: Double, relative: Double
) -> Double {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { worst, pair in
    let error = abs(Double(pair.0) - pair.1) / (absolute + relative * abs(pair.1))
    return error.isNaN ? .infinity : max(worst, error)
  }
}
