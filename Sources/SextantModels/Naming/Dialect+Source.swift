import SextantBytes

extension Dialect {
  /// How a checkpoint of a dialect stores one canonical tensor: in which tensors, and in which form.
  ///
  /// A source is data. Numbers come from the canonical configuration, by their keys; so the same
  /// source reads a tensor and writes it. The changes are listed in the order in which they are
  /// made for writing.
  package struct Source: Sendable, Equatable, ExpressibleByStringLiteral,
    ExpressibleByStringInterpolation
  {
    /// The stored tensors that its elements are in.
    package let place: Place
    /// Whether the matrix is stored as [in, out]: its last two dimensions are swapped.
    package let isTransposed: Bool
    /// The dialect's operations on the elements, to be undone for reading.
    package let changes: [Change]
    /// How the shape is spelled.
    package let form: Form

    /// The stored tensors that the elements of a canonical tensor are in.
    package enum Place: Sendable, Equatable {
      /// One tensor, which contains nothing else.
      case tensor(String)
      /// One tensor, which also contains other canonical tensors. It consists of equal groups, and
      /// each group has the rows of each of `tensors` in turn. Those that a model lacks are passed
      /// over.
      case share(of: String, tensors: [String], groups: Groups)
      /// Several tensors, one after the other along the first axis. A file may cut the rows at
      /// other places.
      case sequence([Rows])
      /// One tensor for each index of the first axis, such as one for each expert. A `*` in the
      /// name stands for the index.
      case numbered(String)
    }

    /// The groups in a tensor that several canonical tensors share.
    package enum Groups: Sendable, Equatable {
      /// One: all rows of the first tensor come before those of the second.
      case one
      /// As many as the configuration's number of that key, such as one for each head.
      case number(String)
      /// One for each index of the first axis, such as one for each expert: the tensors are joined
      /// along the second axis.
      case firstAxis
    }

    /// A number of rows, the product of the configuration's numbers of these keys.
    package typealias RowCount = [String]

    /// A stored tensor with some of the rows of a canonical one.
    package struct Rows: Sendable, Equatable {
      /// Its name.
      package let name: String
      /// Its rows.
      package let count: RowCount

      /// A tensor of that name with `count` rows.
      package init(_ name: String, count: RowCount) {
        self.name = name
        self.count = count
      }
    }

    /// The operations of a naming on a tensor's elements, in addition to a transposition.
    package enum Change: Sendable, Equatable {
      /// The rows of each head alternate between its first and its second half, so that the two
      /// channels of a rotary pair are adjacent. The configuration's number of that key is the
      /// number of rows of a head.
      case pairedRows(headWidth: String)
      /// Each head has rows of several kinds, and those of one kind are adjacent. The
      /// configuration's number of that key is the number of heads.
      case groupedRows(kinds: Int, headCount: String)
      /// Heads that belong to one group are adjacent in the canonical tensor, and in the stored one
      /// those of the same place in all groups. The keys are those of the numbers of groups and of
      /// heads; the heads divide the axis, on the first axis its rows after the first `after`.
      case tiledHeads(groups: String, heads: String, axis: Int = 0, after: [RowCount] = [])
      /// Elements are -exp of the canonical ones.
      case negativeExponential
      /// Elements are the canonical ones plus 1: the norm multiplies by the stored number, and the
      /// canonical model by 1 + w.
      case plusOne
      /// Elements of a block are halved as many times as the number under a key of the file's
      /// metadata divides the block's index: not at all if it is 0 or absent.
      case halved(block: Int, every: String)
      /// Elements are multiplied by numbers of the configuration, one after the other, as the
      /// multipliers of a model are in files for programs without multipliers. A model that is read
      /// from such a file has multipliers of 1.
      case scaled([Scale])
    }

    /// The factor of some rows.
    package struct Scale: Sendable, Equatable {
      /// The keys of the numbers whose product it is. `key/2` is the third number of an array.
      package let factors: [String]
      /// The number of rows, after those of the scales before; nil for all rows that are left.
      package let rows: RowCount?

      /// The product of the numbers of `factors`, for the next `rows`.
      package init(by factors: [String], rows: RowCount? = nil) {
        self.factors = factors
        self.rows = rows
      }
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
      /// A dimension of the stored shape as two. The first of them is the configuration's number of that
      /// key, such as the number of heads.
      case split(axis: Int, by: String)
      /// The rows of all heads as [heads, rows of a head, …]: the configuration's number of that key is
      /// the number of heads. A transposition is then one of each head's matrix.
      case heads(String)
    }

    /// A source in that place.
    package init(
      _ place: Place, isTransposed: Bool = false, changes: [Change] = [], form: Form = .plain
    ) {
      self.place = place
      self.isTransposed = isTransposed
      self.changes = changes
      self.form = form
    }

    /// A source in a tensor of that name.
    package init(
      _ name: String, isTransposed: Bool = false, change: Change? = nil, form: Form = .plain
    ) {
      self.init(
        .tensor(name), isTransposed: isTransposed, changes: change.map { [$0] } ?? [], form: form)
    }

    /// A source in a tensor of that name, stored in the architecture's form.
    package init(stringLiteral name: String) { self.init(name) }

    /// The name of the only stored tensor, or of the first one.
    package var name: String {
      switch place {
      case .tensor(let name), .share(let name, _, _): name
      case .sequence(let parts): parts.first?.name ?? ""
      case .numbered(let pattern): pattern.replacing("*", with: "0")
      }
    }

    /// The names of the stored tensors.
    ///
    /// - Parameter shape: the canonical tensor's.
    package func names(_ shape: [Int]) -> [String] {
      switch place {
      case .tensor(let name), .share(let name, _, _): [name]
      case .sequence(let parts): parts.map(\.name)
      case .numbered(let pattern):
        (0..<(shape.first ?? 0)).map { pattern.replacing("*", with: "\($0)") }
      }
    }
  }
}
