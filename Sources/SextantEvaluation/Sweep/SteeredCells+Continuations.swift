import SextantBytes
import SextantGeneration
import SextantModels

/// The second step: the tokens of a continuation after its first.
extension SteeredCells {
  /// Tokens of a continuation that run together, at most, so that memory for logits is bounded.
  private static let pieceLimit = 64

  /// Continuations of one length, of several tokens.
  struct Continuations {
    /// For each, the item, and its place among the continuations of the item.
    let places: [(item: Int, continuation: Int)]
    /// Their tokens.
    let tokens: [[Int]]
    /// All tokens except the last, from which nothing is predicted.
    let passage: Passage
  }

  /// The sums before anything is added, one for each continuation; nil if each is one token.
  static func noSums(_ item: ChoiceTest.Tokens) -> [Double]? {
    item.longestContinuation > 1 ? Array(repeating: 0, count: item.continuations.count) : nil
  }

  /// Runs the continuations of several tokens without steering.
  ///
  /// - Parameters:
  ///   - state: after the prompts, of all items.
  ///   - sums: of each item, the log-probabilities of the tokens after the first are added to these.
  func continuations(
    of items: [ChoiceTest.Tokens], _ reading: Reading, after state: State,
    _ sums: inout [[Double]?]
  ) throws(Refusal) -> [Continuations] {
    let places = items.indices.flatMap { item in
      items[item].continuations.indices.map { (item: item, continuation: $0) }
    }
    let lengths = places.map { items[$0.item].continuations[$0.continuation].count }
    var groups: [Continuations] = []
    for batch in RunBatch.batches(of: lengths, limit: pieceBatch) where batch.shape > 1 {
      let places = batch.members.map { places[$0] }
      let tokens = places.map { items[$0.item].continuations[$0.continuation] }
      var end = state.selecting(places.map(\.item))
      let passage = try passage(
        tokens.map { Array($0.dropLast()) },
        pieces(of: 0..<batch.shape - 1, reading, limit: Self.pieceLimit), from: &end
      ) { piece, stream throws(Refusal) in
        let found = try predicted(tokens, piece, stream)
        for (place, sum) in zip(places, found) { sums[place.item]?[place.continuation] += sum }
      }
      groups.append(Continuations(places: places, tokens: tokens, passage: passage))
    }
    return groups
  }

  /// Runs the continuations of several tokens steered, from the first block that is edited.
  ///
  /// - Parameters:
  ///   - block: the first block that the cells of the rows edit.
  ///   - rows: items, and how each is steered.
  ///   - states: after the prompts, of the rows: of each block from that one on.
  ///   - sums: of each row, the log-probabilities of the tokens after the first are added to these.
  func steer(
    _ block: Int, _ rows: [Row], _ group: Continuations, _ reading: Reading, after states: [State],
    _ sums: inout [[Double]?]
  ) throws(Refusal) {
    let ofItem = Dictionary(grouping: group.places.indices) { group.places[$0].item }
    let cells = rows.indices.flatMap { row in
      (ofItem[rows[row].sequence] ?? []).map { (row: row, sequence: $0) }
    }
    let length = group.tokens[0].count
    for batch in RunBatch.batches(of: cells.map { _ in length }, limit: pieceBatch) {
      let cells = batch.members.map { cells[$0] }
      let tokens = cells.map { group.tokens[$0.sequence] }
      let own = cells.map { cell in
        Row(sequence: cell.sequence, cell: rows[cell.row].cell)
      }
      try steer(
        block, own, group.passage, reading,
        from: { states[$0 - block].selecting(cells.map(\.row), inBlock: $0) }
      ) { piece, stream throws(Refusal) in
        let found = try predicted(tokens, piece, stream)
        for (cell, sum) in zip(cells, found) {
          sums[cell.row]?[group.places[cell.sequence].continuation] += sum
        }
      }
    }
  }

  /// Continuations of a length that run together, so that their states fit, and the logits of a piece.
  private func pieceBatch(length: Int) -> Int {
    batchLimit / min(max(length - 1, 1), Self.pieceLimit)
  }

  /// The log-probabilities of the tokens that a piece predicts, summed for each sequence.
  ///
  /// - Parameters:
  ///   - tokens: the continuations, [B][T].
  ///   - stream: of the piece, after the last block.
  private func predicted(
    _ tokens: [[Int]], _ piece: Piece, _ stream: BlockStream
  ) throws(Refusal) -> [Double] {
    let predictions = try LogProbabilities.finiteRows(model.finish(stream, logits: .all))  // [B·T]
    let next = piece.tokens.lowerBound + 1
    return tokens.enumerated().map { sequence, tokens in
      (0..<piece.tokens.count).reduce(0) { sum, index in
        sum + predictions[sequence * piece.tokens.count + index].values[tokens[next + index]]
      }
    }
  }
}
