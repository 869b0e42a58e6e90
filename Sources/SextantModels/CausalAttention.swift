import SextantTensor

/// The common parts of attention blocks: their state, and how it is read.
///
/// The state of a block is the keys and values of every position so far. Keys are kept as they are
/// read: rotated by their own position, if the model has rotary position embedding.
struct CausalAttention: Sendable {
  /// Query heads, H.
  let heads: Int
  /// Key and value heads, which divide the query heads evenly.
  let keyHeads: Int
  /// Channels of a head.
  let width: Int
  /// The factor of scores.
  let scale: Float
  /// The number of positions that a token attends to, including its own; nil for all.
  var window: Int?
  /// Slopes of the linear bias, [H].
  var slopes: Tensor?

  /// The components of a block's state, in the order that `attend` expects.
  static func state(keyHeads: Int, width: Int) -> [StateComponent] {
    [
      StateComponent(name: "key", heads: keyHeads, channels: width, order: .keys),
      StateComponent(name: "value", heads: keyHeads, channels: width, order: .values),
    ]
  }

  /// Remembers the keys and values of the newest T positions, and attends from them to all.
  ///
  /// - Parameters:
  ///   - query: [B·T, …], and the positions of a row's H heads.
  ///   - key: [B·T, …], and the positions of a row's key heads; already rotated.
  ///   - value: likewise.
  ///   - state: the components of `state`.
  /// - Returns: [B·T, H·width].
  func attend(
    query: (rows: Tensor, layout: HeadColumns), key: (rows: Tensor, layout: HeadColumns),
    value: (rows: Tensor, layout: HeadColumns), _ state: inout [PagedRows]
  ) -> Tensor {
    state[0].append(key.rows, key.layout)
    state[1].append(value.rows, value.layout)
    return Kernels.attend(
      query.rows, query.layout, keys: state[0], values: state[1], scale: scale, slopes: slopes,
      window: window)
  }
}
