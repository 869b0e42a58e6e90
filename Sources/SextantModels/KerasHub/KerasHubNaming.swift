import SextantBytes

/// How keras-hub names the tensors of a decoder, and in which order of axes it stores them.
///
/// Files of Keras 3 have a path of attributes and a number: `_self_attention_layer._query_dense.vars.0`. Files
/// in the layout of Keras 2 have a path of names: `self_attention.query.kernel`.
struct KerasHubNaming: Sendable {
  /// A layer of Keras with a weight, and perhaps a bias.
  struct Layer: Sendable {
    /// Its attribute, and those of the layers around it.
    let attribute: String
    /// Its name, and those of the layers around it.
    let name: String
    /// What it computes.
    let kind: Kind

    init(_ attribute: String, _ name: String, _ kind: Kind = .dense) {
      self.attribute = attribute
      self.name = name
      self.kind = kind
    }
  }

  /// The form of a layer's weight.
  enum Kind: Sendable {
    /// A matrix [in, out].
    case dense
    /// A matrix to heads, [in, heads, rows of a head]. The number of heads is that of the key.
    case toHeads(String)
    /// A matrix from heads, [heads, columns of a head, out].
    case fromHeads(String)
    /// A matrix for each head, [heads, in, rows of a head].
    case eachHead(String)
    /// The scale of an RMS norm.
    case norm
    /// The scale and the shift of a layer norm.
    case layerNorm

    fileprivate var variableNames: (weight: String, bias: String) {
      switch self {
      case .dense, .toHeads, .fromHeads, .eachHead: ("kernel", "bias")
      case .norm: ("scale", "")
      case .layerNorm: ("gamma", "beta")
      }
    }
  }

  /// The layer of a block: its class in the spelling of groups, and its name without the number.
  let block: (attribute: String, name: String)
  /// The final norm.
  let finalNorm: Layer
  /// The layers of a block, by the canonical names of their modules.
  let modules: [String: Layer]
  /// Tensors that a layer of a block has in addition or instead, by their canonical names in the block.
  var others: @Sendable (_ tensor: Dialect.BlockTensor, _ isNamed: Bool) -> Dialect.Source? = {
    _, _ in nil
  }

  private static let embedding = (
    attribute: "layers.reversible_embedding.vars.", name: "token_embedding."
  )

  /// The head of models whose embedding is not used in reverse as well.
  static let head = "layers.reversible_embedding.vars.1"

  /// The naming of files of Keras 3, or of those in the layout of Keras 2.
  ///
  /// - Parameters:
  ///   - marker: the canonical name of a tensor whose name shows the class, beside the embedding.
  ///   - otherParts: the layers of a model's other parts, such as that for images.
  func dialect(
    _ name: String, isNamed: Bool = false, marker: String, otherParts: [String] = []
  ) -> Dialect {
    let source = source(isNamed: isNamed)
    return Dialect(
      name: name, otherParts: isNamed ? [] : otherParts.map { "layers.\($0)." },
      markers: [source("embedding.weight").name, source(marker).name],
      countsVariables: !isNamed, ignores: Self.isRandomState, source: source)
  }

  /// Whether a variable is the state of a dropout's random numbers, which Keras stores with the weights.
  @Sendable static func isRandomState(_ name: String) -> Bool {
    name.contains(".seed_generator.") || name.hasPrefix("seed_generator.")
  }

  private func source(isNamed: Bool) -> @Sendable (_ canonicalName: String) -> Dialect.Source {
    let embedding = isNamed ? Self.embedding.name : Self.embedding.attribute
    return { canonical in
      switch canonical {
      case "embedding.weight": return .init(embedding + (isNamed ? "embeddings" : "0"))
      case "head.weight":
        return .init(embedding + (isNamed ? "reverse_embeddings" : "1"), isTransposed: true)
      case "final_norm.weight", "final_norm.bias":
        let path = isNamed ? finalNorm.name : "layers.\(finalNorm.attribute)"
        return source(of: finalNorm, at: path, isBias: canonical.hasSuffix("bias"), isNamed)
      default: break
      }
      let tensor = Dialect.BlockTensor(canonical)
      if let source = others(tensor, isNamed) { return source }
      // A tensor without a place gets a name that no file has, and is then missed by name.
      guard let layer = modules[tensor.module] else { return "\(canonical)" }
      return source(
        of: layer, at: path(isNamed ? layer.name : layer.attribute, of: tensor, isNamed),
        isBias: tensor.last == "bias", isNamed)
    }
  }

