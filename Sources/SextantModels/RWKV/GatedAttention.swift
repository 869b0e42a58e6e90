import SextantBytes
import SextantTensor

extension RWKV {
  /// The configuration of RWKV-5 and 6, without the parts of RWKV-6 alone.
  struct GatedSizes: Equatable {
    var sizes: Sizes
    var heads: Heads

    /// The members of the canonical form.
    var members: [(String, JSONValue)] { sizes.members + heads.members }

    /// Reads the canonical form.
    init(canonical node: JSONNode) throws(Refusal) {
      sizes = try Sizes(canonical: node)
      heads = try Heads(canonical: node, width: sizes.width)
    }

    /// Derives the sizes from the tensors; a configuration (of the published conversions for
    /// transformers) must agree.
    ///
    /// Code for these divides by `head_size_divisor` before it norms each head with
    /// `layer_norm_epsilon`: the same as a larger epsilon without the division.
    init(_ tensors: CanonicalShapes, _ config: JSONNode?) throws(Refusal) {
      sizes = try Sizes(tensors, config, epsilonKey: "layer_norm_epsilon")
      let divisor = try config?.optionalMember("head_size_divisor")?.integer(in: 1...4096) ?? 8
      let epsilon =
        try config?.optionalEpsilon(Heads.epsilonKey)
        ?? sizes.normEpsilon * Double(divisor * divisor)
      // RWKV-5.0 and 5.1 have one number per head.
      if tensors.contains("blocks.0.att.time_first") {
        heads = try Heads(
          tensors, vector: "blocks.0.att.time_decay", width: sizes.width, normEpsilon: epsilon)
      } else {
        heads = try Heads(
          tensors, tensor: "blocks.0.att.time_faaaa", width: sizes.width, normEpsilon: epsilon)
      }
      try config?.agree("head_size", with: heads.size)
    }
  }

  /// The members of a published configuration that `GatedSizes` reads.
  ///
  /// - Throws: `export.inexpressible` for an epsilon that no whole divisor gives.
  static func published(
    _ c: GatedSizes, name: String, type: String
  ) throws(Refusal) -> [(String, JSONValue)] {
    let ratio = c.heads.normEpsilon / c.sizes.normEpsilon
    guard
      let divisor = (1...64).first(where: {
        c.sizes.normEpsilon * Double($0 * $0) == c.heads.normEpsilon
      })
    else {
      throw Refusal(
        .exportInexpressible, found: "a norm of heads with \(ratio) times the other epsilon",
        expected: "the square of a whole number")
    }
    let width = JSONValue.integer(Int64(c.sizes.width))
    return [("architectures", [.string(name)]), ("model_type", .string(type))]
      + published(c.sizes, epsilonKey: "layer_norm_epsilon") + [
        ("attention_hidden_size", width), ("head_size", .integer(Int64(c.heads.size))),
        ("num_attention_heads", .integer(Int64(c.heads.size))),
        ("head_size_divisor", .integer(Int64(divisor))), ("rescale_every", 6),
      ]
  }

  /// The common part of RWKV-5 and 6 after inputs are mixed and decays chosen: the recurrence over
  /// a matrix per head, a norm of each head, and a gate.
  struct GatedAttention: Sendable {
    private let receptance, key, value, output: Tensor  // [D, D]
    private let gate: Tensor?  // [D, D]
    private var bonus: Tensor  // [H, N]
    private let normWeight, normBias: Tensor  // [D]
    private let heads: Heads

    /// - Parameters:
    ///   - att: the prefix of the tensors, with its dot.
    ///   - bonus: [H, N], if it is not `time_faaaa`.
    ///   - hasGate: whether the read value passes a gate.
    init(
      _ weights: StoredWeights, _ heads: Heads, att: String, bonus: Tensor? = nil,
      hasGate: Bool = true
    ) {
      receptance = weights.matrix(att + "receptance.weight")
      key = weights.matrix(att + "key.weight")
      value = weights.matrix(att + "value.weight")
      gate = hasGate ? weights.matrix(att + "gate.weight") : nil
      output = weights.matrix(att + "output.weight")
      self.bonus = bonus ?? weights.vector(att + "time_faaaa")
      normWeight = weights.vector(att + "ln_x.weight")
      normBias = weights.vector(att + "ln_x.bias")
      self.heads = heads
    }

    /// Without the bonus, by which a token reads its own value directly and not from the state.
    var readingStateOnly: GatedAttention {
      var copy = self
      copy.bonus = Tensor(zeros: bonus.shape)
      return copy
    }

    /// Values read from the state, [M, D], after the norm of heads, without bias and gate.
    func output(ofRead values: Tensor) -> Tensor {
      let normed = Kernels.groupNorm(  // [M, D]
        values, heads: heads.count, weight: normWeight, bias: Tensor(zeros: normBias.shape),
        epsilon: Float(heads.normEpsilon))
      return Linear.apply(normed, weight: output)  // [M, D]
    }

    /// The tensors, under the same prefix.
    static func specs(_ sizes: Sizes, _ heads: Heads, att: String) -> [WeightSpec] {
      let d = sizes.width
      return ["receptance", "key", "value", "gate", "output"].map {
        WeightSpec("\(att)\($0).weight", [d, d], .matrix)  // [D, D]
      } + [
        WeightSpec(att + "time_faaaa", [heads.count, heads.size]),  // [H, N]
        WeightSpec(att + "ln_x.weight", [d]), WeightSpec(att + "ln_x.bias", [d]),  // [D]
      ]
    }

    /// The recurrent state: the stored values by key.
    static func state(_ heads: Heads) -> StateComponent {
      StateComponent(
        name: "wkv", shape: [heads.count, heads.size, heads.size], axes: ["head", "key", "value"])
    }

    /// - Parameters:
    ///   - mixed: the inputs [B·T, D] of r, k, v and the gate.
    ///   - decay: [B·T, D], or [D] for every step.
    ///   - state: [B, H, N, N].
    /// - Returns: [B·T, D].
    func callAsFunction(
      _ mixed: (r: Tensor, k: Tensor, v: Tensor, g: Tensor?), decay: Tensor, state: inout Tensor
    ) -> Tensor {
      let r = Linear.apply(mixed.r, weight: receptance)  // [B·T, D]
      let k = Linear.apply(mixed.k, weight: key)  // [B·T, D]
      let v = Linear.apply(mixed.v, weight: value)  // [B·T, D]
      let read = Kernels.wkv6(r: r, k: k, v: v, decay: decay, bonus: bonus, state: &state)
      var normed = Kernels.groupNorm(  // [B·T, D]
        read, heads: heads.count, weight: normWeight, bias: normBias,
        epsilon: Float(heads.normEpsilon))
      if let gate, let g = mixed.g {
        Kernels.multiply(&normed, bySiLUOf: Linear.apply(g, weight: gate))
      }
      return Linear.apply(normed, weight: output)  // [B·T, D]
    }
  }
}
