import SextantBytes
import SextantStore
import SextantTensor

// GPT-NeoX-20B: An Open-Source Autoregressive Language Model (arXiv 2204.06745), section 2.1, and
// Pythia (arXiv 2304.01373): blocks whose attention and perceptron both read the block's input,
// layer norms, rotary position embedding of a part of each head.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron, usually 4 D
//   H  heads                           W  channels of a head, D / H
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// GPT-NeoX and Pythia, as published in Hugging Face transformers.
///
/// With the parallel residual, the usual one, attention and perceptron read the same stream.
/// Without it, the perceptron reads the stream after the attention's addition.
package enum GPTNeoX: Architecture {
  /// The name in stores and artifacts.
  package static let name = "gpt-neox"

  // MARK: Configuration

  /// The sizes of a GPT-NeoX.
  struct Configuration: ModelConfiguration {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var contextLength = 0
    var normEpsilon = 0.0
    var rotary = RotaryEmbedding()
    var activation = Activation.gelu
    var isParallel = false
    var hasAttentionBias = false
    var tiesEmbeddings = false

    var headWidth: Int { width / headCount }  // W

    static let sizes = 1...(1 << 24)
    static let layers = 1...1000
    static let heads = 1...(1 << 16)
    static let lengths = 1...Int(Int32.max)
    /// transformers' default, and the length of stores that do not record one.
    static let usualLength = 2048

    static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("d_ff", \.innerWidth, in: sizes), .integer("n_head", \.headCount, in: heads),
        .integer("context_length", \.contextLength, in: lengths) { _ in usualLength },
        .number("norm_eps", \.normEpsilon),
        .activation(\.activation),
        .flag("parallel_residual", \.isParallel), .flag("attention_bias", \.hasAttentionBias),
        .flag("tie_embeddings", \.tiesEmbeddings), .rotary(\.rotary),
      ])
    }

    /// `config.json` of `GPTNeoXForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["GPTNeoXForCausalLM"]), .written("model_type", "gpt_neox"),
        .integer("hidden_size", \.width, in: sizes),
        .integer("num_hidden_layers", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("intermediate_size", \.innerWidth, in: sizes),
        .integer("num_attention_heads", \.headCount, in: heads),
        .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in usualLength },
        .number("layer_norm_eps", \.normEpsilon, default: 1e-5),
        .publishedActivation(\.activation, usual: .gelu),
        .flag("use_parallel_residual", \.isParallel, default: true),
        .flag("attention_bias", \.hasAttentionBias, default: true),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
        .custom { node, c throws(Refusal) in
          c.rotary = try RotaryEmbedding(
            published: node, headWidth: c.headWidth, contextLength: c.contextLength,
            .init(base: "rotary_emb_base", part: "rotary_pct", usualPart: 0.25))
        } write: { c in
          [
            ("rotary_pct", .number(c.rotary.part(ofHead: c.headWidth))),
            ("rotary_emb_base", .number(c.rotary.base)),
          ] + c.rotary.publishedMembers(headWidth: c.headWidth)
        },
      ])
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
      guard 2 * rotary.pairCount <= headWidth else {
        throw node.refusal(
          found: "\(2 * rotary.pairCount) rotated channels", expected: "at most \(headWidth)")
      }
    }
  }

  /// Whether a published `config.json` describes a GPT-NeoX.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["gpt_neox"], classes: ["GPTNeoXForCausalLM", "GPTNeoXModel"])
  }

  /// The canonical configuration of a published one.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    try Configuration.read(required(config), as: Configuration.huggingFace).json
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let c = try Configuration.canonical(configuration)
    var specs = [WeightSpec("embedding.weight", [c.vocabularySize, c.width], .matrix)]  // [V, D]
    for block in 0..<c.layerCount {
      let prefix = "blocks.\(block)."
      func linear(_ name: String, _ rows: Int, _ columns: Int, bias: Bool = true) {
        specs.append(WeightSpec(prefix + name + ".weight", [rows, columns], .matrix))
        if bias { specs.append(WeightSpec(prefix + name + ".bias", [rows])) }
      }
      for norm in ["input_layernorm", "post_attention_layernorm"] {
        specs.append(WeightSpec(prefix + norm + ".weight", [c.width]))  // [D]
        specs.append(WeightSpec(prefix + norm + ".bias", [c.width]))  // [D]
      }
      // [3 D, D]: the query, key and value of one head after those of the other.
      linear("attention.query_key_value", 3 * c.width, c.width, bias: c.hasAttentionBias)
      linear("attention.dense", c.width, c.width, bias: c.hasAttentionBias)  // [D, D]
      linear("mlp.dense_h_to_4h", c.innerWidth, c.width)  // [F, D]
      linear("mlp.dense_4h_to_h", c.width, c.innerWidth)  // [D, F]
    }
    specs.append(WeightSpec("final_norm.weight", [c.width]))  // [D]
    specs.append(WeightSpec("final_norm.bias", [c.width]))  // [D]
    if !c.tiesEmbeddings {
      specs.append(WeightSpec("head.weight", [c.vocabularySize, c.width], .matrix))  // [V, D]
    }
    return specs
  }

  /// The embedding and the head, which published models keep apart.
  package static let tiedPair = TiedPair(
    embedding: "embedding.weight", head: "head.weight", flag: "tie_embeddings")

  // MARK: Dialects

  /// `config.json` of `GPTNeoXForCausalLM`.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    try Configuration.huggingFace.json(of: Configuration.canonical(configuration))
  }

  /// The published naming, and that of GGUF files.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "gpt_neox.",
      markers: [
        "gpt_neox.embed_in.weight", "gpt_neox.layers.0.attention.query_key_value.weight",
      ],
      // Files of transformers 5 may have this name.
      synonyms: ["embed_out.weight": "lm_head.weight"]
    ) { canonical in
      switch canonical {
      case "embedding.weight": "gpt_neox.embed_in.weight"
      case "final_norm.weight": "gpt_neox.final_layer_norm.weight"
      case "final_norm.bias": "gpt_neox.final_layer_norm.bias"
      case "head.weight": "embed_out.weight"
      default: "gpt_neox.layers.\(canonical.dropFirst("blocks.".count))"
      }
    }, gguf,
  ]

  /// llama.cpp expects all queries, then all keys, then all values.
  private static let gguf = Dialect(
    name: "gguf",
    markers: ["token_embd.weight", "blk.0.attn_qkv.weight", "blk.0.attn_norm.bias"]
  ) { canonical in
    switch canonical {
    case "embedding.weight": return "token_embd.weight"
    case "final_norm.weight": return "output_norm.weight"
    case "final_norm.bias": return "output_norm.bias"
    case "head.weight": return "output.weight"
    default: break
    }
    let parts = canonical.split(separator: ".")  // blocks, index, part, …, weight or bias
    let module = parts.dropFirst(2).dropLast().joined(separator: ".")
    let name = "blk.\(parts[1]).\(ggufModules[module] ?? module).\(parts[parts.count - 1])"
    let isGrouped = module == "attention.query_key_value"
    return .init(name, change: isGrouped ? .groupedRows(kinds: 3, headCount: "n_head") : nil)
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "gptneox",
      fixed: [
        ("model_type", "gpt_neox"), ("hidden_act", "gelu"), ("attention_bias", true),
        ("tie_word_embeddings", false),
      ],
      rows: [.length] + GGUFTable.Row.sizes() + [
        .integer("attention.head_count", "num_attention_heads"),
        .number("attention.layer_norm_epsilon", "layer_norm_eps"),
        .flag("use_parallel_residual", "use_parallel_residual"),
        .rotation(.init(part: "rotary_pct", base: "rotary_emb_base")),
      ])
  ]

  private static let ggufModules = [
    "input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
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
      blockParts: ["attention", "mlp"], stateLayout: Array(repeating: state, count: c.layerCount),
      context: ContextLimit(c.contextLength), rotationLength: c.rotary.scaling.lengthLimit)
    return Model(c, weights, description)
  }

  /// The weights of one block.
  private struct Block: Sendable {
    let attentionNorm: Norm
    let queryKeyValue: Projection  // [3 D, D]
    let output: Projection  // [D, D]
    let mlpNorm: Norm
    let up: Projection  // [F, D]
    let down: Projection  // [D, F]

    init(_ weights: StoredWeights, _ index: Int, epsilon: Double) {
      let prefix = "blocks.\(index)."
      attentionNorm = .layer(weights, prefix + "input_layernorm", epsilon: epsilon)
      queryKeyValue = Projection(weights, prefix + "attention.query_key_value")
      output = Projection(weights, prefix + "attention.dense")
      mlpNorm = .layer(weights, prefix + "post_attention_layernorm", epsilon: epsilon)
      up = Projection(weights, prefix + "mlp.dense_h_to_4h")
      down = Projection(weights, prefix + "mlp.dense_4h_to_h")
    }
  }

  private final class Model: LanguageModel {
    let description: ModelDescription
    private let configuration: Configuration
    private let attention: CausalAttention
    private let embedding: Tensor  // [V, D]
    private let blocks: [Block]
    let readout: Readout

    init(_ c: Configuration, _ weights: StoredWeights, _ description: ModelDescription) {
      self.description = description
      configuration = c
      attention = CausalAttention(
        heads: c.headCount, keyHeads: c.headCount, width: c.headWidth,
        scale: 1 / Float(c.headWidth).squareRoot())
      embedding = weights.matrix(tiedPair.embedding)
      blocks = (0..<c.layerCount).map { Block(weights, $0, epsilon: c.normEpsilon) }
      readout = Readout(
        norm: .layer(weights, "final_norm", epsilon: c.normEpsilon),
        head: c.tiesEmbeddings ? embedding : weights.matrix(tiedPair.head))
    }

    func embed(
      _ tokens: TokenBatch, at position: Int, textLength: Int
    ) -> BlockStream {
      .init(
        tokens, at: position, embedding: embedding, rotary: configuration.rotary,
        textLength: textLength)
    }

    func run(
      block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
    ) throws(Refusal) {
      let (block, input) = (blocks[index], stream.residual)  // [B·T, D]
      let attended = attend(block, stream, &state.sequences[index])  // [B·T, D]
      try pass.add(attended, of: "attention", in: index, to: &stream)
      let transformed = perceptron(  // [B·T, D]
        block, configuration.isParallel ? input : stream.residual)
      try pass.add(transformed, of: "mlp", in: index, to: &stream)
    }

    private func attend(
      _ block: Block, _ stream: BlockStream, _ state: inout [PagedRows]
    ) -> Tensor {
      let (heads, width) = (attention.heads, attention.width)
      let parts = (0..<3).map {
        HeadColumns(first: $0 * width, count: heads, width: width, stride: 3 * width)
      }
      var joint = block.queryKeyValue(block.attentionNorm(stream.residual))  // [B·T, 3 D]
      stream.rotate(&joint, parts[0])
      stream.rotate(&joint, parts[1])
      let mixed = attention.attend(  // [B·T, D]
        query: (joint, parts[0]), key: (joint, parts[1]), value: (joint, parts[2]), &state)
      return block.output(mixed)  // [B·T, D]
    }

    private func perceptron(_ block: Block, _ input: Tensor) -> Tensor {
      var inner = block.up(block.mlpNorm(input))  // [B·T, F]
      configuration.activation(&inner)
      return block.down(inner)  // [B·T, D]
    }
  }
}
