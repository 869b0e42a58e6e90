import CSextantKernels

/// The numeric kernels over tensors.
///
/// Activations are f32. Functions that take `some MatrixRows` read tensors and slices of them in
/// place, row by row. Work is split over `pool` at boundaries that depend on the shapes alone, so
/// the thread count changes no bit of a result. Shapes that do not fit are programming errors and
/// trap: values from files are checked before.
package enum Kernels {
  /// The instruction set in use: `portable`, `neon`, `avx2`, `avx512` or `avx512-dot`.
  ///
  /// The best that the processor has, unless the environment variable `SEXTANT_KERNELS` names another.
  package static var level: String { String(cString: sxk_level_name(table.level)) }

  /// The kernels of that level.
  static var table: sxk_table { sxk_active().pointee }

  /// The number of elements in one chunk of a cheap elementwise loop: about ten microseconds of
  /// work.
  static let elementGrain = 16_384

  /// Rows of `width` elements in one chunk.
  static func rowGrain(width: Int) -> Int { max(elementGrain / max(width, 1), 1) }
}
