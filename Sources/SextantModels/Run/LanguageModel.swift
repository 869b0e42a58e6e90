import SextantBytes
import SextantStore
import SextantTensor

/// The positions of a run for which logits are computed: logits cost as much time as many blocks.
public enum LogitSelection: Sendable {
  /// None.
  case none
  /// The last position of each sequence.
  case last
  /// Every position.
  case all
}

/// Token ids of a batch of sequences of equal length.
public struct TokenBatch: Sendable, Equatable {
  /// [B][T].
  public let sequences: [[Int]]

  /// A batch of sequences, all of one length.
  public init(_ sequences: [[Int]]) {
    precondition(
      sequences.allSatisfy { $0.count == sequences[0].count }, "sequences of unequal length")
    self.sequences = sequences
  }

  /// One sequence.
  public init(_ tokens: [Int]) {
    sequences = [tokens]
  }

  /// Sequences, B.
  public var batch: Int { sequences.count }
  /// Tokens of each sequence, T.
  public var length: Int { sequences.first?.count ?? 0 }

  /// The tokens ordered by sequence, then by position, [B·T].
  var flattened: [Int] { sequences.flatMap { $0 } }

  /// The tokens at `range` of every sequence.
  func slice(_ range: Range<Int>) -> TokenBatch { TokenBatch(sequences.map { Array($0[range]) }) }
}

/// A language model: tokens in, logits out, with every site open to a tap.
///
/// In all models, blocks read a stream and add to it. An architecture defines how tokens enter the
/// stream, the addition of a block, and how logits leave the stream. Prefill and decode are one
/// code path with different T. A run changes only the state that it is given, so that one model can
/// run any number of sequences.
public protocol LanguageModel: AnyObject, Sendable {
  /// The description of the model.
  var description: ModelDescription { get }

  /// Makes logits from the stream that leaves the last block; a lens applies it to other blocks.
  var readout: Readout { get }

  /// The stream before the first block.
  ///
  /// - Parameters:
  ///   - starts: the position of the first token of each sequence, [B].
  ///   - textLength: tokens of the whole text of each sequence, those of earlier and later pieces
  ///     included; nil if each ends with these tokens.
  func embed(_ tokens: TokenBatch, at starts: [Int], textLength: Int?) -> BlockStream

  /// Runs one block. `pass.add` shows its output to the tap, and adds it to the stream.
  ///
  /// - Parameter state: of every block; this one's part is advanced by T tokens.
  /// - Throws: the errors of the tap.
  func run(
    block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
  ) throws(Refusal)

  /// The additions to the stream by values that are read from a block's recurrent state: through
  /// the norm that follows the reading, without its bias, and the output projection; no token gates
  /// them.
  ///
  /// - Parameter values: [M, heads · values of a head]: channels of `ssm`, values of `wkv`.
  /// - Returns: [M, D]; nil if the model has no such state.
  func output(ofRead values: Tensor, block: Int) -> Tensor?
}

extension LanguageModel {
  /// None.
  public func output(ofRead values: Tensor, block: Int) -> Tensor? { nil }
}

extension LanguageModel {
  /// The state before the first token of `batch` sequences.
  public func initialState(batch: Int = 1) -> State {
    State(blocks: description.blocks, batch: batch)
  }

  /// Runs T tokens of B sequences from `state`, which is advanced by T.
  ///
  /// Long inputs are split into pieces, so that memory does not grow with T, and at the moments at
  /// which the tap visits the state. The splits change no bit, nor do other sequences in the batch: each
  /// sum is taken in one order. There is one exception, models whose rotation depends on the length of
  /// the text.
  ///
  /// If a model's rotation depends on the length of the text, it is the length at the end of this
  /// run.
  ///
  /// - Parameters:
  ///   - chunk: tokens of a piece at most, over all sequences.
  /// - Returns: logits [B, S, V], S positions per sequence, selected by `logits`.
  /// - Throws: before anything is computed, `model.token` for ids outside the vocabulary,
  ///   `model.state` for a state of another batch or model, or of sequences that have read
  ///   different numbers of tokens, and `system.memory`;
  ///   `model.text-length`; and the errors of `tap`: the state is then incomplete; discard it.
  public func run(
    _ tokens: TokenBatch, from state: inout State, logits: LogitSelection = .last,
    tap: (any Tap)? = nil, chunk: Int = 512
  ) throws(Refusal) -> Tensor {
    try check(tokens, state)
    try checkEvenness(state)
    try checkMemory(tokens, logits)
    let (start, end) = (state.position, state.position + tokens.length)
    try checkRotation(start..<end)
    let visits = tap?.stateVisits(in: start..<end) ?? StateVisits()
    let pieceLength = max(1, chunk / max(tokens.batch, 1))
    var pieces: [Tensor] = []  // each [B·S, V]
    while state.position < end {
      let first = state.position
      if visits.before.contains(first) {
        try visitState(&state, .before, tokens.slice(first - start..<first - start + 1), first, tap)
      }
      let stop =
        (first + 1..<end).first { visits.before.contains($0) || visits.after.contains($0 - 1) }
      let next = min(stop ?? end, first + pieceLength)
      let selection: LogitSelection = if case .last = logits, next < end { .none } else { logits }
      var stream = try begin(
        tokens.slice(first - start..<next - start), at: first, textLength: end, tap: tap)
      try run(&stream, through: 0..<description.layerCount, &state, tap: tap)
      let piece = try finish(stream, logits: selection, tap: tap)  // [B·S, V]
      if piece.count > 0 { pieces.append(piece) }
      if visits.after.contains(next - 1) {
        try visitState(&state, .after, tokens.slice(next - 1 - start..<next - start), next - 1, tap)
      }
    }
    return joined(pieces, batch: tokens.batch)
  }

