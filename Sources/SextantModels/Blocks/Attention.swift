import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, H query heads, G key and value heads,
// W channels of a head. Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Causal attention: softmax over the positions up to the token's own.
///
/// Its state is the keys and values of every position so far. Keys are kept as they are read:
/// rotated by their own position, if the model has rotary position embedding.
struct Attention: Mixer {
  /// Its sizes and switches.
  struct Form {
    /// The width of the stream, D.
    var width: Int
    /// Query heads, H.
    var heads: Int
    /// Key and value heads, G, which divide the query heads evenly.
    var keyHeads: Int
    /// Channels of a head, W.
    var headWidth: Int
    /// The factor of scores; nil for W^(-1/2).
    var scale: Float?
    /// The number of positions that a token attends to, including its own; nil for all.
    var window: Int?
    /// Whether the projections of queries, keys and values have biases.
    var hasBias = false
    /// Whether the output projection has a bias; nil if it does as the others do.
    var hasOutputBias: Bool?
    /// The rotary embedding that turns queries and keys, by its place in `Network.rotations`; nil if
    /// none does.
    var rotation: Int?
    /// The norms of queries and keys before they turn.
    var norms: Norms?
    /// The factor of keys before they turn.
    var keyScale: Float = 1

    fileprivate var outputHasBias: Bool { hasOutputBias ?? hasBias }
  }

  /// The norms of queries and keys.
  struct Norms {
    /// The names of their weights, without `.weight`.
    var names: (query: String, key: String)
    var epsilon: Double
    /// Whether each head is normed by itself, with one weight [W] for all; else all channels of a
    /// token together, with weights [H W] and [G W].
    var isPerHead = true
    /// Whether the factors are 1 + the stored ones.
    var addsOne = false
  }

  /// How queries, keys and values come from the stream.
  private enum Projections: Sendable {
    /// Three matrices, [H W, D], [G W, D] and [G W, D].
    case separate(query: Projection, key: Projection, value: Projection, gate: Projection?)
    /// One matrix, [3 H W, D].
    case joint(Projection)
  }

  /// The order of the rows of a joint matrix.
  enum JointOrder {
    /// All queries, then all keys, then all values.
    case byKind
    /// The query, key and value of each head together.
    case byHead
  }

  private let projections: Projections
  private let output: Projection  // [D, H W]
  /// The columns of queries, keys and values in the products.
  private let columns: (query: HeadColumns, key: HeadColumns, value: HeadColumns)
  private let scale: Float
  private let window: Int?
  /// Slopes of a linear bias of the scores, [H].
  private let slopes: Tensor?
  private let rotation: Int?
  private let keyScale: Float
  private let norms: (query: Norm, key: Norm)?
  private let normsHeads: Bool
  let state: [StateComponent]

  /// Attention with three matrices.
  ///
  /// - Parameters:
  ///   - names: of queries, keys, values and output.
  ///   - gate: the name of a matrix, [H W, D], whose sigmoid gates the output of the heads.
  init(
    _ form: Form, _ weights: WeightSource,
    names: (query: String, key: String, value: String, output: String), gate: String? = nil
  ) {
    let (queries, keys) = (form.heads * form.headWidth, form.keyHeads * form.headWidth)
    func projection(_ name: String, out: Int, in width: Int) -> Projection {
      weights.projection(name, out: out, in: width, hasBias: form.hasBias)
    }
    let keyColumns = HeadColumns(count: form.keyHeads, width: form.headWidth)
    self.init(
      form,
      .separate(
        query: projection(names.query, out: queries, in: form.width),
        key: projection(names.key, out: keys, in: form.width),
        value: projection(names.value, out: keys, in: form.width),
        gate: gate.map { projection($0, out: queries, in: form.width) }),
      output: weights.projection(
        names.output, out: form.width, in: queries, hasBias: form.outputHasBias),
      (HeadColumns(count: form.heads, width: form.headWidth), keyColumns, keyColumns),
      norms: form.norms.map { norms in
        let widths =
          norms.isPerHead ? (form.headWidth, form.headWidth) : (queries, keys)
        func norm(_ name: String, _ width: Int) -> Norm {
          weights.rmsNorm(name, width, epsilon: norms.epsilon, addsOne: norms.addsOne)
        }
        return (norm(norms.names.query, widths.0), norm(norms.names.key, widths.1))
      })
  }

