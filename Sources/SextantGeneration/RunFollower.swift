import SextantModels
import SextantTensor

/// Sees the predictions and the states of a text while it is a row of a batch, and decides where its
/// prompt is cut.
package protocol RunFollower: AnyObject {
  /// The number of tokens of the prompt after which the state is to be seen next; nil for no further
  /// place.
  ///
  /// - Parameter count: tokens of the prompt that were read. The result is larger.
  func cut(after count: Int) -> Int?

  /// Whether the prediction after each of some tokens of the prompt is wanted; otherwise only the one
  /// at a cut and the one at the end are computed.
  func wantsPredictions(after tokens: Range<Int>) -> Bool

  /// Called when a piece of the prompt was read.
  ///
  /// - Parameters:
  ///   - tokens: the places of its tokens in the prompt.
  ///   - predictions: after each of them, or after the last one, or none: [S, V].
  ///   - state: the state after them. It is a value: keeping it costs memory from the next token on.
  func didReadPrompt(_ tokens: Range<Int>, _ predictions: Tensor, _ state: State)

  /// Called before a token is chosen.
  ///
  /// - Parameter logits: the prediction after everything that was read, of V elements.
  func didPredict(_ logits: Tensor)

  /// Called when a token was chosen from the last prediction. A token that ends the text is none.
  func didChoose(_ token: Int)
}
