import SextantBytes

// The members of a configuration that describe experts.

/// What a block does with each token by itself, in models in which only some blocks have experts.
enum FeedForward: String, LayerKind {
  case mlp, experts
}

extension Experts.Form {
  static let countKey = "n_expert"
  static let chosenKey = "n_expert_used"

  static let counts = 1...4096
  static let sizes = 1...(1 << 24)

  /// Refuses numbers that do not fit together.
  ///
  /// - Parameter node: their place, for the refusal.
  /// - Throws: the node's code.
  func check(_ node: JSONNode) throws(Refusal) {
    guard count % groups == 0, chosenGroups <= groups else {
      throw node.refusal(
        found: "\(chosenGroups) of \(counted(groups, "group")) of \(counted(count, "expert"))",
        expected: "groups of equal size")
    }
    let most = chosenGroups * (count / groups)
    guard chosen <= most else {
      throw node.refusal(
        found: "\(counted(chosen, "chosen expert"))", expected: "at most \(most), all that compete")
    }
    guard scale.isFinite, scale != 0 else {
      throw node.refusal(found: "a scale of \(scale)", expected: "a number other than 0")
    }
  }
}

extension ConfigurationForm.Member {
  /// Experts in the canonical form, which is the same for all architectures.
  static func experts(_ path: WritableKeyPath<C, Experts.Form>) -> Self {
    typealias Form = Experts.Form
    return .group([
      .integer(Form.countKey, path.appending(path: \.count), in: Form.counts),
      .integer(Form.chosenKey, path.appending(path: \.chosen), in: Form.counts),
      .integer("d_expert", path.appending(path: \.innerWidth), in: Form.sizes),
      .integer("d_shared_expert", path.appending(path: \.sharedWidth), in: Form.sizes),
      .integer("d_expert_latent", path.appending(path: \.latentWidth), in: Form.sizes),
      .integer("n_expert_group", path.appending(path: \.groups), in: Form.counts),
      .integer("n_expert_group_used", path.appending(path: \.chosenGroups), in: Form.counts),
      .flag("expert_bias", path.appending(path: \.hasChoiceBias)),
      .flag("expert_weights_norm", path.appending(path: \.normalises)),
      .number("expert_weights_scale", path.appending(path: \.scale)),
    ])
  }
}
