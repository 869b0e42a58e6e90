import SextantBytes
import SextantStore
import SextantTensor

/// The weights of a model as values that compute: what a model of any architecture consists of.
package struct Network: Sendable {
  /// The rows of the tokens, [V, D].
  var embedding: Tensor
  /// The factor of these rows; nil if the stream begins with them as they are.
  var embeddingScale: Float? = nil
  /// A norm between these rows and the stream.
  var embeddingNorm: Norm? = nil
  /// How heads of attention turn: `Attention.Form.rotation` chooses one for each block.
  var rotations: [RotaryEmbedding] = []
  /// The blocks in order.
  var blocks: [Block]
  /// Makes logits from the stream that leaves the last block.
  var readout: Readout
  /// The length of the texts that the model was made for; nil if it has no limit.
  var contextLength: Int? = nil
}

/// A model that runs: one class for all architectures.
final class NetworkModel: RetainingModel {
  let description: ModelDescription
  private let network: Network

  init(_ network: Network, of architecture: any Architecture.Type, _ store: ModelStore) {
    self.network = network
    description = ModelDescription(
      architecture: architecture.name, width: network.embedding.columnCount,
      vocabularySize: network.embedding.rowCount, identity: store.identity,
      variant: store.variant, blocks: network.blocks.map(\.description),
      context: network.contextLength.map { ContextLimit($0) },
      rotationLength: network.rotations.compactMap(\.scaling.lengthLimit).min())
  }

  var readout: Readout { network.readout }

  func embed(_ tokens: TokenBatch, at starts: [Int], textLength: Int?) -> BlockStream {
    var stream = BlockStream(tokens, at: starts, embedding: network.embedding)
    // Sequences that start together share their angles.
    let sequences = Set(starts).count > 1 ? Array(starts.indices) : [0]
    stream.angles = network.rotations.map { rotation in
      let angles = sequences.compactMap { sequence in
        let positions = stream.positions(ofSequence: sequence)
        return rotation.angles(positions, textLength: textLength ?? positions.upperBound)
      }
      guard angles.count > 1 else { return angles.first }
      return (
        Tensor.concatenated(angles.map(\.cosines)), Tensor.concatenated(angles.map(\.sines))
      )
    }
    if let scale = network.embeddingScale { Kernels.scale(&stream.residual, by: scale) }
    if let norm = network.embeddingNorm { stream.residual = norm(stream.residual) }
    return stream
  }

  func run(
    block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
  ) throws(Refusal) {
    try network.blocks[index].run(index, on: &stream, &state.parts[index], pass)
  }

  func output(ofRead values: Tensor, block: Int) -> Tensor? {
    network.blocks[block].output(ofRead: values)
  }

  func retention(
    of component: String, block index: Int, reading stream: BlockStream, _ state: State
  ) -> Retention? {
    network.blocks[index].retention(of: component, reading: stream, state.parts[index])
  }
}
