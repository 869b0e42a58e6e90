import SextantBytes
import SextantStore
import SextantTensor

// Llama 2: Open Foundation and Fine-Tuned Chat Models (arXiv 2307.09288): blocks of [RMSNorm,
// attention, add, RMSNorm, gated perceptron, add], queries in groups that share a key, rotary
// position embedding. Mistral 7B (arXiv 2310.06825) is the same with a window.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head ("head_dim", usually D / H)
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Llama and Mistral, as published in Hugging Face transformers.
///
/// A configuration of Mistral may name a `sliding_window`; then a token attends to this number of
/// positions, including its own. The state always keeps all positions.
package enum Llama: Architecture {
  /// The name in stores and artifacts.
  package static let name = "llama"

  // MARK: Configuration

  /// The sizes of a Llama.
  struct Configuration: ModelConfiguration {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var keyHeadCount = 0  // G
    var headWidth = 0  // W
    var contextLength = 0
    var normEpsilon = 0.0
    var rotary = RotaryEmbedding()
    var activation = Activation.silu
    var window: Int?
    var hasAttentionBias = false
    var hasMLPBias = false
    var tiesEmbeddings = false

    static let sizes = 1...(1 << 24)
    static let layers = 1...1000
    static let heads = 1...(1 << 16)
    static let headWidths = 2...Kernels.widestHead
    static let lengths = 1...Int(Int32.max)
    /// transformers' default for Llamas, and the length of stores that do not record one.
    static let usualLength = 2048

    static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("d_ff", \.innerWidth, in: sizes), .integer("n_head", \.headCount, in: heads),
        .integer("n_kv_head", \.keyHeadCount, in: heads),
        .integer("head_dim", \.headWidth, in: headWidths),
        .integer("context_length", \.contextLength, in: lengths) { _ in usualLength },
        .number("norm_eps", \.normEpsilon),
        .integer("sliding_window", \.window, in: sizes),
        .flag("attention_bias", \.hasAttentionBias), .flag("mlp_bias", \.hasMLPBias),
        .flag("tie_embeddings", \.tiesEmbeddings), .rotary(\.rotary),
        .activation(\.activation, usual: .silu),
      ])
    }

    /// `config.json` of `LlamaForCausalLM` or `MistralForCausalLM`; absent keys have transformers'
    /// defaults. A model with a window is written as a Mistral.
    static func huggingFace(isMistral: Bool) -> ConfigurationForm<Self> {
      ConfigurationForm(
        [
          .written("architectures", [isMistral ? "MistralForCausalLM" : "LlamaForCausalLM"]),
          .written("model_type", isMistral ? "mistral" : "llama"),
          .integer("hidden_size", \.width, in: sizes),
          .integer("num_hidden_layers", \.layerCount, in: layers),
          .integer("vocab_size", \.vocabularySize, in: sizes),
          .integer("intermediate_size", \.innerWidth, in: sizes),
          .integer("num_attention_heads", \.headCount, in: heads),
          .custom { node, c throws(Refusal) in
            c.keyHeadCount = try keyHeads(node, isMistral: isMistral) ?? c.headCount
          } write: {
            [("num_key_value_heads", .integer(Int64($0.keyHeadCount)))]
          },
          .custom { node, c throws(Refusal) in
            let explicit = try node.optionalMember("head_dim")?.integer(supported: headWidths)
            c.headWidth = explicit ?? c.width / c.headCount
            guard explicit != nil || c.width % c.headCount == 0, headWidths.contains(c.headWidth)
            else {
              throw node.refusal(
                found: "\(counted(c.headCount, "head")) of \(counted(c.width, "channel"))",
                expected: "heads of equal width"
              )
            }
          } write: {
            [("head_dim", .integer(Int64($0.headWidth)))]
          },
          .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in
            isMistral ? 131_072 : usualLength
          },
          .publishedActivation(\.activation, usual: .silu),
          .number("rms_norm_eps", \.normEpsilon, default: 1e-6),
          .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
          .custom { node, c throws(Refusal) in
            c.rotary = try RotaryEmbedding(
              published: node, headWidth: c.headWidth, contextLength: c.contextLength,
              .init(base: "rope_theta", part: "partial_rotary_factor", usualPart: nil))
          } write: { c in
            c.rotary.publishedMembers()
          },
        ] + (isMistral ? [window] : biases))
    }

    /// Only Llama has them.
    private static var biases: [ConfigurationForm<Self>.Member] {
      [
        .flag("attention_bias", \.hasAttentionBias, default: false),
        .flag("mlp_bias", \.hasMLPBias, default: false),
      ]
    }

    /// Only Mistral has one.
    private static var window: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        c.window = try window(node)
      } write: { c in
        c.window.map { [("sliding_window", .integer(Int64($0)))] } ?? []
      }
    }

    /// The key and value heads, or nil if there are as many as query heads: for Mistral, null means
    /// this, and an absent key does not.
    private static func keyHeads(
      _ config: JSONNode, isMistral: Bool
    ) throws(Refusal) -> Int? {
      let key = "num_key_value_heads"
      if isMistral, try config.object()[key] == nil { return 8 }
      return try config.optionalMember(key)?.integer(supported: heads)
    }

    /// The window of a Mistral: null means that there is none, and differs from an absent key.
    private static func window(_ config: JSONNode) throws(Refusal) -> Int? {
      guard try config.object()["sliding_window"] != nil else { return 4096 }
      return try config.optionalMember("sliding_window")?.integer(supported: sizes)
    }

    func check(_ node: JSONNode) throws(Refusal) {
      guard headCount % keyHeadCount == 0, Self.sizes.contains(headCount * headWidth) else {
        throw node.refusal(
          found: "\(headCount) heads that share \(counted(keyHeadCount, "key"))",
          expected: "groups of equal size")
      }
      guard normEpsilon > 0, normEpsilon < 1 else {
        throw node.refusal(
          found: "a norm epsilon of \(normEpsilon)", expected: "a number between 0 and 1")
      }
      guard 2 * rotary.pairCount <= headWidth else {
        throw node.refusal(
          found: "\(2 * rotary.pairCount) rotated channels", expected: "at most \(headWidth)")
      }
    }
  }

  /// Whether a published `config.json` describes a Llama or a Mistral.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(
      config, types: ["llama", "mistral"],
      classes: mistralClasses.union(["LlamaForCausalLM", "LlamaModel"]))
  }

  private static let mistralClasses: Set = ["MistralForCausalLM", "MistralModel"]

  /// The canonical configuration of a published one.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    let config = try required(config)
    let isMistral = isNamed(config, types: ["mistral"], classes: mistralClasses)
    return try Configuration.read(config, as: Configuration.huggingFace(isMistral: isMistral)).json
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let c = try Configuration.canonical(configuration)
    let (queries, keys) = (c.headCount * c.headWidth, c.keyHeadCount * c.headWidth)
    var specs = [WeightSpec("embedding.weight", [c.vocabularySize, c.width], .matrix)]  // [V, D]
    for block in 0..<c.layerCount {
      let prefix = "blocks.\(block)."
      func linear(_ name: String, _ rows: Int, _ columns: Int, bias: Bool) {
        specs.append(WeightSpec(prefix + name + ".weight", [rows, columns], .matrix))
        if bias { specs.append(WeightSpec(prefix + name + ".bias", [rows])) }
      }
      specs.append(WeightSpec(prefix + "input_layernorm.weight", [c.width]))  // [D]
      linear("self_attn.q_proj", queries, c.width, bias: c.hasAttentionBias)  // [H W, D]
      linear("self_attn.k_proj", keys, c.width, bias: c.hasAttentionBias)  // [G W, D]
      linear("self_attn.v_proj", keys, c.width, bias: c.hasAttentionBias)  // [G W, D]
      linear("self_attn.o_proj", c.width, queries, bias: c.hasAttentionBias)  // [D, H W]
      specs.append(WeightSpec(prefix + "post_attention_layernorm.weight", [c.width]))  // [D]
      linear("mlp.gate_proj", c.innerWidth, c.width, bias: c.hasMLPBias)  // [F, D]
      linear("mlp.up_proj", c.innerWidth, c.width, bias: c.hasMLPBias)  // [F, D]
      linear("mlp.down_proj", c.width, c.innerWidth, bias: c.hasMLPBias)  // [D, F]
    }
    specs.append(WeightSpec("final_norm.weight", [c.width]))  // [D]
    if !c.tiesEmbeddings {
      specs.append(WeightSpec("head.weight", [c.vocabularySize, c.width], .matrix))  // [V, D]
    }
    return specs
  }

  /// The embedding and the head, which smaller models tie.
  package static let tiedPair = TiedPair(
    embedding: "embedding.weight", head: "head.weight", flag: "tie_embeddings")

  // MARK: Dialects

  /// The published naming, and that of GGUF files.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "model.",
      // Of models that also read images, such as LLaVA.
      wrappedBases: ["model.language_model."],
      otherParts: ["model.vision_tower.", "model.multi_modal_projector."],
      markers: ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"]
    ) { canonical in
      switch canonical {
      case "embedding.weight": "model.embed_tokens.weight"
      case "final_norm.weight": "model.norm.weight"
      case "head.weight": "lm_head.weight"
      default: "model.layers.\(canonical.dropFirst("blocks.".count))"
      }
    }, gguf,
  ]

  /// llama.cpp rotates neighbouring channels, so that its converter makes rows of the halves
  /// neighbours.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate.weight"],
    // The scaling of the rotation, which the configuration has.
    ignores: {
      ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"].contains($0)
    }
  ) { canonical in
    switch canonical {
    case "embedding.weight": return "token_embd.weight"
    case "final_norm.weight": return "output_norm.weight"
    case "head.weight": return "output.weight"
    default: break
    }
    let parts = canonical.split(separator: ".")  // blocks, index, part, …, weight or bias
    let module = parts.dropFirst(2).dropLast().joined(separator: ".")
    let name = "blk.\(parts[1]).\(ggufModules[module] ?? module).\(parts[parts.count - 1])"
    let isTurned = module == "self_attn.q_proj" || module == "self_attn.k_proj"
    return .init(name, change: isTurned ? .pairedRows(headWidth: "head_dim") : nil)
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "llama", fixed: [("model_type", "llama"), ("hidden_act", "silu")],
      rows: [
        .expected("attention.sliding_window", 0), .expected("expert_count", 0), .length,
      ] + GGUFTable.Row.sizes() + [
        .integer("attention.head_count", "num_attention_heads"),
        .number("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        .integer(
          "attention.head_count_kv", "num_key_value_heads",
          ifAbsent: .member("num_attention_heads")),
        .rotation(.init(headWidth: "head_dim")), .tied,
        .tensor("blk.0.attn_q.bias", "attention_bias"), .tensor("blk.0.ffn_up.bias", "mlp_bias"),
      ])
  ]

  /// `config.json` of `LlamaForCausalLM` or `MistralForCausalLM`.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    let c = try Configuration.canonical(configuration)
    guard c.rotary.width == c.headWidth else {
      throw inexpressible(
        "\(c.rotary.width) rotated channels", expected: "all \(c.headWidth) of a head")
    }
    guard c.window == nil || !(c.hasAttentionBias || c.hasMLPBias) else {
      throw inexpressible("a window and biases", expected: "one of the two")
    }
    return Configuration.huggingFace(isMistral: c.window != nil).json(of: c)
  }

  private static let ggufModules = [
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
  ]

  // MARK: Model

  /// A model that runs from an open store.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let c = try Configuration.canonical(store.configuration)
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    let state = CausalAttention.state(keyHeads: c.keyHeadCount, width: c.headWidth)
    let description = ModelDescription(
      architecture: name, width: c.width, layerCount: c.layerCount,
      vocabularySize: c.vocabularySize, identity: store.identity, variant: store.variant,
      blockParts: ["attention", "mlp"], stateLayout: Array(repeating: state, count: c.layerCount),
      context: ContextLimit(c.contextLength), rotationLength: c.rotary.scaling.lengthLimit)
    return Model(c, weights, description)
  }

  /// The weights of one block.
  private struct Block: Sendable {
    let attentionNorm: Norm
    let query: Projection  // [H W, D]
    let key: Projection  // [G W, D]
    let value: Projection  // [G W, D]
    let output: Projection  // [D, H W]
    let mlpNorm: Norm
    let gate: Projection  // [F, D]
    let up: Projection  // [F, D]
    let down: Projection  // [D, F]

    init(_ weights: StoredWeights, _ index: Int, epsilon: Double) {
      let prefix = "blocks.\(index)."
      attentionNorm = .rms(weights, prefix + "input_layernorm", epsilon: epsilon)
      query = Projection(weights, prefix + "self_attn.q_proj")
      key = Projection(weights, prefix + "self_attn.k_proj")
      value = Projection(weights, prefix + "self_attn.v_proj")
      output = Projection(weights, prefix + "self_attn.o_proj")
      mlpNorm = .rms(weights, prefix + "post_attention_layernorm", epsilon: epsilon)
      gate = Projection(weights, prefix + "mlp.gate_proj")
      up = Projection(weights, prefix + "mlp.up_proj")
      down = Projection(weights, prefix + "mlp.down_proj")
    }
  }

  private final class Model: LanguageModel {
    let description: ModelDescription
    private let rotary: RotaryEmbedding
    private let activation: Activation
    private let attention: CausalAttention
    private let embedding: Tensor  // [V, D]
    private let blocks: [Block]
    let readout: Readout

    init(_ c: Configuration, _ weights: StoredWeights, _ description: ModelDescription) {
      self.description = description
      rotary = c.rotary
      activation = c.activation
      attention = CausalAttention(
        heads: c.headCount, keyHeads: c.keyHeadCount, width: c.headWidth,
        scale: 1 / Float(c.headWidth).squareRoot(), window: c.window)
      embedding = weights.matrix(tiedPair.embedding)
      blocks = (0..<c.layerCount).map { Block(weights, $0, epsilon: c.normEpsilon) }
      readout = Readout(
        norm: .rms(weights, "final_norm", epsilon: c.normEpsilon),
        head: c.tiesEmbeddings ? embedding : weights.matrix(tiedPair.head))
    }

    func embed(
      _ tokens: TokenBatch, at position: Int, textLength: Int
    ) -> BlockStream {
      .init(
        tokens, at: position, embedding: embedding, rotary: rotary, textLength: textLength)
    }

    func run(
      block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
    ) throws(Refusal) {
      let block = blocks[index]
      let attended = attend(block, stream, &state.sequences[index])  // [B·T, D]
      try pass.add(attended, of: "attention", in: index, to: &stream)
      let transformed = perceptron(block, stream.residual)  // [B·T, D]
      try pass.add(transformed, of: "mlp", in: index, to: &stream)
    }

    private func attend(
      _ block: Block, _ stream: BlockStream, _ state: inout [PagedRows]
    ) -> Tensor {
      let queries = HeadColumns(count: attention.heads, width: attention.width)
      let keys = HeadColumns(count: attention.keyHeads, width: attention.width)
      let normed = block.attentionNorm(stream.residual)  // [B·T, D]
      var query = block.query(normed)  // [B·T, H W]
      var key = block.key(normed)  // [B·T, G W]
      let value = block.value(normed)  // [B·T, G W]
      stream.rotate(&query, queries)
      stream.rotate(&key, keys)
      let mixed = attention.attend(  // [B·T, H W]
        query: (query, queries), key: (key, keys), value: (value, keys), &state)
      return block.output(mixed)  // [B·T, D]
    }

    private func perceptron(_ block: Block, _ residual: Tensor) -> Tensor {
      let normed = block.mlpNorm(residual)  // [B·T, D]
      var inner = block.up(normed)  // [B·T, F]
      var gate = block.gate(normed)  // [B·T, F]
      if activation == .silu {
        Kernels.multiply(&inner, bySiLUOf: gate)
      } else {
        activation(&gate)
        Kernels.multiply(&inner, by: gate)
      }
      return block.down(inner)  // [B·T, D]
    }
  }
}
