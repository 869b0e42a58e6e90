import SextantBytes
import SextantStore
import SextantTensor

extension LanguageModel {
  /// Reads one token of each of several sequences, which may have read different numbers of tokens
  /// and have taps of their own.
  ///
  /// The numbers of a sequence have the same bits for any other sequences beside it. A sequence whose
  /// tap throws does not disturb the others: its own result is the error.
  ///
  /// - Parameters:
  ///   - tokens: one id for each sequence, [B].
  ///   - state: of the sequences. It is advanced by one token; of a sequence that failed, it is
  ///     incomplete: leave it out with `State.selecting`.
  ///   - taps: of each sequence, [B]; empty for none. Each sees its own sequence as a batch of one.
  /// - Returns: the logits of each sequence, [V], or the error of its tap.
  /// - Throws: before anything is computed, `model.token` and `model.state`, as `run`.
  package func step(
    _ tokens: [Int], from state: inout State, taps: [(any Tap)?] = []
  ) throws(Refusal) -> [Result<Tensor, Refusal>] {
    precondition(taps.isEmpty || taps.count == tokens.count, "a tap for each sequence, or none")
    let batch = TokenBatch(tokens.map { [$0] })
    try check(batch, state)
    let starts = state.positions
    let rows = RowTaps(taps, tokens, at: starts)
    visitStates(&state, .before, batch, rows)
    let tap: (any Tap)? = rows.isEmpty ? nil : rows
    var stream = try begin(batch, at: starts, tap: tap)
    try run(&stream, through: 0..<description.layerCount, &state, tap: tap)
    let logits = try finish(stream, logits: .all, tap: tap)  // [B, V]
    visitStates(&state, .after, batch, rows)
    return rows.failures.enumerated().map { row, failure in
      if let failure { return .failure(failure) }
      return .success(logits.rows(row..<row + 1).reshaped([description.vocabularySize]))
    }
  }

  /// Shows the state of each sequence to its tap, if that visits it.
  private func visitStates(
    _ state: inout State, _ moment: StateMoment, _ tokens: TokenBatch, _ rows: RowTaps
  ) {
    for row in rows.visitors(of: moment) {
      var own = state.selecting([row])
      rows.run(row) { tap throws(Refusal) in
        try visitState(
          &own, moment, TokenBatch(tokens.sequences[row]), state.positions[row] - moment.offset, tap
        )
      }
      state.replace(row, by: own)
    }
  }
}

extension StateMoment {
  /// Tokens between the one that is visited and the next one that the state will read.
  fileprivate var offset: Int { self == .after ? 1 : 0 }
}

/// The taps of the sequences of a step: each sees its own row as a batch of one sequence.
private final class RowTaps: Tap {
  private let taps: [(any Tap)?]
  private let tokens: [Int]
  private let starts: [Int]
  private let visits: [StateVisits]
  /// The errors of taps, by row. A tap that failed is not called again.
  private(set) var failures: [Refusal?]

  init(_ taps: [(any Tap)?], _ tokens: [Int], at starts: [Int]) {
    (self.taps, self.tokens, self.starts) = (taps, tokens, starts)
    failures = Array(repeating: nil, count: tokens.count)
    visits = zip(taps, starts).map { tap, start in
      tap?.stateVisits(in: start..<start + 1) ?? StateVisits()
    }
  }

  /// Whether there is no tap.
  var isEmpty: Bool { taps.allSatisfy { $0 == nil } }

  /// The rows whose taps visit the state before or after the token.
  func visitors(of moment: StateMoment) -> [Int] {
    visits.indices.filter { row in
      let own = moment == .before ? visits[row].before : visits[row].after
      return own.contains(starts[row])
    }
  }

  /// Calls `body` with the tap of a row, unless that failed before.
  func run(_ row: Int, _ body: (any Tap) throws(Refusal) -> Void) {
    guard let tap = taps[row], failures[row] == nil else { return }
    do throws(Refusal) { try body(tap) } catch { failures[row] = error }
  }

  func wants(_ site: Site) -> Bool { taps.contains { $0?.wants(site) ?? false } }

  /// Shows each tap its row of a value, [B, n].
  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    for row in taps.indices {
      run(row) { tap throws(Refusal) in
        guard tap.wants(site) else { return }
        var own = value.rows(row..<row + 1)  // [1, n]
        let shown = own
        try tap.visit(
          site, &own,
          TapContext(batch: 1, positions: starts[row]..<starts[row] + 1, tokens: [[tokens[row]]]))
        try Pass.check(own, at: site, shown.shape)
        // Here, and not for all rows together, so that the other sequences are not disturbed.
        guard !site.isReadOnly || own == shown else { throw Refusal(readOnly: site) }
        value.replace(row, by: own)
      }
    }
  }
}