  /// The path of a layer of a block.
  func path(_ layer: String, of tensor: Dialect.BlockTensor, _ isNamed: Bool) -> String {
    if isNamed { return "\(block.name)_\(tensor.block).\(layer)" }
    let number = tensor.block == "0" ? "" : "_\(tensor.block)"
    return "layers.\(block.attribute)\(number).\(layer)"
  }

  private func source(
    of layer: Layer, at path: String, isBias: Bool, _ isNamed: Bool
  ) -> Dialect.Source {
    let names = layer.kind.variableNames
    let name =
      isNamed ? "\(path).\(isBias ? names.bias : names.weight)" : "\(path).vars.\(isBias ? 1 : 0)"
    switch layer.kind {
    case .norm, .layerNorm: return .init(name)
    case .dense: return .init(name, isTransposed: !isBias)
    case .fromHeads(let heads):
      return .init(name, isTransposed: !isBias, form: isBias ? .plain : .split(axis: 0, by: heads))
    case .toHeads(let heads):
      return .init(
        name, isTransposed: !isBias, form: isBias ? .rows(heads) : .split(axis: 1, by: heads))
    case .eachHead(let heads):
      return .init(name, isTransposed: !isBias, form: isBias ? .rows(heads) : .heads(heads))
    }
  }
}

extension Dialect {
  /// How the names of all dialects of keras-hub begin. The one of that name is that of numbered variables.
  package static let kerasHub = "keras-hub"
  /// The name of a dialect of keras-hub whose variables have names.
  static let namedKerasHub = "keras-hub-named"

  /// Whether the naming is one of keras-hub with numbered variables, which its presets have.
  package var isOfKerasHubPresets: Bool { name.hasPrefix(Self.kerasHub) && countsVariables }
}

extension KerasHubNaming {
  /// The layers of the decoders that keras-hub derived from its Llama: attention under
  /// `_self_attention_layer`, and a perceptron with a gate.
  static let decoderModules: [String: Layer] = [
    "input_layernorm": Layer("_self_attention_layernorm", "self_attention_layernorm", .norm),
    "post_attention_layernorm": Layer("_feedforward_layernorm", "feedforward_layernorm", .norm),
    "self_attn.q_proj": Layer(
      "_self_attention_layer._query_dense", "self_attention.query", .toHeads("n_head")),
    "self_attn.k_proj": Layer(
      "_self_attention_layer._key_dense", "self_attention.key", .toHeads("n_kv_head")),
    "self_attn.v_proj": Layer(
      "_self_attention_layer._value_dense", "self_attention.value", .toHeads("n_kv_head")),
    "self_attn.o_proj": Layer(
      "_self_attention_layer._output_dense", "self_attention.attention_output",
      .fromHeads("n_head")),
    "mlp.gate_proj": Layer("_feedforward_gate_dense", "feedforward_gate_dense"),
    "mlp.up_proj": Layer("_feedforward_intermediate_dense", "feedforward_intermediate_dense"),
    "mlp.down_proj": Layer("_feedforward_output_dense", "feedforward_output_dense"),
  ]

  /// A decoder of keras-hub that was derived from its Llama.
  ///
  /// - Parameters:
  ///   - stem: the beginning of the names of its layers' classes, such as `llama`.
  ///   - norm: the name of the class of its norms.
  ///   - modules: layers that differ.
  static func decoder(
    _ stem: String, norm: String, changing modules: [String: Layer] = [:]
  ) -> KerasHubNaming {
    KerasHubNaming(
      block: ("\(stem)_transformer_decoder", "transformer_layer"),
      finalNorm: Layer(norm, "sequence_output_layernorm", .norm),
      modules: decoderModules.merging(modules) { $1 })
  }
}
