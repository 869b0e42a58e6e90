import SextantTensor

/// What a part of a block computes: it mixes tokens, as attention and state spaces do, or channels,
/// as perceptrons do.
///
/// A mixer is a value. Its initialiser asks for its weights, and states the name and shape of each.
protocol Mixer: Sendable {
  /// The components of the state that it reads and writes.
  var state: [StateComponent] { get }

  /// The addition to the stream of T tokens of B sequences.
  ///
  /// - Parameters:
  ///   - x: [B·T, D], the normed stream.
  ///   - stream: the origin of `x`: tokens, positions, and values that blocks pass on.
  ///   - state: its own components before the tokens; afterwards those after them.
  /// - Returns: [B·T, D].
  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor

  /// A copy without the paths from a token to its own output that pass by the state: `memory` in
  /// `formats/sites.md`. Nil if no state is read so.
  var readingStateOnly: (any Mixer)? { get }

  /// The addition to the stream by values that are read from the state: see
  /// `LanguageModel.output(ofRead:block:)`.
  func output(ofRead values: Tensor) -> Tensor?

  /// The number of experts, X, if a router chooses among them.
  var expertCount: Int? { get }

  /// The router's scores of experts for each token: `router` in `formats/sites.md`. Nil without one.
  ///
  /// - Parameter x: [B·T, D], the normed stream.
  /// - Returns: [B·T, X].
  func routing(of x: Tensor) -> Tensor?

  /// The factors by which tokens keep an edit of a component: see
  /// `RetainingModel.retention(of:block:reading:_:)`.
  ///
  /// - Parameters:
  ///   - x: [T, D], the normed stream of one sequence.
  ///   - state: its own components before the tokens.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention?
}

extension Mixer {
  /// None.
  var state: [StateComponent] { [] }
  /// None.
  var readingStateOnly: (any Mixer)? { nil }
  /// None.
  func output(ofRead values: Tensor) -> Tensor? { nil }
  /// None.
  var expertCount: Int? { nil }
  /// None.
  func routing(of x: Tensor) -> Tensor? { nil }
  /// Unknown.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? { nil }
}
