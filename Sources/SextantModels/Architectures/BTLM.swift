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
  package struct Configuration: FormedConfiguration, NetworkSizes {
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

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layerCounts),
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
        .integer("n_layer", \.layerCount, in: layerCounts),
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

    package func check(_ node: JSONNode) throws(Refusal) {
      guard width % headCount == 0, headWidth <= Kernels.widestHead else {
        throw node.refusal(
          found: "\(counted(headCount, "head")) of \(counted(width, "channel"))",
          expected: "heads of equal width, at most \(Kernels.widestHead)")
      }
      try node.checkNormEpsilon(normEpsilon)
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

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    try Configuration.read(required(config), as: Configuration.published)
  }

  // MARK: Dialects

  /// The published `config.json`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
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
      markers: ["transformer.relative_pe.slopes", "transformer.h.0.mlp.c_fc2.weight"],
      source: Dialect.sources(
        .init(
          embedding: "transformer.wte.weight", finalNorm: "transformer.ln_f.weight",
          head: "lm_head.weight",
          others: ["alibi.slopes": .init("transformer.relative_pe.slopes", form: .ones([1]))])
      ) { tensor in
        Dialect.Source(
          "transformer.h.\(tensor.block).\(tensor.name)",
          isTransposed: tensor.last == "weight" && tensor.name.contains(".c_"))
      })
  ]

  // MARK: Model

  /// Blocks of [norm, attention, add, norm, gated perceptron, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    let embedding = weights.embedding(c.vocabularySize, c.width)
    let slopes = weights.vector("alibi.slopes", [c.headCount])  // [H]
    let form = Attention.Form(
      width: c.width, heads: c.headCount, keyHeads: c.headCount, headWidth: c.headWidth,
      scale: c.dividesScoresByWidth ? 1 / Float(c.headWidth) : nil, hasBias: true)
    let blocks = (0..<c.layerCount).map { index in
      let weights = weights.under("blocks.\(index)")
      let (attentionNorm, mlpNorm) = (
        weights.layerNorm("ln_1", c.width, epsilon: c.normEpsilon),
        weights.layerNorm("ln_2", c.width, epsilon: c.normEpsilon)
      )
      return Block(
        Part(
          name: "attention", norm: attentionNorm,
          mixer: Attention(
            form, weights.under("attn"), names: ("c_attn", "c_proj"), order: .byKind,
            slopes: slopes)),
        Part(
          name: "mlp", norm: mlpNorm,
          mixer: Perceptron(
            weights.under("mlp"), names: (up: "c_fc", gate: "c_fc2", down: "c_proj"),
            width: c.width, innerWidth: c.innerWidth, .silu, hasBias: true)))
    }
    let finalNorm = weights.layerNorm("final_norm", c.width, epsilon: c.normEpsilon)
    return Network(
      embedding: embedding, embeddingScale: Float(c.embeddingScale), blocks: blocks,
      readout: Readout(
        norm: finalNorm, c, weights, embedding: embedding, scale: Float(c.logitScale)))
  }
}
