import SextantBytes
import SextantTensor

// Letters: V rows of the embedding, D width of the stream, F inner width of perceptrons, H query
// heads, G key and value heads, W channels of a head.

/// The sizes that models have whose attention and perceptrons are like Llama's.
struct DecoderSizes: Equatable, Sendable {
  var width = 0  // D
  var vocabularySize = 0  // V
  var innerWidth = 0  // F
  var headCount = 0  // H
  var keyHeadCount = 0  // G
  var headWidth = 0  // W
  var contextLength = 0
  var normEpsilon = 0.0
  var tiesEmbeddings = false

  /// Whether all heads together have as many channels as the stream.
  var headsShareWidth: Bool { headCount * headWidth == width }

  /// Attention of these sizes.
  var attention: Attention.Form {
    Attention.Form(width: width, heads: headCount, keyHeads: keyHeadCount, headWidth: headWidth)
  }

  /// A perceptron with a gate.
  func perceptron(_ weights: WeightSource, _ activation: Activation = .silu) -> Perceptron {
    Perceptron(
      weights, names: (up: "up_proj", gate: "gate_proj", down: "down_proj"), width: width,
      innerWidth: innerWidth, activation, hasBias: false)
  }

  /// The RMS norm `name`, [D].
  func norm(_ name: String, _ weights: WeightSource, addsOne: Bool = false) -> Norm {
    weights.rmsNorm(name, width, epsilon: normEpsilon, addsOne: addsOne)
  }

  /// Refuses numbers that do not fit together.
  ///
  /// - Throws: the node's code.
  func check(_ node: JSONNode) throws(Refusal) {
    try node.checkHeads(headCount, sharing: keyHeadCount, width: headWidth)
    try node.checkNormEpsilon(normEpsilon)
  }
}

/// A configuration with such sizes.
protocol DecoderConfiguration: FormedConfiguration, NetworkSizes {
  /// Sizes of the whole model.
  var decoder: DecoderSizes { get set }
}

extension DecoderConfiguration {
  var width: Int { decoder.width }
  var vocabularySize: Int { decoder.vocabularySize }
  var normEpsilon: Double { decoder.normEpsilon }
  var tiesEmbeddings: Bool { decoder.tiesEmbeddings }
}

extension ConfigurationForm.Member where C: DecoderConfiguration {
  /// The sizes in the canonical form.
  static var decoder: Self { decoder(usualLength: nil) }

  /// The same for a family whose older stores have no length.
  ///
  /// - Parameter usualLength: the length of the texts that such models are for.
  static func decoder(usualLength: Int?) -> Self {
    .group([
      .integer("d_model", \.decoder.width, in: C.sizes),
      .integer("vocab_size", \.decoder.vocabularySize, in: C.sizes),
      .integer("d_ff", \.decoder.innerWidth, in: C.sizes),
      .integer("n_head", \.decoder.headCount, in: C.heads),
      .integer("n_kv_head", \.decoder.keyHeadCount, in: C.heads),
      .integer("head_dim", \.decoder.headWidth, in: C.headWidths),
      .integer(
        "context_length", \.decoder.contextLength, in: C.lengths,
        default: usualLength.map { length in { _ in length } }),
      .number("norm_eps", \.decoder.normEpsilon),
      .flag("tie_embeddings", \.decoder.tiesEmbeddings),
    ])
  }

  /// The sizes in transformers' form.
  ///
  /// - Parameters: transformers' defaults of members that may be absent; nil for members that must be
  ///   there, for as many key heads as query heads, and for heads that share the width.
  static func publishedDecoder(
    vocabularySize: Int? = nil, heads: Int? = nil, keyHeads: Int? = nil, headWidth: Int? = nil,
    contextLength: Int, normEpsilon: Double, tiesEmbeddings: Bool = false
  ) -> Self {
    func usual(_ value: Int?) -> ((C) -> Int)? { value.map { value in { _ in value } } }
    return .group([
      .integer("hidden_size", \.decoder.width, in: C.sizes),
      .integer(
        "vocab_size", \.decoder.vocabularySize, in: C.sizes, default: usual(vocabularySize)),
      .integer("intermediate_size", \.decoder.innerWidth, in: C.sizes),
      .integer("num_attention_heads", \.decoder.headCount, in: C.heads, default: usual(heads)),
      .keyHeads(\.decoder.keyHeadCount, of: \.decoder.headCount, in: C.heads, usual: keyHeads),
      .headWidth(
        \.decoder.headWidth, of: \.decoder.width, among: \.decoder.headCount, in: C.headWidths,
        usual: headWidth),
      .integer(
        "max_position_embeddings", \.decoder.contextLength, in: C.lengths,
        default: usual(contextLength)),
      .number("rms_norm_eps", \.decoder.normEpsilon, default: normEpsilon),
      .flag("tie_word_embeddings", \.decoder.tiesEmbeddings, default: tiesEmbeddings),
    ])
  }
}