  /// Attention with one matrix for queries, keys and values, of which there are equally many.
  ///
  /// - Parameters:
  ///   - names: of the joint matrix and the output.
  ///   - slopes: of a linear bias of the scores, [H].
  init(
    _ form: Form, _ weights: WeightSource, names: (joint: String, output: String),
    order: JointOrder, slopes: Tensor? = nil
  ) {
    let (heads, width) = (form.heads, form.headWidth)
    let inner = heads * width
    let columns = (0..<3).map { kind in
      switch order {
      case .byKind: HeadColumns(first: kind * inner, count: heads, width: width)
      case .byHead: HeadColumns(first: kind * width, count: heads, width: width, stride: 3 * width)
      }
    }
    self.init(
      form,
      .joint(
        weights.projection(
          names.joint, out: 3 * inner, in: form.width, hasBias: form.hasBias)),
      output: weights.projection(
        names.output, out: form.width, in: inner, hasBias: form.outputHasBias),
      (columns[0], columns[1], columns[2]), slopes: slopes)
  }

  private init(
    _ form: Form, _ projections: Projections, output: Projection,
    _ columns: (query: HeadColumns, key: HeadColumns, value: HeadColumns), slopes: Tensor? = nil,
    norms: (query: Norm, key: Norm)? = nil
  ) {
    self.projections = projections
    self.output = output
    self.columns = columns
    scale = form.scale ?? 1 / Float(form.headWidth).squareRoot()
    window = form.window
    self.slopes = slopes
    rotation = form.rotation
    keyScale = form.keyScale
    self.norms = norms
    normsHeads = form.norms?.isPerHead ?? false
    state = [
      StateComponent(name: "key", heads: form.keyHeads, channels: form.headWidth, order: .keys),
      StateComponent(name: "value", heads: form.keyHeads, channels: form.headWidth, order: .values),
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    switch projections {
    case .separate(let query, let key, let value, let gate):
      var (queries, keys) = (query(x), key(x))  // [B·T, H W], [B·T, G W]
      if let norms {
        norm(&queries, norms.query, columns.query)
        norm(&keys, norms.key, columns.key)
      }
      if keyScale != 1 { Kernels.scale(&keys, by: keyScale) }
      if let rotation {
        stream.rotate(&queries, columns.query, rotation)
        stream.rotate(&keys, columns.key, rotation)
      }
      var attended = attend(queries, keys, value(x), &state)  // [B·T, H W]
      if let gate { Kernels.multiply(&attended, bySigmoidOf: gate(x)) }
      return output(attended)  // [B·T, D]
    case .joint(let projection):
      var joint = projection(x)  // [B·T, 3 H W]
      if let rotation {
        stream.rotate(&joint, columns.query, rotation)
        stream.rotate(&joint, columns.key, rotation)
      }
      return output(attend(joint, joint, joint, &state))  // [B·T, D]
    }
  }

  /// Norms queries or keys, [B·T, heads · W].
  private func norm(_ rows: inout Tensor, _ norm: Norm, _ heads: HeadColumns) {
    if normsHeads {
      Kernels.rmsNorm(&rows, heads, weight: norm.weight, epsilon: norm.epsilon)
    } else {
      rows = norm(rows)
    }
  }

  /// Remembers the keys and values of the newest T positions, and attends from them to all.
  ///
  /// - Parameters: the rows with queries, keys and values, [B·T, …], rotated already.
  /// - Returns: [B·T, H W].
  private func attend(
    _ queries: Tensor, _ keys: Tensor, _ values: Tensor, _ state: inout PartState
  ) -> Tensor {
    state.sequences[0].append(keys, columns.key)
    state.sequences[1].append(values, columns.value)
    return Kernels.attend(
      queries, columns.query, keys: state.sequences[0], values: state.sequences[1], scale: scale,
      slopes: slopes, window: window)
  }
}
