import Glibc
import Synchronization

/// How products with weights of fewer bits than f32 treat activations.
///
/// Products with f32 and f16 weights are always exact.
public enum Precision: String, Sendable, CaseIterable {
  /// Activations stay f32.
  case exact
  /// Activations are rounded before a product; sums are f32. For weights in blocks they are rounded to
  /// 8 bits, in blocks of 32 with one scale. For bf16 weights they are rounded to bf16, if the processor
  /// multiplies this type directly. The result for a row of activations does not depend on the number of
  /// rows, but roundings make small differences elsewhere larger.
  case fast

  /// The default: numbers then agree with the f64 reference as closely as with f32 weights.
  /// Rounding moves the logits of trained models about as far as storing the weights in that type;
  /// the README has figures, and `sextant drift` measures.
  public static let standard = Precision.exact

  /// The precision of products from now on, in the whole process.
  ///
  /// At first the value of the environment variable `SEXTANT_PRECISION`, else `standard`.
  public static var current: Precision {
    get { chosen.load(ordering: .relaxed) ? .fast : .exact }
    set { chosen.store(newValue == .fast, ordering: .relaxed) }
  }

  private static let chosen = Atomic<Bool>(
    (getenv("SEXTANT_PRECISION").flatMap { Precision(rawValue: String(cString: $0)) } ?? standard)
      == .fast)
}
