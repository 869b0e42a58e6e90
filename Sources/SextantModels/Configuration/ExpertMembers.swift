import SextantBytes

// The members of a configuration that describe experts.

/// What a block does with each token by itself, in models in which only some blocks have experts.
enum FeedForward: String, LayerKind {
  case mlp, experts
}

extension [FeedForward] {
  /// Whether a block has experts. Without a list, none has.
  func hasExperts(in block: Int) -> Bool { !isEmpty && self[block] == .experts }
}

extension Experts.Form {
  static let countKey = "n_expert"
  static let chosenKey = "n_expert_used"

  static let counts = 1...4096

  /// Refuses numbers that do not fit together.
  ///
  /// - Parameters:
  ///   - node: their place, for the refusal.
  ///   - scores: those of the architecture.
  /// - Throws: the node's code.
  func check(_ node: JSONNode, scores: Experts.Scores) throws(Refusal) {
    guard scores == .sigmoid || !hasChoiceBias else {
      throw node.refusal(
        found: "a bias for the choice of experts",
        expected: "none: the router of this architecture has softmax without a bias")
    }
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
    guard (1e-30...1e30).contains(abs(scale)) else {
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
      .integer("d_expert", path.appending(path: \.innerWidth), in: Limits.sizes),
      .integer("d_shared_expert", path.appending(path: \.sharedWidth), in: Limits.sizes),
      .integer("d_expert_latent", path.appending(path: \.latentWidth), in: Limits.sizes),
      .integer("n_expert_group", path.appending(path: \.groups), in: Form.counts),
      .integer("n_expert_group_used", path.appending(path: \.chosenGroups), in: Form.counts),
      .flag("expert_bias", path.appending(path: \.hasChoiceBias)),
      .flag("expert_weights_norm", path.appending(path: \.normalises)),
      .number("expert_weights_scale", path.appending(path: \.scale)),
    ])
  }
}

extension ConfigurationForm.Member {
  /// The blocks that have experts, and these, in the canonical form of models in which all blocks have
  /// a mixer of tokens before them. A model without experts has none of the members.
  static func experts(
    _ path: WritableKeyPath<C, Experts.Form>, in blocks: WritableKeyPath<C, [FeedForward]>,
    counts: ClosedRange<Int>
  ) -> Self {
    let (key, layers) = ("feed_forward", Self.layers(blocks, in: counts, key: "feed_forward"))
    let experts = Self.experts(path)
    return Self { node, configuration throws(Refusal) in
      guard try node.optionalMember(key) != nil else { return }
      try layers.read(node, &configuration)
      try experts.read(node, &configuration)
    } write: {
      $0[keyPath: blocks].contains(.experts) ? layers.write($0) + experts.write($0) : []
    }
  }
}

extension JSONNode {
  /// Refuses experts that do not fit together, and a list of another length than the model has blocks.
  ///
  /// - Parameters:
  ///   - blocks: empty if no block has experts.
  ///   - scores: those of the architecture.
  /// - Throws: the node's code.
  func check(
    _ experts: Experts.Form, in blocks: [FeedForward], of count: Int,
    scores: Experts.Scores = .softmax
  ) throws(Refusal) {
    guard !blocks.isEmpty else { return }
    guard blocks.count == count else {
      throw refusal(
        found: "experts or perceptrons in \(counted(blocks.count, "block"))", expected: "\(count)")
    }
    if blocks.contains(.experts) { try experts.check(self, scores: scores) }
  }
}

extension Experts {
  /// llama.cpp's names of the tensors in a block, by those of this mixer.
  static let ggufNames = [
    "router.weight": "ffn_gate_inp.weight", "router.bias": "exp_probs_b.bias",
    "experts.gate_proj.weight": "ffn_gate_exps.weight",
    "experts.up_proj.weight": "ffn_up_exps.weight",
    "experts.down_proj.weight": "ffn_down_exps.weight",
    "shared.gate_proj.weight": "ffn_gate_shexp.weight",
    "shared.up_proj.weight": "ffn_up_shexp.weight",
    "shared.down_proj.weight": "ffn_down_shexp.weight",
    "shared_gate.weight": "ffn_gate_inp_shexp.weight",
    "latent_in.weight": "ffn_latent_down.weight", "latent_out.weight": "ffn_latent_up.weight",
  ]
}

extension Dialect.BlockTensor {
  /// The name behind that of a module with experts, such as `router.weight`; nil for other tensors.
  func expertName(in module: String) -> String? {
    guard name.hasPrefix(module + ".") else { return nil }
    let own = String(name.dropFirst(module.count + 1))
    return Experts.ggufNames[own] == nil ? nil : own
  }

  /// llama.cpp's name of a tensor of experts; nil for other tensors.
  func ggufExpert(in module: String) -> String? {
    expertName(in: module).flatMap { Experts.ggufNames[$0] }.map { "blk.\(block).\($0)" }
  }
}