  /// How many sequences of one length run together at most, so that memory is bounded: short ones of a
  /// thousand tokens in all, or 16 long ones.
  package func sequencesAtOnce(_ wanted: Int, length: Int) -> Int {
    min(max(wanted, 1), max(1, 1024 / min(max(length, 1), 64)))
  }

  /// Refuses to continue a text in a way that is ambiguous.
  ///
  /// Above a length the rotation of some models depends on the length of the whole text. Keys that
  /// were read before keep the rotation of that time, so that several tokens that are added in one
  /// run would give other values than the whole text in one run. Decoding adds a single token;
  /// transformers computes it in the same way.
  ///
  /// - Parameter run: the positions of a whole run.
  /// - Throws: `model.text-length`.
  func checkRotation(_ run: Range<Int>) throws(Refusal) {
    guard let limit = description.rotationLength, run.upperBound > limit, run.lowerBound > 0,
      run.count > 1
    else { return }
    throw Refusal(
      .modelTextLength, found: "\(counted(run.count, "token")) after \(run.lowerBound)",
      expected: "texts of at most \(counted(limit, "token")), or one token at a time")
  }

  /// Shows the state's components to the tap.
  func visitState(
    _ state: inout State, _ moment: StateMoment, _ tokens: TokenBatch, _ position: Int,
    _ tap: (any Tap)?
  ) throws(Refusal) {
    guard let tap else { return }
    let context = TapContext(
      batch: state.batch, positions: position..<position + 1, stateMoment: moment,
      tokens: tokens.sequences)
    for site in state.sites where tap.wants(site) {
      guard var value = state.component(site) else { continue }
      try tap.visit(site, &value, context)
      try state.setComponent(site, to: value)
    }
  }

  /// Refuses a run whose logits and keys and values would not fit into memory.
  private func checkMemory(
    _ tokens: TokenBatch, _ logits: LogitSelection
  ) throws(Refusal) {
    let rows = MemoryBudget.product(tokens.batch, tokens.length)
    let grown = description.stateLayout.joined().filter(\.grows).reduce(0) { sum, component in
      sum + component.shape.reduce(1, *)
    }
    let logitRows = if case .all = logits { rows } else { 0 }
    // Pieces of logits, and the whole that they are joined to.
    let bytes = MemoryBudget.sum([
      MemoryBudget.product(rows, grown, 4),
      MemoryBudget.product(2, logitRows, description.vocabularySize, 4),
    ])
    let what = logitRows > 0 ? "the logits" : "the keys and values"
    try MemoryBudget.check(
      bytes, for: "\(what) of \(counted(rows, "token"))",
      remedy: "Read less text at a time" + (logitRows > 0 ? ", or leave the logits out." : "."))
  }

  /// Refuses sequences that have read different numbers of tokens.
  private func checkEvenness(_ state: State) throws(Refusal) {
    guard state.isEven else {
      throw Refusal(
        .modelState, found: "sequences at the positions \(state.positions)",
        expected: "sequences at one position, or one token of each at a time")
    }
  }

  func check(_ tokens: TokenBatch, _ state: State) throws(Refusal) {
    guard state.blocks == description.blocks, state.batch == tokens.batch, state.isComplete
    else {
      throw Refusal(
        .modelState,
        found:
          "a state of \(counted(state.batch, "sequence")), \(counted(state.blocks.count, "block"))",
        expected:
          "\(counted(tokens.batch, "sequence")), \(counted(description.layerCount, "block")) of this model"
      )
    }
    for (row, sequence) in tokens.sequences.enumerated() {
      for (place, token) in sequence.enumerated()
      where token < 0 || token >= description.vocabularySize {
        throw Refusal(
          .modelToken, found: "id \(token) at position \(state.positions[row] + place)",
          expected: "0 to \(description.vocabularySize - 1)")
      }
    }
  }

  /// Joins pieces [B·S_i, V] to [B, ΣS_i, V].
  private func joined(_ pieces: [Tensor], batch: Int) -> Tensor {
    let width = description.vocabularySize
    let rows = pieces.reduce(0) { $0 + $1.shape[0] }
    if pieces.count <= 1 || batch == 1 {
      return Tensor.concatenated(pieces).reshaped([batch, batch == 0 ? 0 : rows / batch, width])
    }
    var ordered: [Tensor] = []
    for sequence in 0..<batch {
      for piece in pieces {
        let perSequence = piece.shape[0] / batch
        ordered.append(piece.rows(sequence * perSequence..<(sequence + 1) * perSequence))
      }
    }
    return Tensor.concatenated(ordered).reshaped([batch, rows / batch, width])
  }
}
