import Glibc
import SextantBytes

/// The common parts of RWKV-4, 5, 6 and 7.
///
/// All are blocks of [layer norm, time mixing, add, layer norm, channel mixing, add] over a normed
/// embedding. They differ in the time mixing, which is the recurrent part, and in details of the
/// channel mixing.
enum RWKV {
  /// The sizes that every model of the family has.
  ///
  /// The original files come without a configuration, so that all of it is derived from the tensors;
  /// a configuration that is there must agree.
  struct Sizes: NetworkSizes, Equatable, Sendable {
    var width: Int  // D
    var layerCount: Int  // L
    var vocabularySize: Int  // V
    var innerWidth: Int  // F, of the channel mixing
    var normEpsilon: Double
    /// That of the last norm, if it is another one.
    var finalNormEpsilon: Double
    /// Blocks after which the stream is halved; 0 if it never is.
    var rescaleInterval = 0
    var tiesEmbeddings = false

    static let range = Limits.sizes
    /// The tensors of every published model.
    static let defaultNormEpsilon = 1e-5

    private static let (finalKey, rescaleKey) = ("final_norm_epsilon", "rescale_every")

    /// The members that every model has.
    fileprivate var commonMembers: [(String, JSONValue)] {
      [
        ("hidden_size", .integer(Int64(width))), ("num_hidden_layers", .integer(Int64(layerCount))),
        ("vocab_size", .integer(Int64(vocabularySize))),
        ("intermediate_size", .integer(Int64(innerWidth))),
        ("layer_norm_epsilon", .number(normEpsilon)),
      ]
    }

    /// The members of the canonical form. Those that few models need are left out of the others.
    var members: [(String, JSONValue)] {
      var members = commonMembers
      if finalNormEpsilon != normEpsilon {
        members.append((Self.finalKey, .number(finalNormEpsilon)))
      }
      if rescaleInterval > 0 {
        members.append((Self.rescaleKey, .integer(Int64(rescaleInterval))))
      }
      if tiesEmbeddings { members.append((TiedPair.usual.flag, true)) }
      return members
    }

    /// The epsilon of the norms of a block, and behind the last block of the final norm.
    ///
    /// transformers halves the stream of RWKV-4 after some blocks, and the additions of later
    /// blocks. This changes only the meaning of an epsilon: the epsilon of a stream that was halved
    /// k times corresponds to 4^k times the epsilon for the whole stream, which is computed here.
    func epsilon(ofBlock index: Int) -> Double {
      let plain = index < layerCount ? normEpsilon : finalNormEpsilon
      return rescaleInterval > 0 ? plain * pow(4, Double(index / rescaleInterval)) : plain
    }

    /// Reads the canonical form.
    init(canonical node: JSONNode) throws(Refusal) {
      width = try node.member("hidden_size").integer(in: Self.range)
      layerCount = try node.member("num_hidden_layers").integer(in: Limits.layerCounts)
      vocabularySize = try node.member("vocab_size").integer(in: Self.range)
      innerWidth = try node.member("intermediate_size").integer(in: Self.range)
      normEpsilon = try node.member("layer_norm_epsilon").number()
      finalNormEpsilon = try node.optionalEpsilon(Self.finalKey) ?? normEpsilon
      rescaleInterval = try node.optionalMember(Self.rescaleKey)?.integer(in: 0...1000) ?? 0
      tiesEmbeddings = try node.optionalMember(TiedPair.usual.flag)?.boolean() ?? false
    }

    /// Derives the sizes from the tensors, and the epsilon from the configuration if it is there.
    ///
    /// - Parameter epsilonKey: the configuration's key for the epsilon of the layer norms.
    init(
      _ tensors: CanonicalShapes, _ config: JSONNode?, epsilonKey: String
    ) throws(Refusal) {
      // Some converters apply this norm to the embedding once. The result in such a file looks
      // correct, and a guess would apply the norm twice.
      guard tensors.contains("blocks.0.ln0.weight") else {
        throw Refusal(
          .modelTransformed, found: "no norm after the embedding (blocks.0.ln0)",
          expected: "the trained embedding, and its norm")
      }
      let embedding = try tensors.dimensions(of: "embedding.weight", count: 2)  // [V, D]
      (vocabularySize, width) = (embedding[0], embedding[1])
      layerCount = max(tensors.blockCount(having: "ln1.weight"), 1)
      innerWidth = try tensors.dimensions(of: "blocks.0.ffn.key.weight", count: 2)[0]  // [F, D]
      normEpsilon = try config?.optionalEpsilon(epsilonKey) ?? Self.defaultNormEpsilon
      finalNormEpsilon = normEpsilon
      guard let config else { return }
      try ConfigurationKeys.checkComputation(config)
      for key in ["hidden_size", "attention_hidden_size"] { try config.agree(key, with: width) }
      try config.agree("num_hidden_layers", with: layerCount)
      try config.agree("vocab_size", with: vocabularySize)
      try config.agree("intermediate_size", with: innerWidth)
      tiesEmbeddings = try config.optionalMember("tie_word_embeddings")?.boolean() ?? false
    }
  }

