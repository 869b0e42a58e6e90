import SextantBytes

/// The tensors of a checkpoint that are not part of a language model, and those that the user
/// excludes.
struct LeftOutTensors: Sendable {
  /// The names of the weights that the user excludes.
  private let names: Set<ExactString>
  /// The names of the checkpoint's tensors that the user excludes.
  private let originals: Set<ExactString>

  /// Heads for other tasks (a value head, a classifier), the extra state of Transformer Engine's
  /// layers, and the counts of a profiler. They do not change the logits of a model.
  private static let wellKnown = [
    "v_head.*", "value_head.*", "critic_head.*", "reward_head.*", "score.*", "classifier.*",
    "classification_head.*", "qa_outputs.*", "_extra_state", "*._extra_state", "total_ops",
    "*.total_ops", "total_params", "*.total_params",
  ].map { NamePattern($0) }

  /// Leaves out the tensors that match one of these patterns, by their name in the checkpoint, or
  /// by its remainder without prefixes.
  ///
  /// - Parameters:
  ///   - weights: the names of the weights, and those that the checkpoint has for them.
  ///   - tensors: the names of all tensors of the checkpoint.
  /// - Throws: `usage.option` for a pattern that fits none of them.
  init(
    _ patterns: [String], weights: [(name: String, original: String)], tensors: [String]
  ) throws(Refusal) {
    var (names, originals): (Set<ExactString>, Set<ExactString>) = ([], [])
    for pattern in patterns.map({ NamePattern($0) }) {
      let own = weights.filter { pattern.matches($0.name) || pattern.matches($0.original) }
      let others = tensors.filter(pattern.matches)
      guard !own.isEmpty || !others.isEmpty else {
        throw Refusal(
          .usageOption, at: .parameter("ignoring"),
          found: "\"\(pattern.text)\", which fits no tensor",
          expected: "a pattern for the names of tensors, such as \"v_head.*\"")
      }
      names.formUnion(own.map { ExactString($0.name) })
      originals.formUnion((own.map(\.original) + others).map { ExactString($0) })
    }
    (self.names, self.originals) = (names, originals)
  }

  /// Whether the user excludes a weight, by its name without prefixes.
  func ignores(_ name: String) -> Bool { names.contains(ExactString(name)) }

  /// Whether the user excludes a tensor of the checkpoint, by its name in the checkpoint.
  func ignores(original name: String) -> Bool { originals.contains(ExactString(name)) }

  /// Whether a tensor that the model has no place for is known to be none of a language model's.
  static func isWellKnown(_ name: String) -> Bool { wellKnown.contains { $0.matches(name) } }
}
