import SextantBytes

/// The tensors of a checkpoint that no part of a language model is made of, and those that the user does not
/// want.
struct LeftOutTensors: Sendable {
  /// What the user named: patterns for names.
  private let patterns: [NamePattern]

  /// Heads that models get for other tasks (a value head, a classifier), what Transformer Engine keeps beside
  /// its layers, and the counts of a profiler. A model that has them computes the same logits as without.
  private static let wellKnown = [
    "v_head.*", "value_head.*", "critic_head.*", "reward_head.*", "score.*", "classifier.*",
    "classification_head.*", "qa_outputs.*", "_extra_state", "*._extra_state", "total_ops",
    "*.total_ops", "total_params", "*.total_params",
  ].map { NamePattern($0) }

  /// Leaves out what fits one of these patterns.
  ///
  /// - Parameter names: those of all tensors.
  /// - Throws: `usage.option` for a pattern that fits none of them.
  init(_ patterns: [String], among names: [String]) throws(FormatError) {
    self.patterns = patterns.map { NamePattern($0) }
    for pattern in self.patterns where !names.contains(where: pattern.matches) {
      throw FormatError(
        .usageOption, at: .option("--ignore"), found: "\"\(pattern.text)\", which fits no tensor",
        expected: "a pattern for the names of tensors, such as \"v_head.*\"")
    }
  }

  /// Whether the user does not want a tensor.
  func ignores(_ name: String) -> Bool { patterns.contains { $0.matches(name) } }

  /// Whether a tensor that the model has no place for is known to be none of a language model's.
  static func isWellKnown(_ name: String) -> Bool { wellKnown.contains { $0.matches(name) } }
}
