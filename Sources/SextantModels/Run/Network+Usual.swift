import SextantTensor

/// The sizes that the configurations of all families have.
protocol NetworkSizes {
  /// The width of the residual stream, D.
  var width: Int { get }
  /// The number of blocks, L.
  var layerCount: Int { get }
  /// The rows of the embedding, V.
  var vocabularySize: Int { get }
  /// The number that norms add to the mean square or the variance.
  var normEpsilon: Double { get }
  /// Whether the output head is the embedding.
  var tiesEmbeddings: Bool { get }
}

extension Network {
  /// A model of an embedding, blocks, a final norm and an output head.
  ///
  /// - Parameters:
  ///   - finalNorm: the final norm, if it is another one than the RMS norm `final_norm`.
  ///   - logitScale: the factor of the logits.
  ///   - block: a block by its number and its weights.
  init(
    _ sizes: some NetworkSizes, _ weights: WeightSource, embeddingScale: Float? = nil,
    rotations: [RotaryEmbedding] = [], contextLength: Int? = nil,
    finalNorm: ((_ weights: WeightSource) -> Norm)? = nil, logitScale: Float = 1,
    block: (_ index: Int, _ weights: WeightSource) -> Block
  ) {
    let embedding = weights.embedding(sizes.vocabularySize, sizes.width)
    let blocks = (0..<sizes.layerCount).map { block($0, weights.under("blocks.\($0)")) }
    let norm =
      finalNorm?(weights)
      ?? weights.rmsNorm("final_norm", sizes.width, epsilon: sizes.normEpsilon)
    self.init(
      embedding: embedding, embeddingScale: embeddingScale, rotations: rotations, blocks: blocks,
      readout: Readout(norm: norm, sizes, weights, embedding: embedding, scale: logitScale),
      contextLength: contextLength)
  }
}

extension Readout {
  /// A readout with the model's output head.
  ///
  /// - Parameter embedding: the embedding, [V, D], which is the head if the two are tied.
  init(
    norm: Norm, _ sizes: some NetworkSizes, _ weights: WeightSource, embedding: Tensor,
    scale: Float = 1
  ) {
    let head = weights.head(
      sizes.vocabularySize, sizes.width, tiedTo: sizes.tiesEmbeddings ? embedding : nil)
    self.init(norm: norm, head: head, scale: scale)
  }
}
