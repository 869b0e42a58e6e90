extension Site {
  /// The part of a block's output that comes from the recurrent state alone: the value that the
  /// mixing would add to the stream if the token reached its own output through the state alone.
  ///
  /// Shown to taps, and not used otherwise. Shape per token: [D].
  public static func memory(block: Int) -> Site { .part(block: block, name: "memory") }
}

extension ModelDescription {
  /// The memories of all blocks; none if a model has no recurrent state to read so.
  public var memorySites: [SiteDescription] {
    guard ["mamba", "mamba2", "rwkv5", "rwkv6", "rwkv7"].contains(architecture) else { return [] }
    return (0..<layerCount).map {
      SiteDescription(site: .memory(block: $0), shape: [width], axes: ["channel"])
    }
  }
}
