import Glibc
import Synchronization

/// How products with weights of fewer bits than f32 treat activations.
///
/// Products with f32 and f16 weights are always exact.
public enum Precision: String, Sendable, CaseIterable {
  /// Activations stay f32.
  case exact
  /// Activations are rounded as the weights were, to bf16 or q8, before a product, where the processor
  /// multiplies these directly; sums are f32. What is computed for a row of activations does not depend
  /// on how many there are, but roundings make small differences elsewhere larger.
  case fast

  /// What counts where nobody has chosen: numbers then agree with the f64 reference as closely as with
  /// f32 weights. Rounding moves the logits of trained models about as far as storing the weights in
  /// that type has moved them; the README has figures, and `sextant drift` measures.
  public static let standard = Precision.exact

  /// What products do from now on, in the whole process.
  ///
  /// At first what the environment variable `SEXTANT_PRECISION` says, else `standard`.
  public static var current: Precision {
    get { chosen.load(ordering: .relaxed) ? .fast : .exact }
    set { chosen.store(newValue == .fast, ordering: .relaxed) }
  }

  private static let chosen = Atomic<Bool>(
    (getenv("SEXTANT_PRECISION").flatMap { Precision(rawValue: String(cString: $0)) } ?? standard)
      == .fast)
}
