import SextantBytes
import SextantModels

/// Lets an edit act only at tokens whose score meets a condition: the score of the token itself, if
/// the probe reads it before the edit's site is reached, otherwise the score of the token before.
final class Gate {
  /// The probe that scores; it visits every site before the edits.
  let probe: ProbeTap
  private let condition: ProbeTap.Condition

  /// A gate for a model.
  ///
  /// - Throws: the errors of `ProbeTap`.
  init(
    _ condition: ScoreCondition, model: ModelDescription, tokenizer: Digest?
  ) throws(Refusal) {
    probe = try ProbeTap(
      condition.probe, name: condition.name, model: model, tokenizer: tokenizer,
      allowsModelMismatch: condition.allowsModelMismatch)
    self.condition = condition.condition
  }

  /// The decision of the gate about a token; it is shut if no score is known.
  func reading(at position: Int) -> EditRecord.Gate {
    let known = [position, position - 1].lazy.compactMap { self.probe.scores(at: $0)?.first }
    guard let score = known.first(where: { !$0.isNaN }) else {
      return EditRecord.Gate(isOpen: false, score: nil)
    }
    return EditRecord.Gate(isOpen: condition.holds(for: score), score: score)
  }
}
