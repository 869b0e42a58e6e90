import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// A prediction after a prompt, as patching measures it.
struct PatchingOutcome: Sendable, Equatable {
  /// The logit of the answer minus that of the answer that it is compared with; the log-probability of the
  /// answer if there is no other.
  var difference: Double
  /// The probability of the answer.
  var probability: Double

  init(difference: Double, probability: Double) {
    (self.difference, self.probability) = (difference, probability)
  }

  /// The outcomes of logits, [.., V].
  ///
  /// - Throws: `model.nonfinite`.
  static func rows(
    _ logits: Tensor, _ pair: PatchingTokens
  ) throws(Refusal) -> [PatchingOutcome] {
    var outcomes: [PatchingOutcome] = []
    let width = logits.columnCount
    let rows = logits.reshaped([logits.rowCount, width])
    // One row at a time: log-probabilities in f64 are larger than the logits.
    for row in 0..<logits.rowCount {
      let own = rows.rows(row..<row + 1)  // [1, V]
      let found = try LogProbabilities.finiteRows(own)[0]
      let difference =
        pair.against.map { other in
          own.withFloats { Double($0[pair.answer]) - Double($0[other]) }
        } ?? found.values[pair.answer]
      outcomes.append(
        PatchingOutcome(difference: difference, probability: found.probabilities[pair.answer]))
    }
    return outcomes
  }

  /// The mean of some outcomes; nil for none.
  static func mean(_ outcomes: [PatchingOutcome]) -> PatchingOutcome? {
    guard !outcomes.isEmpty else { return nil }
    let count = Double(outcomes.count)
    return PatchingOutcome(
      difference: outcomes.reduce(0) { $0 + $1.difference } / count,
      probability: outcomes.reduce(0) { $0 + $1.probability } / count)
  }
}

/// A run of a model over a prompt, with the values of every block at every token.
///
/// Other runs start from it: at any token, from a fork of its state before the token, and before any block,
/// from its stream there.
struct PatchedRun {
  private let model: any LanguageModel
  /// The prompt, T tokens.
  let tokens: [Int]
  /// What is added to the embedding, [T, D]; nil for nothing.
  private let noise: Tensor?
  /// The stream before each block, and after the last one, of T tokens.
  private(set) var streams: [BlockStream] = []
  /// What parts of blocks add to the stream, [T, D].
  private(set) var parts: [Site: Tensor] = [:]
  /// The state before the token that was last asked for.
  private var walked: State

  /// Runs a prompt.
  ///
  /// - Parameters:
  ///   - tokens: ids below the vocabulary's size.
  ///   - parts: the sites of parts to keep.
  ///   - noise: see above.
  /// - Throws: `system.memory`.
  init(
    _ model: any LanguageModel, _ tokens: [Int], parts: [Site], noise: Tensor? = nil
  ) throws(Refusal) {
    (self.model, self.tokens, self.noise) = (model, tokens, noise)
    walked = model.initialState()
    try Self.check(tokens, of: model, kept: parts.count)
    let recorder = Recorder(parts)
    var stream = try begin(0..<tokens.count)
    var state = walked
    for block in 0..<model.description.layerCount {
      streams.append(stream)
      try model.run(&stream, through: block..<block + 1, &state, tap: recorder)
    }
    streams.append(stream)
    for site in parts { self.parts[site] = recorder.pieces(at: site).first }
  }

  private static func check(
    _ tokens: [Int], of model: any LanguageModel, kept: Int
  ) throws(Refusal) {
    let description = model.description
    // Two runs, each with the stream before every block.
    let count = MemoryBudget.product(
      2, tokens.count, description.layerCount + 1 + kept, description.width, 4)
    try MemoryBudget.check(
      count, for: "the values of every block at \(counted(tokens.count, "token"))",
      remedy: "Shorten the prompts.")
  }

  /// The stream of some tokens before the first block.
  private func begin(_ range: Range<Int>) throws(Refusal) -> BlockStream {
    var stream = try model.begin(
      TokenBatch(Array(tokens[range])), at: range.lowerBound, textLength: tokens.count)
    if let noise { Kernels.add(noise.rows(range), to: &stream.residual) }
    return stream
  }

  /// The stream that enters a block, or leaves the last one, from a token on.
  func stream(before block: Int, from place: Int) -> BlockStream {
    streams[block].suffix(from: place)
  }

  /// The logits after the prompt, [1, V].
  func logits() throws(Refusal) -> Tensor {
    try model.finish(streams[model.description.layerCount])
  }

  /// The state before a token. Asked for in the order of the tokens, each token is read once.
  mutating func state(before place: Int) throws(Refusal) -> State {
    if place < walked.position { walked = model.initialState() }
    if place > walked.position {
      var stream = try begin(walked.position..<place)
      try model.run(&stream, through: 0..<model.description.layerCount, &walked)
    }
    return walked
  }
}