  /// How the width is split into heads, in RWKV-5 and later.
  struct Heads: Equatable, Sendable {
    var count: Int  // H
    var size: Int  // N
    /// The epsilon of the norm of each head. Published codes for RWKV-5 disagree on it, and no
    /// tensor determines it, so that it is a value of the configuration.
    var normEpsilon: Double

    /// The key that sets the epsilon in any configuration, the canonical one included.
    static let epsilonKey = "group_norm_epsilon"
    /// The value of the original code, for heads of any size: 64 times the layer norms' epsilon.
    static let defaultNormEpsilon = 64 * Sizes.defaultNormEpsilon

    /// The members of the canonical form.
    var members: [(String, JSONValue)] {
      [("head_size", .integer(Int64(size))), (Self.epsilonKey, .number(normEpsilon))]
    }

    /// Reads the canonical form.
    init(canonical node: JSONNode, width: Int) throws(Refusal) {
      try self.init(
        size: node.member("head_size"), width: width,
        normEpsilon: node.member(Self.epsilonKey).number())
    }

    /// Takes the size of a head from a configuration.
    init(size: JSONNode, width: Int, normEpsilon: Double) throws(Refusal) {
      self.size = try size.integer(in: Sizes.range)
      guard width % self.size == 0 else { throw size.refusal(expected: "a divisor of \(width)") }
      count = width / self.size
      self.normEpsilon = normEpsilon
    }

    /// Takes the layout from a tensor [H, N].
    ///
    /// - Throws: `model.shape` when the heads do not make up the width.
    init(
      _ tensors: CanonicalShapes, tensor: String, width: Int, normEpsilon: Double
    ) throws(Refusal) {
      let shape = try tensors.dimensions(of: tensor, count: 2)  // [H, N]
      guard shape[0] <= width, shape[0] * shape[1] == width else {
        throw Refusal(
          .modelShape, at: .tensor(tensor), found: "\(shape)",
          expected: "heads by size, \(width) in all")
      }
      (count, size) = (shape[0], shape[1])
      self.normEpsilon = normEpsilon
    }

    /// Takes the number of heads from a tensor [H].
    ///
    /// - Throws: `model.shape` when that does not divide the width.
    init(
      _ tensors: CanonicalShapes, vector: String, width: Int, normEpsilon: Double
    ) throws(Refusal) {
      let count = try tensors.elementCount(of: vector)
      guard width % count == 0 else {
        throw Refusal(
          .modelShape, at: .tensor(vector), found: counted(count, "head"),
          expected: "a divisor of \(width)")
      }
      (self.count, size) = (count, width / count)
      self.normEpsilon = normEpsilon
    }
  }

  /// The members of a published configuration that `Sizes` reads.
  static func published(_ sizes: Sizes, epsilonKey: String) -> [(String, JSONValue)] {
    sizes.commonMembers.map { $0.0 == "layer_norm_epsilon" ? (epsilonKey, $0.1) : $0 } + [
      ("tie_word_embeddings", .boolean(sizes.tiesEmbeddings))
    ]
  }

  /// Members of the family's configurations for their own codes' ways to compute.
  static let inertKeys: Set = [
    "context_length", "rescale_every", "model_version", "num_attention_heads", "attn_mode",
    "fuse_norm", "fuse_cross_entropy", "fuse_linear_cross_entropy", "use_l2warp", "value_dim",
    "hidden_ratio",
  ]

  /// The root of a canonical configuration.
  static func node(_ canonical: JSONObject) -> JSONNode {
    JSONNode(.object(canonical), code: .modelConfiguration, file: nil)
  }

  // MARK: Dialects

  /// The original naming, which the canonical names follow inside the blocks.
  ///
  /// - Parameters:
  ///   - marker: a tensor of block 0 that identifies the version.
  ///   - absent: tensors of block 0 that identify other versions with the same marker.
  ///   - transposed: the last part of the names of matrices that are stored as [in, out].
  ///   - spread: the last part of the names of vectors that are stored as [1, 1, D].
  static func original(
    marker: String, absent: [String] = [], transposed: Set<String> = [], spread: Set<String>,
    ignores: Set<String> = []
  ) -> Dialect {
    Dialect(
      name: "blinkdl", markers: ["emb.weight", "blocks.0.\(marker)"],
      absent: absent.map { "blocks.0.\($0)" },
      ignores: { ignores.contains($0) },
      source: Dialect.sources(
        .init(embedding: "emb.weight", finalNorm: "ln_out.weight", head: "head.weight")
      ) { tensor in
        let last = String(tensor.last)
        return Dialect.Source(
          "blocks.\(tensor.block).\(tensor.name)", isTransposed: transposed.contains(last),
          form: spread.contains(last) ? .ones([0, 1]) : .plain)
      })
  }

