import SextantBytes

/// A reference to a model, sufficient to check whether an artifact fits another model.
public struct ModelReference: Sendable, Equatable {
  /// The architecture's name.
  public var architecture: String
  /// The model's identity, which quantising keeps.
  public var identity: Digest
  /// How the weights were stored: `source`, or the type that they were converted to.
  public var weights: String
  /// The width of the residual stream.
  public var width: Int
  /// The number of blocks.
  public var layerCount: Int
  /// The digest of the tokenizer's file; nil if the model was run on token ids.
  public var tokenizer: Digest?

  /// Describes a model.
  public init(
    architecture: String, identity: Digest, weights: String, width: Int, layerCount: Int,
    tokenizer: Digest?
  ) {
    self.architecture = architecture
    self.identity = identity
    self.weights = weights
    self.width = width
    self.layerCount = layerCount
    self.tokenizer = tokenizer
  }
}
