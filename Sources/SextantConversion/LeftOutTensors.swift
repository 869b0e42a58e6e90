import SextantBytes

/// The tensors of a checkpoint that no part of a language model is made of, and those that the user does not
/// want.
struct LeftOutTensors: Sendable {
  /// The names of the weights that the user does not want.
  private let names: Set<ExactString>
  /// The names of the checkpoint's tensors that the user does not want.
  private let originals: Set<ExactString>

  /// Heads that models get for other tasks (a value head, a classifier), what Transformer Engine keeps beside
  /// its layers, and the counts of a profiler. A model that has them computes the same logits as without.
  private static let wellKnown = [
    "v_head.*", "value_head.*", "critic_head.*", "reward_head.*", "score.*", "classifier.*",
    "classification_head.*", "qa_outputs.*", "_extra_state", "*._extra_state", "total_ops",
    "*.total_ops", "total_params", "*.total_params",
  ].map { NamePattern($0) }

  /// Leaves out what fits one of these patterns, by the name that it has in the checkpoint, or by the one that
  /// is left of it.
  ///
  /// - Parameters:
  ///   - weights: the names of the weights, and those that the checkpoint has for them.
  ///   - tensors: the names of all tensors of the checkpoint.
  /// - Throws: `usage.option` for a pattern that fits none of them.
  init(
    _ patterns: [String], weights: [(name: String, original: String)], tensors: [String]
  ) throws(FormatError) {
    var (names, originals): (Set<ExactString>, Set<ExactString>) = ([], [])
    for pattern in patterns.map({ NamePattern($0) }) {
      let own = weights.filter { pattern.matches($0.name) || pattern.matches($0.original) }
      let others = tensors.filter(pattern.matches)
      guard !own.isEmpty || !others.isEmpty else {
        throw FormatError(
          .usageOption, at: .parameter("ignoring"),
          found: "\"\(pattern.text)\", which fits no tensor",
          expected: "a pattern for the names of tensors, such as \"v_head.*\"")
      }
      names.formUnion(own.map { ExactString($0.name) })
      originals.formUnion((own.map(\.original) + others).map { ExactString($0) })
    }
    (self.names, self.originals) = (names, originals)
  }

  /// Whether the user does not want a weight, by the name that is left of it.
  func ignores(_ name: String) -> Bool { names.contains(ExactString(name)) }

  /// Whether the user does not want a tensor of the checkpoint, by the name that it has there.
  func ignores(original name: String) -> Bool { originals.contains(ExactString(name)) }

  /// Whether a tensor that the model has no place for is known to be none of a language model's.
  static func isWellKnown(_ name: String) -> Bool { wellKnown.contains { $0.matches(name) } }
}
