import SextantBytes

/// The metadata by which a GGUF file describes models of one architecture, in the terms of the
/// published `config.json` that `Architecture.published(_:dialect:)` writes for `gguf`.
///
/// A table is data, for reading and for writing. It stands in the architecture's file, beside the
/// dialects with the names of the tensors.
package struct GGUFTable: Sendable {
  /// `general.architecture`, which is also the first word of the other keys.
  package let name: String
  /// Whether the models have experts. One name may stand for models with and without them.
  package let hasExperts: Bool
  /// Members of the configuration that the format has no place for: llama.cpp has one value.
  package let fixed: [(member: String, value: JSONValue)]
  /// The keys, in the order in which they are written. A row may use the members of rows above it. The first
  /// one is that of all models: a token attends to no later token.
  package let rows: [Row]
  /// A member that llama.cpp computes right only if it is a multiple of this, and wrong without a
  /// warning otherwise.
  package let multiple: (member: String, of: Int)?

  /// One key of the metadata, without the architecture's name, or several that belong together.
  package enum Row: Sendable {
    /// A value that llama.cpp requires in the file, and that no reader needs.
    case constant(_ key: String, JSONValue)
    /// A value that must be this one if the file has it. It is not written.
    case expected(_ key: String, JSONValue)
    /// A whole number and the member that it is.
    case integer(_ key: String, _ member: String, ifAbsent: Absence = .refused)
    /// Another number and the member that it is. A second key has the same number: it is written as
    /// well, and read if the first one is absent.
    case number(_ key: String, _ member: String, also: String? = nil)
    /// A truth value and the member that it is.
    case flag(_ key: String, _ member: String)
    /// An array of whole numbers and the member that it is.
    case integers(_ key: String, _ member: String)
    /// A value and the member that it is, with other words for each value. The first pair counts
    /// if the key is absent.
    case choice(_ key: String, _ member: String, [(stored: JSONValue, published: JSONValue)])
    /// A whole number that is the product of two members. The second is in a row above.
    case product(_ key: String, _ member: String, times: String)
    /// A member that is true if the file has a tensor. A `*` in its name stands for the number of
    /// any block.
    case tensor(_ name: String, _ member: String)
    /// A member that is true if the file lacks a tensor.
    case missingTensor(_ name: String, _ member: String)
    /// A member that llama.cpp computes only if it is this multiple of another one.
    case ratio(_ member: String, Int, times: String)
    /// Two members that are equal in all models that llama.cpp loads.
    case equal(_ member: String, _ other: String)
    /// The kinds of the blocks, an array of names.
    case kinds(BlockKinds)
    /// Which blocks have a recurrent state and which ones attention, `layer_types`: a truth value for
    /// each block, or n in "every n-th block has attention"; this n if the file has neither.
    case recurrentBlocks(interval: Int)
    /// A truth value for each block, an array: whether the file has the block's tensor of this name,
    /// in which a `*` stands for its number.
    case tensorOfBlocks(_ name: String, _ member: String)
    /// The rotary embedding.
    case rotation(Rotation)
    /// The windows of attention.
    case windows(Windows)
  }

  /// What the absence of a key means.
  package enum Absence: Sendable {
    /// The file is refused.
    case refused
    /// The configuration has no such member either, and its default counts.
    case usual
    /// The same as 0.
    case zero
    /// The number of another member, from a row above.
    case member(String)
  }

  /// The kinds of blocks, which the format tells by arrays with a number for each block: a number
  /// other than 0 marks the blocks of one kind.
  package struct BlockKinds: Sendable {
    /// The member with the name of each block's kind.
    package let member: String
    /// The arrays: key, member with the number of all marked blocks, and the name of their kind.
    package let marks: [(key: String, member: String, kind: String)]
    /// The kind of the blocks that nothing marks.
    package let rest: String

    /// Kinds of blocks; without marks, all blocks are of one kind.
    package init(
      _ member: String, marks: [(key: String, member: String, kind: String)] = [], rest: String
    ) {
      self.member = member
      self.marks = marks
      self.rest = rest
    }
  }

  /// How a file describes windows of attention: their size, and a truth value for each block, or n in
  /// "every n-th block has none". The configuration has `sliding_window` and `layer_types`.
  package struct Windows: Sendable {
    /// n if the file has neither.
    package let interval: Int
    /// The member with the base of the rotation in blocks with a window; nil if it is the base of all
    /// blocks.
    package let base: String?

    /// Windows with this usual rule.
    package init(interval: Int, base: String? = nil) {
      self.interval = interval
      self.base = base
    }
  }

  /// How the members of a configuration name a rotation. The canonical configuration has
  /// `rope_theta` and `rope_scaling`, and `rotary_dim` if only a part of each head turns.
  package struct Rotation: Sendable {
    /// The member with the width of a head; nil if it follows from the model's width.
    package let headWidth: String?
    /// The member with the part of each head that turns; nil if all of it does.
    package let part: String?
    /// The member with the base.
    package let base: String

    /// A rotation with these members.
    package init(headWidth: String? = nil, part: String? = nil, base: String = "rope_theta") {
      self.headWidth = headWidth
      self.part = part
      self.base = base
    }
  }

  /// Describes a table.
  package init(
    name: String, hasExperts: Bool = false, fixed: [(member: String, value: JSONValue)],
    multiple: (member: String, of: Int)? = nil, rows: [Row]
  ) {
    self.name = name
    self.hasExperts = hasExperts
    self.fixed = fixed
    self.multiple = multiple
    self.rows = [.expected("attention.causal", true)] + rows
  }
}

extension GGUFTable.Row {
  /// Width, number of blocks and, if it is given, the inner width.
  package static func sizes(inner: Bool = true) -> [Self] {
    [
      .integer("embedding_length", "hidden_size"), .integer("block_count", "num_hidden_layers"),
    ] + (inner ? [.integer("feed_forward_length", "intermediate_size")] : [])
  }

  /// The sizes of experts.
  package static func experts(
    count: String, chosen: String = "num_experts_per_tok", innerWidth: String
  ) -> [Self] {
    [
      .integer("expert_count", count), .integer("expert_used_count", chosen),
      .integer("expert_feed_forward_length", innerWidth),
    ]
  }

  /// The sizes of a transformer like Llama.
  package static let decoder: [Self] =
    sizes() + [
      .integer("attention.head_count", "num_attention_heads"),
      .number("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
      .integer(
        "attention.head_count_kv", "num_key_value_heads", ifAbsent: .member("num_attention_heads")),
    ]

  /// What llama.cpp's converter writes for recurrent models: they have no attention, and no limit
  /// of a text's length.
  package static let recurrent: [Self] = [
    .constant("context_length", .integer(1 << 20)), .constant("attention.head_count", 0),
  ]

  /// The length of the texts that a transformer was trained on.
  package static let length: Self = .integer(
    "context_length", "max_position_embeddings", ifAbsent: .usual)

  /// Whether the output head and the embedding are one tensor.
  package static let tied: Self = .missingTensor("output.weight", "tie_word_embeddings")
}
