import SextantBytes
import SextantStore
import SextantTensor

extension RWKV {
  /// The inputs of a mixing, with each token's predecessor.
  struct Shifted {
    private let present: Tensor  // [B·T, D]
    private let past: Tensor  // [B·T, D]

    /// - Parameter state: [B, D], the input before the first token; afterwards the last.
    init(_ x: Tensor, state: inout Tensor, batch: Int) {
      present = x
      past = Kernels.shiftInTime(x, state: &state, batch: batch)
    }

    /// share · present + (1 - share) · past: RWKV-4 and 5. `share` is [D]; the result [B·T, D].
    func mixed(presentShare share: Tensor) -> Tensor {
      Kernels.interpolate(from: past, to: present, by: share)
    }

    /// present + share · (past - present): RWKV-6 and 7. `share` is [D] or [B·T, D].
    func mixed(pastShare share: Tensor) -> Tensor {
      Kernels.interpolate(from: present, to: past, by: share)
    }
  }

  /// The channel mixing of RWKV-4, 5 and 6: a perceptron with squared ReLU behind a gate.
  struct ChannelMix: Sendable {
    private let keyShare: Tensor  // [D]
    private let receptanceShare: Tensor  // [D]
    private let sharesPast: Bool
    private let key: Tensor  // [F, D]
    private let receptance: Tensor  // [D, D]
    private let value: Tensor  // [D, F]

    /// - Parameters:
    ///   - block: the prefix of the block's tensors, with its dot.
    ///   - shares: the prefix of the two mixing vectors.
    ///   - sharesPast: whether they are shares of the past, or of the present.
    init(_ weights: StoredWeights, block: String, shares: String, sharesPast: Bool) {
      keyShare = weights.vector("\(block)ffn.\(shares)_k")
      receptanceShare = weights.vector("\(block)ffn.\(shares)_r")
      self.sharesPast = sharesPast
      key = weights.matrix(block + "ffn.key.weight")
      receptance = weights.matrix(block + "ffn.receptance.weight")
      value = weights.matrix(block + "ffn.value.weight")
    }

    /// The tensors of a block, under the same prefix.
    static func specs(_ sizes: Sizes, block: String, shares: String) -> [WeightSpec] {
      let (d, f) = (sizes.width, sizes.innerWidth)
      return [
        WeightSpec("\(block)ffn.\(shares)_k", [d]), WeightSpec("\(block)ffn.\(shares)_r", [d]),
        WeightSpec(block + "ffn.key.weight", [f, d], .matrix),
        WeightSpec(block + "ffn.receptance.weight", [d, d], .matrix),
        WeightSpec(block + "ffn.value.weight", [d, f], .matrix),
      ]
    }

    /// [B·T, D] to [B·T, D].
    func callAsFunction(_ x: Tensor, _ state: inout Tensor, batch: Int) -> Tensor {
      let shifted = Shifted(x, state: &state, batch: batch)
      let mixed = { share in
        sharesPast ? shifted.mixed(pastShare: share) : shifted.mixed(presentShare: share)
      }
      var inner = Linear.apply(mixed(keyShare), weight: key)  // [B·T, F]
      Kernels.squaredReLU(&inner)
      var gate = Linear.apply(mixed(receptanceShare), weight: receptance)  // [B·T, D]
      Kernels.sigmoid(&gate)
      var mixedChannels = Linear.apply(inner, weight: value)  // [B·T, D]
      Kernels.multiply(&mixedChannels, by: gate)
      return mixedChannels
    }
  }

  /// The mixing of one block, in which the versions differ.
  protocol Block: Sendable {
    /// The addition of the time mixing to the stream.
    ///
    /// - Parameters:
    ///   - x: [B·T, D], normed.
    ///   - state: the block's components: `time_shift` first, `channel_shift` last.
    ///   - stream: the origin of x; RWKV-7 leaves the values of block 0 in it.
    func mixTime(_ x: Tensor, _ state: inout [Tensor], _ stream: inout BlockStream) -> Tensor

    /// The addition of the channel mixing to the stream.
    ///
    /// - Parameters:
    ///   - x: [B·T, D], normed.
    ///   - shift: [B, D].
    func mixChannels(_ x: Tensor, _ shift: inout Tensor, batch: Int) -> Tensor

    /// The factor by which each token keeps the component `wkv`, [D], by head and key; nil if it
    /// depends on the token.
    var keyDecay: Tensor? { get }

    /// A copy without the bonus: the output of its time mixing comes from the state alone.
    var readingStateOnly: Self? { get }

