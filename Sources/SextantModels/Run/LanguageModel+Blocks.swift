import SextantBytes
import SextantTensor

/// Runs that their caller takes through the blocks, to go back to a place between two of them.
///
/// `run(_:from:)` is `begin`, `run(_:through:_:)` over all blocks, and `finish`. A stream that was
/// kept between two blocks continues from there with the same bits, so that the earlier blocks are
/// not run again for every edit.
extension LanguageModel {
  /// The stream of tokens before the first block.
  ///
  /// - Parameters:
  ///   - tokens: ids below the vocabulary's size. All of them run as one piece.
  ///   - position: the position of the first token, that of the state that the blocks will get.
  ///   - textLength: tokens of the text, those that come in later pieces included; nil if these are
  ///     the last ones. The rotation of some models depends on it.
  /// - Throws: `model.text-length` for such a model; the errors of `tap`.
  public func begin(
    _ tokens: TokenBatch, at position: Int, textLength: Int? = nil, tap: (any Tap)? = nil
  ) throws(Refusal) -> BlockStream {
    if textLength == nil { try checkRotation(position..<position + tokens.length) }
    let starts = Array(repeating: position, count: tokens.batch)
    return try begin(tokens, at: starts, textLength: textLength, tap: tap)
  }

  /// The stream of tokens that continue the sequences of a state, which may have read different numbers
  /// of tokens. All of them run as one piece.
  ///
  /// - Throws: `model.text-length`.
  package func begin(_ tokens: TokenBatch, after state: State) throws(Refusal) -> BlockStream {
    for start in Set(state.positions) { try checkRotation(start..<start + tokens.length) }
    return try begin(tokens, at: state.positions, textLength: nil, tap: nil)
  }

  /// The stream of sequences that may start at different positions, [B] of them.
  func begin(
    _ tokens: TokenBatch, at starts: [Int], textLength: Int? = nil, tap: (any Tap)?
  ) throws(Refusal) -> BlockStream {
    description.context?.reads(to: (starts.max() ?? 0) + tokens.length)
    var stream = embed(tokens, at: starts, textLength: textLength)
    try Pass(stream, tap).visit(.embedding, &stream.residual)
    return stream
  }

  /// Takes a stream through some of the blocks, in order.
  ///
  /// - Parameters:
  ///   - blocks: the first is the next block of the stream.
  ///   - state: the state of every block before the stream's tokens. Those of `blocks` are advanced;
  ///     the position is when the last block of the model has run.
  /// - Throws: `model.state` for a state of another batch or position; the errors of `tap`.
  public func run(
    _ stream: inout BlockStream, through blocks: Range<Int>, _ state: inout State,
    tap: (any Tap)? = nil
  ) throws(Refusal) {
    guard state.positions == stream.starts else {
      throw Refusal(
        .modelState, found: "a state of sequences at \(state.positions)",
        expected: "sequences at \(stream.starts)")
    }
    let pass = Pass(stream, tap)
    for index in blocks {
      try pass.visit(.input(block: index), &stream.residual)
      try run(block: index, on: &stream, &state, pass)
      try pass.visit(.output(block: index), &stream.residual)
    }
    if blocks.upperBound >= description.layerCount {
      state.positions = stream.starts.map { $0 + stream.length }
    }
  }

  /// The logits of a stream that has passed all blocks.
  ///
  /// - Returns: [B·S, V], S positions per sequence, selected by `logits`.
  /// - Throws: the errors of `tap`.
  public func finish(
    _ stream: BlockStream, logits: LogitSelection = .last, tap: (any Tap)? = nil
  ) throws(Refusal) -> Tensor {
    try Pass(stream, tap).logits(of: stream.residual, logits, readout)
  }
}
