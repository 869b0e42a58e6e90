import Glibc
import Synchronization

/// How products with weights of fewer bits than f32 treat activations.
///
/// Products with f32 and f16 weights are always exact.
public enum Precision: String, Sendable, CaseIterable {
  /// Activations stay f32.
  case exact
  /// Before a product activations are rounded where the processor multiplies the results directly: to
  /// bf16 for bf16 weights, and for q8 weights to 32512 steps of the largest in a block of 32; sums are
  /// f32. What is computed for a row of activations does not depend on how many there are.
  case fast

  /// What counts where nobody has chosen.
  ///
  /// On trained models rounding activations moves logits by no more than storing the weights in that
  /// type has moved them already: the README has figures, `sextant drift` measures.
  public static let standard = Precision.fast

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
