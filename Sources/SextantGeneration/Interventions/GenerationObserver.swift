import SextantBytes
import SextantModels
import SextantTensor

/// Tokens that were read while a text is generated: the prompt, then one token after the other.
public struct GenerationStep: Sendable {
  /// The ids that were read.
  public let tokens: [Int]
  /// Their positions in the sequence.
  public let positions: Range<Int>
  /// The positions of the whole prompt.
  public let prompt: Range<Int>
  /// The logits after the last of them, [V].
  public let logits: Tensor
  /// The token that follows them, if it is known: the next one of a prompt that is read in pieces.
  public let next: Int?

  /// Whether these are tokens of the prompt: all of them, or a piece.
  public var isPrompt: Bool { positions.lowerBound < prompt.upperBound }

  /// Describes a step.
  public init(
    tokens: [Int], positions: Range<Int>, prompt: Range<Int>, logits: Tensor, next: Int? = nil
  ) {
    self.tokens = tokens
    self.positions = positions
    self.prompt = prompt
    self.logits = logits
    self.next = next
  }
}

/// The request of an observer after a step.
public enum GenerationVerdict: Sendable {
  /// Go on.
  case goOn
  /// Choose no further token.
  case stop
}

/// Reads activations while text is generated: a tap that is called after tokens were read.
///
/// Observers visit a site after all edits, so that they read the value with which the model
/// continues. All activations of a step's tokens are visited before the observer is called for the
/// step; a long prompt is read in pieces.
public protocol GenerationObserver: Tap {
  /// Called after tokens were read; returns whether generation continues.
  ///
  /// Every token is read if there is an observer, including the last generated one.
  ///
  /// - Throws: a refusal that ends the generation.
  func didRead(_ step: GenerationStep) throws(Refusal) -> GenerationVerdict
}

/// An observer that reports on each token.
public protocol TokenReporter: GenerationObserver {
  /// The report on a token of the last step.
  ///
  /// - Returns: members of a JSON object, such as `{"score": 1.5}`; nil if none.
  func report(at position: Int) -> JSONObject?

  /// How strongly the token is to be marked for people, from -1 (cold) to 1 (warm); nil for plain.
  func tint(at position: Int) -> Double?
}

extension TokenReporter {
  /// No marks.
  public func tint(at position: Int) -> Double? { nil }
}
