/// The mixer of a block, in models where attention to all positions and attention within a window
/// take turns.
enum AttentionBlock: String, LayerKind {
  /// To all positions.
  case attention
  /// To the newest positions.
  case window

  /// The names in published configurations.
  static let published: [String: AttentionBlock] = [
    "full_attention": .attention, "sliding_attention": .window,
  ]

  /// Every n-th block attends to all positions.
  static func every(_ interval: Int, of count: Int) -> [AttentionBlock] {
    (0..<count).map { ($0 + 1) % interval == 0 ? .attention : .window }
  }
}
