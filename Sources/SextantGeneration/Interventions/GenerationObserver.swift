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

  /// Whether these are the tokens of the prompt.
  public var isPrompt: Bool { positions == prompt }

  /// Describes a step.
  public init(tokens: [Int], positions: Range<Int>, prompt: Range<Int>, logits: Tensor) {
    self.tokens = tokens
    self.positions = positions
    self.prompt = prompt
    self.logits = logits
  }
}

/// The request of an observer after a step.
public enum GenerationVerdict: Sendable {
  /// Go on.
  case goOn
  /// Choose no further token.
  case stop
}

/// Reads along while text is generated: a tap that is told when tokens have been read.
///
/// Observers visit a site after everything that edits it, so that they see what the model computes
/// on with. All that a step's tokens show is visited before the observer is told of the step; a long
/// prompt is shown in pieces.
public protocol GenerationObserver: Tap {
  /// Called after tokens were read; returns whether generation continues.
  ///
  /// Every token is read when somebody observes, the last generated one too.
  ///
  /// - Throws: what ends the generation with a refusal.
  func didRead(_ step: GenerationStep) throws(FormatError) -> GenerationVerdict
}

/// An observer that has something to say of each token.
public protocol TokenReporter: GenerationObserver {
  /// What there is to say of a token of the step that was told last.
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
