import SextantBytes

/// How one published naming spells an architecture's tensors.
///
/// The one description serves both directions: reading undoes it, writing applies it.
package struct Dialect: Sendable {
  /// The place of a canonical tensor in a checkpoint of this dialect.
  package struct Source: Sendable, Equatable, ExpressibleByStringLiteral,
    ExpressibleByStringInterpolation
  {
    /// The tensor's name there.
    package let name: String
    /// Whether the matrix is stored as [in, out]: its last two dimensions are swapped.
    package let isTransposed: Bool
    /// The dialect's operation on the elements, to be undone; nil if none.
    package let change: Change?
    /// How the shape is spelled.
    package let form: Form
    /// Which part of the stored tensor it is; nil for all of it.
    package let part: Part?

    /// The operations of a naming on a tensor's elements, in addition to a transposition.
    package enum Change: Sendable, Equatable {
      /// The rows of each head alternate between its first and its second half, so that the two
      /// channels of a rotary pair are adjacent. The configuration's number of that key is the
      /// number of rows of a head.
      case pairedRows(headWidth: String)
      /// Each head has rows of several kinds, and those of one kind are adjacent. The
      /// configuration's number of that key is the number of heads.
      case groupedRows(kinds: Int, headCount: String)
      /// Elements are -exp of the canonical ones.
      case negativeExponential
      /// Elements of a block are halved as many times as the number under a key of the file's
      /// metadata divides the block's index: not at all if it is 0 or absent.
      case halved(block: Int, every: String)
    }

    /// How a shape is spelled.
    package enum Form: Sendable, Equatable {
      /// Unchanged.
      case plain
      /// With dimensions of 1 at these places. Readers accept them at other places, too.
      case ones([Int])
      /// As one dimension.
      case flat
      /// A vector as rows: the configuration's number of that key is their number.
      case rows(String)
    }

    /// One of several tensors of equal shape that are stored as one, along a new first axis.
    package struct Part: Sendable, Equatable {
      /// Its place.
      package let index: Int
      /// How many there are.
      package let count: Int

      /// The `index`-th of `count`.
      package init(_ index: Int, of count: Int) {
        self.index = index
        self.count = count
      }
    }

    /// A source of that name.
    package init(
      _ name: String, isTransposed: Bool = false, change: Change? = nil, form: Form = .plain,
      part: Part? = nil
    ) {
      self.name = name
      self.isTransposed = isTransposed
      self.change = change
      self.form = form
      self.part = part
    }

    /// A source of that name, stored in the architecture's form.
    package init(stringLiteral name: String) { self.init(name) }
  }

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
  /// architecture has them.
  package let markers: [String]
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
    name: String, base: String = "", markers: [String], absent: [String] = [],
    fillers: [Filler] = [], synonyms: [String: String] = [:], countsVariables: Bool = false,
    ignores: @escaping @Sendable (String) -> Bool = { _ in false },
    source: @escaping @Sendable (String) -> Source
  ) {
    self.name = name
    self.base = base
    self.markers = markers
    self.absent = absent
    self.source = source
    self.fillers = fillers
    self.synonyms = synonyms
    self.countsVariables = countsVariables
    ignoresBuffer = ignores
  }

  /// Whether a checkpoint follows this naming, by the tensors that it has.
  package func fits(_ contains: (_ name: String) -> Bool) -> Bool {
    markers.allSatisfy(contains) && !absent.contains(where: contains)
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

extension Dialect.Source {
  /// The shape of the stored tensor.
  ///
  /// - Parameters:
  ///   - shape: the canonical tensor's.
  ///   - configuration: the canonical configuration.
  /// - Throws: `model.config` if it lacks a number that the shape follows from.
  package func storedShape(
    of shape: [Int], _ configuration: JSONObject
  ) throws(Refusal) -> [Int] {
    var stored = isTransposed ? shape.dropLast(2) + shape.suffix(2).reversed() : shape
    switch form {
    case .plain: break
    case .ones(let places): for place in places { stored.insert(1, at: place) }
    case .flat: stored = [stored.reduce(1, *)]
    case .rows(let key):
      let count = stored.reduce(1, *)
      let node = JSONNode(.object(configuration), code: .modelConfiguration, file: nil)
      let rows = try node.member(key).integer(in: 1...max(1, count))
      guard count % rows == 0 else {
        throw try node.member(key).refusal(expected: "a divisor of \(count)")
      }
      stored = [rows, count / rows]
    }
    return part.map { [$0.count] + stored } ?? stored
  }
}