    /// The addition to the stream of values read from the state, [M, D] to [M, D].
    func output(ofRead values: Tensor) -> Tensor?
  }

  /// The state of a block: the last inputs of the two mixings, and the components between them.
  static func state(_ sizes: Sizes, recurrent: [StateComponent]) -> [StateComponent] {
    let shift = { StateComponent(name: $0, shape: [sizes.width], axes: ["channel"]) }
    return [shift("time_shift")] + recurrent + [shift("channel_shift")]
  }

  /// A model made of such blocks.
  final class Model<B: Block>: RetainingModel {
    private struct Layer: Sendable {
      let timeNorm: Norm
      let channelNorm: Norm
      let block: B
    }

    let description: ModelDescription
    private let embedding: Tensor  // [V, D]
    private let embeddingNorm: Norm
    private let layers: [Layer]
    let readout: Readout

    init(
      _ architecture: String, _ store: ModelStore, _ weights: StoredWeights, _ sizes: Sizes,
      state: [StateComponent], block: (_ index: Int) -> B
    ) {
      let norm = { (name: String, block: Int) in
        Norm.layer(weights, name, epsilon: sizes.epsilon(ofBlock: block))
      }
      description = ModelDescription(
        architecture: architecture, width: sizes.width, layerCount: sizes.layerCount,
        vocabularySize: sizes.vocabularySize, identity: store.identity, variant: store.variant,
        blockParts: ["time_mix", "channel_mix"],
        stateLayout: Array(repeating: state, count: sizes.layerCount))
      embedding = weights.matrix("embedding.weight")
      embeddingNorm = norm("blocks.0.ln0", 0)
      layers = (0..<sizes.layerCount).map { index in
        Layer(
          timeNorm: norm("blocks.\(index).ln1", index),
          channelNorm: norm("blocks.\(index).ln2", index),
          block: block(index))
      }
      readout = Readout(
        norm: norm("final_norm", sizes.layerCount),
        head: sizes.tiesEmbeddings ? embedding : weights.matrix(tiedPair.head))
    }

    func output(ofRead values: Tensor, block: Int) -> Tensor? {
      layers[block].block.output(ofRead: values)
    }

    func embed(
      _ tokens: TokenBatch, at position: Int, textLength: Int
    ) -> BlockStream {
      var stream = BlockStream(tokens, at: position, embedding: embedding)
      // The published codes count this norm as part of block 0; it is before the stream.
      stream.residual = embeddingNorm(stream.residual)
      return stream
    }

    func run(
      block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
    ) throws(Refusal) {
      let layer = layers[index]
      let timeInput = layer.timeNorm(stream.residual)  // [B·T, D]
      if let reading = layer.block.readingStateOnly {
        try pass.show(memoryOf: index) {
          var (copy, ownStream) = (state.tensors[index], stream)
          return reading.mixTime(timeInput, &copy, &ownStream)  // [B·T, D]
        }
      }
      var mixed = layer.block.mixTime(timeInput, &state.tensors[index], &stream)  // [B·T, D]
      try pass.add(mixed, of: "time_mix", in: index, to: &stream)
      let channelInput = layer.channelNorm(stream.residual)  // [B·T, D]
      let last = state.tensors[index].count - 1
      mixed = layer.block.mixChannels(  // [B·T, D]
        channelInput, &state.tensors[index][last], batch: stream.batch)
      try pass.add(mixed, of: "channel_mix", in: index, to: &stream)
    }

    func retention(
      of component: String, block index: Int, reading stream: BlockStream, _ state: State
    ) -> Retention? {
      switch component {
      case "time_shift", "channel_shift": return .overwritten
      case "wkv":
        guard let decay = layers[index].block.keyDecay,
          let shape = state.layout[index].first(where: { $0.name == component })?.shape
        else { return nil }
        let rows = decay.values.flatMap { Array(repeating: $0, count: shape[2]) }  // [H · N · N]
        let length = stream.positions.count
        return .factors(
          Tensor((0..<length).flatMap { _ in rows }, shape: [length] + shape))
      default: return nil
      }
    }
  }
}

extension RWKV.Block {
  /// Versions 4, 6 and 7 decay by the token, or keep no plain sums.
  var keyDecay: Tensor? { nil }

  /// None: RWKV-4 keeps averages, which only a quotient reads.
  var readingStateOnly: Self? { nil }

  /// None.
  func output(ofRead values: Tensor) -> Tensor? { nil }
}
