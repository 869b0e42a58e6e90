import SextantTensor

/// The factor by which a token keeps an earlier edit of a component of the state.
package enum Retention: Sendable, Equatable {
  /// Each element is multiplied by a number of its own: [T, component's shape], by token.
  case factors(Tensor)
  /// This number of values of the last axis move up by one, and the first is lost.
  case shifts(width: Int)
  /// Nothing: the token overwrites the component.
  case overwritten
}

/// A model for which the decay of an edit of its state is known without an edit.
package protocol RetainingModel: LanguageModel {
  /// The factors by which tokens keep an edit of a component, as far as it stays in the component
  /// itself.
  ///
  /// - Parameters:
  ///   - stream: one sequence before the block.
  ///   - state: the state before the stream's tokens.
  /// - Returns: nil if nothing is known.
  func retention(
    of component: String, block index: Int, reading stream: BlockStream, _ state: State
  ) -> Retention?
}
