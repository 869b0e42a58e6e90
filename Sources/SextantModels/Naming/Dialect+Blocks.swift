import SextantBytes

extension Dialect {
  /// How a naming stores the tensors that are outside the blocks.
  struct Ends: Sendable {
    /// The rows of the tokens.
    let embedding: Source
    /// The weight of the final norm. A bias has the same name with `bias` in the place of `weight`.
    let finalNorm: Source
    /// The output head.
    let head: Source
    /// Further tensors, by their canonical names.
    var others: [String: Source] = [:]

    /// The names of most models in Hugging Face transformers.
    static let huggingFace = Ends(
      embedding: "model.embed_tokens.weight", finalNorm: "model.norm.weight",
      head: "lm_head.weight")

    /// The names in GGUF files.
    static let gguf = Ends(
      embedding: "token_embd.weight", finalNorm: "output_norm.weight", head: "output.weight")
  }

  /// A canonical tensor inside a block: `blocks.<block>.<name>`.
  struct BlockTensor: Sendable {
    /// The number of the block.
    let block: Substring
    /// The name in the block, such as `self_attn.q_proj.weight`.
    let name: String
    /// The name without its last part, such as `self_attn.q_proj`.
    let module: String
    /// The last part of the name, such as `weight`.
    let last: Substring

    /// The tensor of a canonical name.
    init(_ canonical: String) {
      let parts = canonical.split(separator: ".")  // blocks, index, part, …, weight or bias
      (block, last) = (parts.dropFirst().first ?? "", parts.last ?? "")
      name = parts.dropFirst(2).joined(separator: ".")
      module = parts.dropFirst(2).dropLast().joined(separator: ".")
    }

    /// The name in a GGUF file, without a change of the elements.
    ///
    /// - Parameter modules: llama.cpp's names of modules by those here.
    func gguf(_ modules: [String: String]) -> String {
      "blk.\(block).\(modules[module] ?? module).\(last)"
    }

    /// A share of a stored tensor that several canonical ones of this block have.
    ///
    /// - Parameter names: in the block.
    func share(
      of tensor: String, _ names: [String], _ groups: Source.Groups, changes: [Source.Change] = [],
      isTransposed: Bool = false, form: Source.Form = .plain
    ) -> Source {
      .init(
        .share(of: tensor, tensors: names.map { "blocks.\(block).\($0)" }, groups: groups),
        isTransposed: isTransposed, changes: changes, form: form)
    }
  }

  /// The sources of all tensors of a model: a name for each tensor outside the blocks, and one rule
  /// for those inside.
  static func sources(
    _ ends: Ends, inBlocks rule: @escaping @Sendable (BlockTensor) -> Source
  ) -> @Sendable (_ canonicalName: String) -> Source {
    { canonical in
      switch canonical {
      case "embedding.weight": ends.embedding
      case "final_norm.weight": ends.finalNorm
      case "final_norm.bias": .init(ends.finalNorm.name.replacing(".weight", with: ".bias"))
      case "head.weight": ends.head
      default: ends.others[canonical] ?? rule(BlockTensor(canonical))
      }
    }
  }
}
