import SextantBytes

/// How one published naming spells an architecture's tensors.
///
/// The one description serves both directions: reading undoes it, writing applies it.
package struct Dialect: Sendable {
  /// A tensor that readers of a dialect require and no code uses: a copy of another one.
  package struct Filler: Sendable, Equatable {
    /// The name that it has there.
    package let name: String
    /// The canonical name of the tensor that is copied.
    package let original: String

    /// A copy of `original` under the name `name`.
    package init(_ name: String, copying original: String) {
      self.name = name
      self.original = original
    }
  }

  /// The dialect's name, such as `huggingface`.
  package let name: String
  /// Tensors that every checkpoint of this dialect has; together no other dialect of any
  /// architecture has them. A `*` stands for the number of any block; the first marker has none.
  package let markers: [String]
  /// Tensors of which such a checkpoint has at least one, in addition to all markers; if there are
  /// any, models of the family differ in them.
  package let eitherMarkers: [String]
  /// Tensors that no checkpoint of this dialect has, if another dialect has the same markers.
  package let absent: [String]
  /// The source of a canonical tensor. A function, because some namings count by block.
  package let source: @Sendable (_ canonicalName: String) -> Source
  /// The tensors of a checkpoint of this dialect in addition to the architecture's; ignored on
  /// reading.
  package let fillers: [Filler]
  /// The prefix of all tensor names except the output head, such as `model.`, if a model without
  /// its head (`LlamaModel`) is saved without it. Empty if no program does that.
  package let base: String
  /// Prefixes that stand in the place of `base` in models of several parts, such as
  /// `model.language_model.` in a model that also reads images.
  package let wrappedBases: [String]
  /// The beginnings of the names of tensors of such a model's other parts, such as `model.visual.`.
  package let otherParts: [String]
  /// Other names that tensors of this dialect may have, by the usual ones.
  package let synonyms: [String: String]
  /// Whether tensors have numbers instead of names, so that one too many or too few may shift the
  /// meaning of all.
  package let countsVariables: Bool
  private let ignoresBuffer: @Sendable (_ name: String) -> Bool

  /// Describes a naming.
  ///
  /// - Parameter ignores: whether a tensor of a checkpoint is a buffer without weights, in addition
  ///   to those that many models have.
  package init(
    name: String, base: String = "", wrappedBases: [String] = [], otherParts: [String] = [],
    markers: [String], either eitherMarkers: [String] = [], absent: [String] = [],
    fillers: [Filler] = [], synonyms: [String: String] = [:], countsVariables: Bool = false,
    ignores: @escaping @Sendable (String) -> Bool = { _ in false },
    source: @escaping @Sendable (String) -> Source
  ) {
    self.name = name
    self.base = base
    self.wrappedBases = wrappedBases
    self.otherParts = otherParts
    self.markers = markers
    self.eitherMarkers = eitherMarkers
    self.absent = absent
    self.source = source
    self.fillers = fillers
    self.synonyms = synonyms
    self.countsVariables = countsVariables
    ignoresBuffer = ignores
  }

  /// Whether a checkpoint follows this naming, by the tensors that it has.
  package func fits(_ contains: (_ name: String) -> Bool) -> Bool {
    func isThere(_ marker: String) -> Bool {
      guard marker.contains("*") else { return contains(marker) }
      return (0..<Self.blockLimit).contains { contains(marker.replacing("*", with: "\($0)")) }
    }
    return markers.allSatisfy(isThere) && !absent.contains(where: isThere)
      && (eitherMarkers.isEmpty || eitherMarkers.contains(where: isThere))
  }

  /// The most blocks that a model has.
  static let blockLimit = 1000

  /// The names of the output head, which may stand outside of the group of all other tensors.
  package var headNames: [String] {
    let head = source(TiedPair.usual.head).name
    return [head] + [synonyms[head]].compactMap { $0 }
  }

  /// Whether `name` is that of a tensor of the base model, without `base`: whether it begins with the same
  /// part as one of them.
  package func isOfBaseModel(_ name: String) -> Bool {
    let known = markers + ["embedding.weight", "final_norm.weight"].map { source($0).name }
    return known.contains { full in
      let root = full.utf8.dropFirst(base.utf8.count).prefix { $0 != UInt8(ascii: ".") }
      return name.utf8.prefix { $0 != UInt8(ascii: ".") }.elementsEqual(root)
    }
  }

  /// Whether a tensor of a checkpoint is a buffer without weights, to be left out.
  package func ignores(_ name: String, shape: [Int]) -> Bool {
    ignoresBuffer(name) || Self.isUsualBuffer(name, shape)
      || fillers.contains { $0.name.utf8.elementsEqual(name.utf8) }
  }

  /// Whether a tensor is one of the buffers that transformers used to save in the folder of the
  /// weights, of the model or of each block: the frequencies of a rotary embedding and tables made
  /// of them, and the causal mask with the number that stands for -∞. All follow from the
  /// configuration.
  private static func isUsualBuffer(_ name: String, _ shape: [Int]) -> Bool {
    let parts = name.split(separator: ".")
    guard parts.count > 1, let last = parts.last else { return false }
    switch last {
    case "inv_freq", "original_inv_freq", "cos_cached", "sin_cached":
      return parts[parts.count - 2].contains("rotary") || parts[parts.count - 2] == "rope"
    case "masked_bias": return shape.allSatisfy { $0 == 1 }
    case "bias":
      // [1, 1, positions, positions]
      return ["attn", "attention", "self_attn"].contains(parts[parts.count - 2])
        && shape.count == 4 && shape[0] == 1 && shape[1] == 1 && shape[2] == shape[3]
    default: return false
    }
  }
}
