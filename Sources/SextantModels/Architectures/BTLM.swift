import SextantBytes
import SextantStore
import SextantTensor

// BTLM-3B-8K: 7B Parameter Performance in a 3B Parameter Model (arXiv 2309.11568), section 2: GPT-2
// with a gated perceptron (SwiGLU, arXiv 2002.05202), linear biases instead of positions (ALiBi,
// arXiv 2108.12409) and the scales of the maximal update parametrisation (muP, arXiv 2203.03466).
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  heads                           W  channels of a head, D / H
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// BTLM, as published by Cerebras.
///
/// The slopes of the linear biases are weights of the checkpoint, as they are for the published code:
/// in half precision they are rounded.
package enum BTLM: Architecture {
  /// The name in stores and artifacts.
  package static let name = "btlm"

  // MARK: Configuration

  /// The sizes and scales of a BTLM.
  struct Configuration: ModelConfiguration {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var normEpsilon = 0.0
    /// The factor of the embedding's rows.
    var embeddingScale = 0.0
    /// The factor of the logits.
    var logitScale = 0.0
    /// Whether scores are divided by W, instead of its square root.
    var dividesScoresByWidth = false
    var tiesEmbeddings = false

    var headWidth: Int { width / headCount }  // W

    static let sizes = 1...(1 << 24)
    static let layers = 1...1000
    static let heads = 1...(1 << 16)

    static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("d_ff", \.innerWidth, in: sizes), .integer("n_head", \.headCount, in: heads),
        .number("norm_eps", \.normEpsilon), .number("embedding_scale", \.embeddingScale),
        .number("logit_scale", \.logitScale),
        .flag("scale_qk_dot_by_d", \.dividesScoresByWidth),
        .flag("tie_embeddings", \.tiesEmbeddings),
      ])
    }

    /// The published `config.json`; absent keys have the published code's defaults.
    static var published: ConfigurationForm<Self> {
      ConfigurationForm([
        .custom(read: checkForm, write: { _ in [] }),
        .fixed("scale_attn_weights", true), .fixed("scale_attn_by_inverse_layer_idx", false),
        .fixed("add_cross_attention", false), .integer("n_embd", \.width, in: sizes),
        .integer("n_layer", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("n_inner", \.innerWidth, in: sizes) { 4 * $0.width },
        .integer("n_head", \.headCount, in: heads),
        .number("layer_norm_epsilon", \.normEpsilon, default: 1e-5),
        .number("mup_embeddings_scale", \.embeddingScale, default: 1),
        .custom { node, c throws(Refusal) in
          let alpha = try node.optionalMember("mup_output_alpha")?.number() ?? 1
          c.logitScale = try alpha * (node.optionalMember("mup_width_scale")?.number() ?? 1)
        } write: { _ in
          []
        },
        .flag("mup_scale_qk_dot_by_d", \.dividesScoresByWidth, default: false),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: true),
      ])
    }

    /// GPT-2's forms of these are the defaults, so they must be there.
    private static func checkForm(_ node: JSONNode, _: inout Self) throws(Refusal) {
      for (key, value) in [
        ("activation_function", "swiglu"), ("position_embedding_type", "alibi"),
      ] {
        let member = try node.member(key)
        guard try ExactString(member.string()) == ExactString(value) else {
          throw member.unsupported(expected: "\"\(value)\"")
        }
      }
      // It may depend on the length of the text.
      if let scaling = try node.optionalMember("alibi_scaling") {
        throw scaling.unsupported(expected: "no scaling of the linear biases")
      }
    }

    func check(_ node: JSONNode) throws(Refusal) {
      guard width % headCount == 0, headWidth <= Kernels.widestHead else {
        throw node.refusal(
          found: "\(counted(headCount, "head")) of \(counted(width, "channel"))",
          expected: "heads of equal width, at most \(Kernels.widestHead)")
      }
      guard normEpsilon > 0, normEpsilon < 1 else {
        throw node.refusal(
          found: "a norm epsilon of \(normEpsilon)", expected: "a number between 0 and 1")
      }
      // Numbers within the range of single precision.
      for scale in [embeddingScale, logitScale] where !(1e-30...1e30).contains(abs(scale)) {
        throw node.refusal(found: "a scale of \(scale)", expected: "a number such as 14.6")
      }
    }
  }

  /// Whether a published `config.json` describes a BTLM.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["btlm"], classes: ["BTLMLMHeadModel", "BTLMModel"])
  }

  /// Members of the published code for training and for its own ways to compute.
  package static let inertKeys: Set = [
    "n_positions", "n_ctx", "embd_pdrop", "attn_pdrop", "resid_pdrop", "reorder_and_upcast_attn",
    "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels",
    "summary_first_dropout", "fp32_residual_connection",
  ]

  /// The canonical configuration of a published one.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    try Configuration.read(required(config), as: Configuration.published).json
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let c = try Configuration.canonical(configuration)
    var specs = [
      WeightSpec("embedding.weight", [c.vocabularySize, c.width], .matrix),  // [V, D]
      WeightSpec("alibi.slopes", [c.headCount]),  // [H]
    ]
    for block in 0..<c.layerCount {
      let prefix = "blocks.\(block)."
      func linear(_ name: String, _ rows: Int, _ columns: Int) {
        specs.append(WeightSpec(prefix + name + ".weight", [rows, columns], .matrix))
        specs.append(WeightSpec(prefix + name + ".bias", [rows]))
      }
      for norm in ["ln_1", "ln_2"] {
        specs.append(WeightSpec(prefix + norm + ".weight", [c.width]))  // [D]
        specs.append(WeightSpec(prefix + norm + ".bias", [c.width]))  // [D]
      }
      linear("attn.c_attn", 3 * c.width, c.width)  // [3 D, D]: queries, keys, values
      linear("attn.c_proj", c.width, c.width)  // [D, D]
      linear("mlp.c_fc", c.innerWidth, c.width)  // [F, D]
      linear("mlp.c_fc2", c.innerWidth, c.width)  // [F, D]: the gate
      linear("mlp.c_proj", c.width, c.innerWidth)  // [D, F]
    }
    specs.append(WeightSpec("final_norm.weight", [c.width]))  // [D]
    specs.append(WeightSpec("final_norm.bias", [c.width]))  // [D]
    if !c.tiesEmbeddings {
      specs.append(WeightSpec("head.weight", [c.vocabularySize, c.width], .matrix))  // [V, D]
    }
    return specs
  }

  /// The embedding and the head, which the published model ties.
  package static let tiedPair = TiedPair(
    embedding: "embedding.weight", head: "head.weight", flag: "tie_embeddings")

  // MARK: Dialects

  /// The published `config.json`.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    let c = try Configuration.canonical(configuration)
    return JSONObject([
      ("architectures", ["BTLMLMHeadModel"]), ("model_type", "btlm"),
      ("n_embd", .integer(Int64(c.width))), ("n_layer", .integer(Int64(c.layerCount))),
      ("vocab_size", .integer(Int64(c.vocabularySize))), ("n_inner", .integer(Int64(c.innerWidth))),
      ("n_head", .integer(Int64(c.headCount))), ("layer_norm_epsilon", .number(c.normEpsilon)),
      ("activation_function", "swiglu"), ("position_embedding_type", "alibi"),
      ("mup_embeddings_scale", .number(c.embeddingScale)),
      ("mup_output_alpha", .number(c.logitScale)), ("mup_width_scale", 1.0),
      ("mup_scale_qk_dot_by_d", .boolean(c.dividesScoresByWidth)),
      ("tie_word_embeddings", .boolean(c.tiesEmbeddings)),
    ])
  }

  /// The published naming. As in GPT-2, the matrices inside blocks are stored as [in, out].
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "transformer.",
      markers: ["transformer.relative_pe.slopes", "transformer.h.0.mlp.c_fc2.weight"]
    ) { canonical in
      switch canonical {
      case "embedding.weight": "transformer.wte.weight"
      case "alibi.slopes": .init("transformer.relative_pe.slopes", form: .ones([1]))
      case "final_norm.weight": "transformer.ln_f.weight"
      case "final_norm.bias": "transformer.ln_f.bias"
      case "head.weight": "lm_head.weight"
      default:
        Dialect.Source(
          "transformer.h.\(canonical.dropFirst("blocks.".count))",
          isTransposed: canonical.hasSuffix(".weight") && canonical.contains(".c_"))
      }
    }
  ]

  // MARK: Model

  /// A model that runs from an open store.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let c = try Configuration.canonical(store.configuration)
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    let state = CausalAttention.state(keyHeads: c.headCount, width: c.headWidth)
    let description = ModelDescription(
      architecture: name, width: c.width, layerCount: c.layerCount,
      vocabularySize: c.vocabularySize, identity: store.identity, variant: store.variant,
      blockParts: ["attention", "mlp"], stateLayout: Array(repeating: state, count: c.layerCount))
    return Model(c, weights, description)
  }

  /// The weights of one block.
  private struct Block: Sendable {
    let attentionNorm: Norm
    let queryKeyValue: Projection  // [3 D, D]
    let output: Projection  // [D, D]
    let mlpNorm: Norm
    let up: Projection  // [F, D]
    let gate: Projection  // [F, D]
    let down: Projection  // [D, F]

    init(_ weights: StoredWeights, _ index: Int, epsilon: Double) {
      let prefix = "blocks.\(index)."
      attentionNorm = .layer(weights, prefix + "ln_1", epsilon: epsilon)
      queryKeyValue = Projection(weights, prefix + "attn.c_attn")
      output = Projection(weights, prefix + "attn.c_proj")
      mlpNorm = .layer(weights, prefix + "ln_2", epsilon: epsilon)
      up = Projection(weights, prefix + "mlp.c_fc")
      gate = Projection(weights, prefix + "mlp.c_fc2")
      down = Projection(weights, prefix + "mlp.c_proj")
    }
  }

  private final class Model: LanguageModel {
    let description: ModelDescription
    private let attention: CausalAttention
    private let embeddingScale: Float
    private let embedding: Tensor  // [V, D]
    private let blocks: [Block]
    let readout: Readout

    init(_ c: Configuration, _ weights: StoredWeights, _ description: ModelDescription) {
      self.description = description
      let width = Float(c.headWidth)
      attention = CausalAttention(
        heads: c.headCount, keyHeads: c.headCount, width: c.headWidth,
        scale: 1 / (c.dividesScoresByWidth ? width : width.squareRoot()),
        slopes: weights.vector("alibi.slopes"))
      embeddingScale = Float(c.embeddingScale)
      embedding = weights.matrix(tiedPair.embedding)
      blocks = (0..<c.layerCount).map { Block(weights, $0, epsilon: c.normEpsilon) }
      readout = Readout(
        norm: .layer(weights, "final_norm", epsilon: c.normEpsilon),
        head: c.tiesEmbeddings ? embedding : weights.matrix(tiedPair.head),
        scale: Float(c.logitScale))
    }

    func embed(
      _ tokens: TokenBatch, at position: Int, textLength: Int
    ) -> BlockStream {
      var stream = BlockStream(tokens, at: position, embedding: embedding)
      Kernels.scale(&stream.residual, by: embeddingScale)
      return stream
    }

    func run(
      block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
    ) throws(Refusal) {
      let block = blocks[index]
      let attended = attend(block, stream.residual, &state.sequences[index])  // [B·T, D]
      try pass.add(attended, of: "attention", in: index, to: &stream)
      let transformed = perceptron(block, stream.residual)  // [B·T, D]
      try pass.add(transformed, of: "mlp", in: index, to: &stream)
    }

    private func attend(_ block: Block, _ input: Tensor, _ state: inout [PagedRows]) -> Tensor {
      let (heads, width) = (attention.heads, attention.width)
      let parts = (0..<3).map {
        HeadColumns(first: $0 * heads * width, count: heads, width: width)
      }
      let joint = block.queryKeyValue(block.attentionNorm(input))  // [B·T, 3 D]
      let mixed = attention.attend(  // [B·T, D]
        query: (joint, parts[0]), key: (joint, parts[1]), value: (joint, parts[2]), &state)
      return block.output(mixed)  // [B·T, D]
    }

    private func perceptron(_ block: Block, _ input: Tensor) -> Tensor {
      let normed = block.mlpNorm(input)  // [B·T, D]
      var inner = block.up(normed)  // [B·T, F]
      Kernels.multiply(&inner, bySiLUOf: block.gate(normed))
      return block.down(inner)  // [B·T, D]
    }
  }
}
