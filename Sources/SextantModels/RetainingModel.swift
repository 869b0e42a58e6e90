import SextantTensor

/// What a token leaves of an edit that was made to a component of the state before it.
public enum Retention: Sendable, Equatable {
  /// Each element is multiplied by a number of its own: [T, component's shape], by token.
  case factors(Tensor)
  /// The values of the last axis, so many of them, move up by one, and the first is lost.
  case shifts(width: Int)
  /// Nothing: the token writes the component anew.
  case overwritten
}

/// A model that knows, without any edit, how fast components of its state forget one.
public protocol RetainingModel: LanguageModel {
  /// What tokens leave of an edit of a component, as far as it stays in the component itself.
  ///
  /// - Parameters:
  ///   - stream: one sequence that has come to the block.
  ///   - state: the state before the stream's tokens.
  /// - Returns: nil if nothing is known.
  func retention(
    of component: String, block index: Int, reading stream: BlockStream, _ state: State
  ) -> Retention?
}