  /// The naming of transformers' RwkvForCausalLM and of the published conversions of RWKV-5 and 6.
  static func huggingFace(
    marker: String, transposed: Set<String> = [], spread: Set<String>
  ) -> Dialect {
    let letters = ["k": "key", "v": "value", "r": "receptance", "g": "gate"]
    return Dialect(
      name: "huggingface", base: "rwkv.",
      markers: ["rwkv.embeddings.weight", "rwkv.blocks.0.\(marker)"],
      source: { canonical in
        if canonical == "head.weight" { return Dialect.Source(canonical) }
        let parts = canonical.split(separator: ".").map { part in
          switch part {
          case "embedding": "embeddings"
          case "final_norm": "ln_out"
          case "ln0": "pre_ln"
          case "att": "attention"
          case "ffn": "feed_forward"
          default:
            part.hasPrefix("time_mix_")
              ? "time_mix_" + (letters[String(part.dropFirst("time_mix_".count))] ?? "")
              : String(part)
          }
        }
        let last = lastPart(of: canonical)
        return Dialect.Source(
          "rwkv." + parts.joined(separator: "."), isTransposed: transposed.contains(last),
          form: spread.contains(last) ? .ones([0, 1]) : .plain)
      })
  }

  /// The shares of the mixings of RWKV-4 and 5, which are [1, 1, D] in files.
  static let oldShares: Set = ["time_mix_k", "time_mix_v", "time_mix_r", "time_mix_g"]

  /// The name that llama.cpp's converter gives a tensor of RWKV-6 or 7.
  static func ggufName(of canonical: String) -> String {
    let parts = canonical.split(separator: ".")
    guard parts.first == "blocks", parts.count > 3 else {
      switch canonical {
      case "embedding.weight": return "token_embd.weight"
      case "head.weight": return "output.weight"
      default: return "output_norm.\(parts.last ?? "")"
      }
    }
    let (module, part, last) = (parts[2], parts[3], parts[parts.count - 1])
    let norms = ["ln0": "token_embd_norm", "ln1": "attn_norm", "ln2": "attn_norm_2"]
    if let norm = norms[String(module)] {
      return module == "ln0" ? "\(norm).\(last)" : "blk.\(parts[1]).\(norm).\(last)"
    }
    let mix = module == "ffn" ? "channel_mix" : "time_mix"
    var name = String(part)
    switch part {
    case "ln_x": name = "ln"
    case "time_faaaa": name = "first"
    case "time_maa_w1", "time_maa_w2": name = String(part.dropFirst("time_maa_".count))
    default:
      if part.hasPrefix("time_maa_") { name = "lerp_" + part.dropFirst("time_maa_".count) }
      if part.hasPrefix("time_decay") { name = String(part.dropFirst("time_".count)) }
      if part.hasPrefix("x_") { name = "lerp_" + part.dropFirst(2) }
    }
    return "blk.\(parts[1]).\(mix)_\(name).\(last == "bias" ? "bias" : "weight")"
  }

  static func lastPart(of name: String) -> String {
    String(name.split(separator: ".").last ?? "")
  }

  // MARK: Model

  /// A model of the family: blocks of [layer norm, time mixing, add, layer norm, channel mixing, add]
  /// over a normed embedding.
  ///
  /// - Parameters:
  ///   - timeMix: the time mixing of a block, with the weights of its `att`.
  ///   - channelMix: the channel mixing of a block, with the weights of its `ffn`.
  static func network(
    _ sizes: Sizes, _ weights: WeightSource,
    timeMix: (_ index: Int, _ weights: WeightSource) -> any Mixer,
    channelMix: (_ weights: WeightSource) -> any Mixer
  ) -> Network {
    func norm(_ name: String, _ block: Int) -> Norm {
      weights.layerNorm(name, sizes.width, epsilon: sizes.epsilon(ofBlock: block))
    }
    let embedding = weights.embedding(sizes.vocabularySize, sizes.width)
    // The published codes count this norm as part of block 0; it is before the stream.
    let embeddingNorm = norm("blocks.0.ln0", 0)
    let blocks = (0..<sizes.layerCount).map { index in
      let block = weights.under("blocks.\(index)")
      let (timeNorm, channelNorm) = (
        norm("blocks.\(index).ln1", index), norm("blocks.\(index).ln2", index)
      )
      return Block(
        Part(name: "time_mix", norm: timeNorm, mixer: timeMix(index, block.under("att"))),
        Part(name: "channel_mix", norm: channelNorm, mixer: channelMix(block.under("ffn"))))
    }
    let finalNorm = norm("final_norm", sizes.layerCount)
    return Network(
      embedding: embedding, embeddingNorm: embeddingNorm, blocks: blocks,
      readout: Readout(norm: finalNorm, sizes, weights, embedding: embedding))
  }
}

extension RWKV {
  /// The configuration of RWKV-5 and 6, without the parts of RWKV-6 alone.
  struct GatedSizes: Equatable, Sendable {
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
}
