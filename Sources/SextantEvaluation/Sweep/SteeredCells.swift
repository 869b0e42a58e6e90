import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// Applies a vector in several cells, and reads the predictions of the steered model.
///
/// Computations that cells share run once: the prompt up to the first steered token, from whose state
/// all cells of a prompt fork, and everything below the first steered block. The cells with the same
/// first block run together as one batch. Continuations of several tokens are a second step: each forks
/// from the state after the prompt, and its tokens are steered as generated ones would be.
///
/// The result of a cell does not depend on the cells beside it, bit for bit.
package struct SteeredCells {
  let model: any LanguageModel
  private let vector: PreparedVector
  private let cells: [SteeringCell]
  /// The cells by the first block that they edit, ascending.
  private let groups: [(block: Int, cells: [Int])]
  /// The last block that each cell edits.
  private let lastBlocks: [Int]
  /// The positions at which any cell edits something.
  private let selections: [PositionSelection]
  private let steersState: Bool
  private let rowLimit: Int

  /// Bytes of the forked states of a batch, at most.
  private static let stateByteLimit = 1 << 29

  /// Prepares cells. A cell at which the vector has no part predicts as the model without steering.
  ///
  /// - Parameter rowLimit: sequences that run together.
  package init(_ vector: PreparedVector, _ cells: [SteeringCell], rowLimit: Int = 256) {
    (model, self.vector, self.cells, self.rowLimit) = (vector.model, vector, cells, rowLimit)
    let sites = cells.map(vector.sites)
    let blocks = sites.map { $0.compactMap(\.block) }
    lastBlocks = blocks.map { $0.max() ?? 0 }
    let edited = cells.indices.filter { !blocks[$0].isEmpty }
    groups = Dictionary(grouping: edited) { blocks[$0].min() ?? 0 }
      .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    steersState = sites.contains { $0.contains(where: \.isState) }
    let steersStream = sites.contains { $0.contains { !$0.isState } }
    selections =
      (steersState ? [vector.statePositions] : []) + (steersStream ? [vector.positions] : [])
  }

  /// Cells that run together at a block, for each sequence.
  private var widestGroup: Int { max(groups.map(\.cells.count).max() ?? 1, 1) }

  /// The outcomes of cells, by item.
  package struct Outcomes {
    /// The unsteered outcomes, [item].
    package fileprivate(set) var baseline: [ChoiceOutcome]
    /// [cell][item].
    package fileprivate(set) var cells: [[ChoiceOutcome]]
  }

  /// The predictions after each prompt, without steering and in each cell.
  ///
  /// - Returns: the outcomes in the order of the cells and items.
  /// - Throws: `usage.nothing-steered` if neither a prompt nor its continuations have a selected
  ///   token; `data.record` for a prompt or a continuation without tokens; `model.*`.
  package func outcomes(
    on items: [ChoiceTest.Tokens], progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Outcomes {
    for item in items { try check(item) }
    var baseline = [ChoiceOutcome?](repeating: nil, count: items.count)
    var found = Array(repeating: baseline, count: cells.count)
    var done = 0
    for batch in RunBatch.batches(
      of: items.map(\.prompt.count), limit: { _ in batchLimit / widestGroup })
    {
      try run(batch.members.map { ($0, items[$0]) }, &baseline, &found)
      done += batch.members.count
      progress(done, items.count)
    }
    let plain = baseline.compactMap { $0 }
    return Outcomes(
      baseline: plain, cells: found.map { $0.contains { $0 == nil } ? plain : $0.compactMap { $0 } }
    )
  }

  /// Sequences that run together: their forked states fit.
  var batchLimit: Int {
    let bytes = model.description.stateLayout.joined().reduce(0) {
      $0 + 4 * $1.shape.reduce(1, *)
    }
    return max(1, min(rowLimit, Self.stateByteLimit / max(bytes, 1)))
  }

  private func check(_ item: ChoiceTest.Tokens) throws(Refusal) {
    guard !item.prompt.isEmpty, item.continuations.allSatisfy({ !$0.isEmpty }) else {
      throw Refusal(
        .dataRecord, found: "a prompt or a continuation without tokens",
        expected: "at least one token of each")
    }
    let vocabulary = 0..<model.description.vocabularySize
    for token in [item.prompt, item.continuations.flatMap { $0 }].joined()
    where !vocabulary.contains(token) {
      throw Refusal(
        .modelToken, found: "id \(token)", expected: "0 to \(vocabulary.upperBound - 1)")
    }
  }

  /// Items of equal length, together.
  private func run(
    _ members: [(index: Int, item: ChoiceTest.Tokens)], _ baseline: inout [ChoiceOutcome?],
    _ found: inout [[ChoiceOutcome?]]
  ) throws(Refusal) {
    let items = members.map(\.item)
    let prompt = 0..<items[0].prompt.count
    let first = try firstRead(prompt, readingAfter: items.map { $0.longestContinuation - 1 })
    let state = try state(after: items.map { Array($0.prompt[..<first]) })
    var plain = state
    var predictions: [LogProbabilities] = []
    let ends = try passage(
      items.map { Array($0.prompt[first...]) }, pieces(of: first..<prompt.upperBound, prompt),
      from: &plain
    ) { piece, stream throws(Refusal) in
      if piece.tokens.upperBound == prompt.upperBound {
        predictions = try LogProbabilities.finiteRows(model.finish(stream))
      }
    }
    var later = items.map(Self.noSums)
    let continuations = try continuations(of: items, prompt, after: plain, &later)
    for (row, member) in members.enumerated() {
      baseline[member.index] = ChoiceOutcome(
        predictions[row], later: later[row], member.item, predictions[row])
    }
    for group in groups {
      let rows = rows(of: group.cells, count: items.count)
      var fork = state.selecting(rows.map(\.sequence))
      var logits: [LogProbabilities] = []
      try steer(group.block, rows, ends, prompt, from: &fork) { piece, stream throws(Refusal) in
        if piece.tokens.upperBound == prompt.upperBound {
          logits = try LogProbabilities.finiteRows(model.finish(stream))
        }
      }
      var later = rows.map { Self.noSums(items[$0.sequence]) }
      for continuation in continuations {
        try steer(group.block, rows, continuation, prompt, after: fork, &later)
      }
      for (index, row) in rows.enumerated() {
        let (place, item) = members[row.sequence]
        found[row.cell][place] = ChoiceOutcome(
          logits[index], later: later[index], item, predictions[row.sequence])
      }
    }
  }

  /// The state after tokens that no cell steers.
  func state(after prefix: [[Int]]) throws(Refusal) -> State {
    var state = model.initialState(batch: prefix.count)
    if prefix.first?.isEmpty == false {
      _ = try model.run(TokenBatch(prefix), from: &state, logits: .none)
    }
    return state
  }

  /// Some positions of a sequence: the state can be edited before the first of them only.
  struct Piece {
    let tokens: Range<Int>
    let editsState: Bool
  }

  /// Tokens that several sequences read, and the input of each block there without steering.
  struct Passage {
    /// The position of the first token.
    let first: Int
    let pieces: [Piece]
    /// [piece][block].
    let inputs: [[BlockStream]]
  }

  /// Runs tokens without steering.
  ///
  /// - Parameters:
  ///   - tokens: [B][T], at the positions of the pieces.
  ///   - finished: receives each piece after the last block.
  func passage(
    _ tokens: [[Int]], _ pieces: [Piece], from state: inout State,
    finished: (Piece, BlockStream) throws(Refusal) -> Void
  ) throws(Refusal) -> Passage {
    let (first, layerCount) = (state.position, model.description.layerCount)
    let count = MemoryBudget.product(tokens.count, tokens.first?.count ?? 0)
    try MemoryBudget.check(
      MemoryBudget.product(count, layerCount, model.description.width, 4),
      for: "the inputs of each block at \(counted(count, "token"))",
      remedy: "Steer fewer tokens of the prompts, or shorten the answers.")
    var inputs: [[BlockStream]] = []
    for piece in pieces {
      let range = piece.tokens.lowerBound - first..<piece.tokens.upperBound - first
      var stream = try model.begin(
        TokenBatch(tokens.map { Array($0[range]) }), at: state.position)
      var streams: [BlockStream] = []
      for layer in 0..<layerCount {
        streams.append(stream)
        try model.run(&stream, through: layer..<layer + 1, &state)
      }
      inputs.append(streams)
      try finished(piece, stream)
    }
    return Passage(first: first, pieces: pieces, inputs: inputs)
  }

  /// Runs a passage steered, from the first block that is edited.
  ///
  /// - Parameters:
  ///   - block: the first block that the cells of the rows edit.
  ///   - rows: sequences of the passage, and how each is steered.
  ///   - state: of the rows; its blocks below the first are not read.
  ///   - finished: receives each piece after the last block.
  func steer(
    _ block: Int, _ rows: [Row], _ passage: Passage, _ prompt: Range<Int>,
    from state: inout State, finished: (Piece, BlockStream) throws(Refusal) -> Void
  ) throws(Refusal) {
    let layerCount = model.description.layerCount
    let last = rows.map { lastBlocks[$0.cell] }.max() ?? block
    for (piece, streams) in zip(passage.pieces, passage.inputs) {
      var stream = streams[block].selecting(rows.map(\.sequence))
      if piece.editsState { try editStates(&state, rows) }
      for block in block...last {
        try model.run(&stream, through: block..<block + 1, &state)
        editResidual(&stream, block, rows, prompt)
      }
      if last + 1 < layerCount {
        try model.run(&stream, through: last + 1..<layerCount, &state)
      }
      try finished(piece, stream)
    }
  }

  /// A sequence of a passage, and how it is steered.
  struct Row {
    let sequence: Int
    let cell: Int
  }

  /// Some cells, for each of some sequences.
  func rows(of cells: [Int], count: Int) -> [Row] {
    (0..<count).flatMap { sequence in cells.map { Row(sequence: sequence, cell: $0) } }
  }

  /// The position from which on cells differ: the first token of the prompt that is selected, or its
  /// last one if only tokens after it are.
  ///
  /// - Parameter counts: for each sequence, the tokens that are read after the prompt at most.
  func firstRead(_ prompt: Range<Int>, readingAfter counts: [Int]) throws(Refusal) -> Int {
    let first = prompt.first { position in
      selections.contains { $0.contains(position, prompt: prompt) }
    }
    if let first { return first }
    for count in counts {
      let read = prompt.upperBound..<prompt.upperBound + max(count, 0)
      guard selections.contains(where: { $0.selectsAny(of: read, prompt: prompt) }) else {
        throw Refusal(
          .usageNothingSteered,
          found: "no token of \(prompt.count), or of the answer, at positions \(vector.positions)",
          expected: "at least one token of each prompt or of its answers")
      }
    }
    return prompt.upperBound - 1
  }

  /// Some positions, cut before each token that reads an edited state.
  ///
  /// - Parameters:
  ///   - limit: tokens of a piece, at most; nil for any number.
  ///   - cut: another position to cut before; nil for none.
  func pieces(
    of range: Range<Int>, _ prompt: Range<Int>, limit: Int? = nil, before cut: Int? = nil
  ) -> [Piece] {
    let edited = Set(
      steersState ? range.filter { vector.statePositions.contains($0, prompt: prompt) } : [])
    var starts = edited.union(
      stride(from: range.lowerBound, to: range.upperBound, by: limit ?? max(range.count, 1)))
    if let cut, range.contains(cut) { starts.insert(cut) }
    let cuts = starts.sorted() + [range.upperBound]
    return zip(cuts, cuts.dropFirst()).map {
      Piece(tokens: $0..<$1, editsState: edited.contains($0))
    }
  }

  private func editStates(_ state: inout State, _ rows: [Row]) throws(Refusal) {
    for (site, edit) in vector.edits where site.isState {
      let own = rows.indices.filter { cells[rows[$0].cell].includes(site) }
      guard !own.isEmpty, var value = state.component(site) else { continue }
      let width = edit.vector.count
      value.withMutableFloats { values in
        for index in own {
          edit.apply(
            strength: cells[rows[index].cell].strength, unit: vector.unit,
            to: .init(rebasing: values[index * width..<(index + 1) * width]))
        }
      }
      try state.setComponent(site, to: value)
    }
  }

  private func editResidual(
    _ stream: inout BlockStream, _ block: Int, _ rows: [Row], _ prompt: Range<Int>
  ) {
    let site = Site.output(block: block)
    guard let edit = vector.edits[site] else { return }
    let own = rows.indices.filter { cells[rows[$0].cell].includes(site) }
    let (tokens, width) = (stream.length, edit.vector.count)
    let selected = (0..<tokens).filter {
      vector.positions.contains(stream.starts[0] + $0, prompt: prompt)
    }
    guard !own.isEmpty, !selected.isEmpty else { return }
    stream.residual.withMutableFloats { values in
      for index in own {
        for token in selected {
          let place = (index * tokens + token) * width
          edit.apply(
            strength: cells[rows[index].cell].strength, unit: vector.unit,
            to: .init(rebasing: values[place..<place + width]))
        }
      }
    }
  }
}

// MARK: Harm

extension SteeredCells {
  /// Positions whose logits are in memory at a time.
  private static let logitRowLimit = 256
  /// Bytes of unsteered predictions in memory at a time.
  private static let predictionByteLimit = 1 << 28

  /// How far steering moves the predictions of a text: the Kullback-Leibler divergence from the
  /// unsteered model, in nats.
  ///
  /// The first tokens of each passage are the prompt. The others are steered as generated tokens are.
  /// The mean is taken over the predictions after the prompt.
  ///
  /// - Parameters:
  ///   - passages: token ids; each longer than the prompt.
  ///   - promptCount: tokens of the prompt, at least 1.
  /// - Returns: nats per token, [cell][passage]; infinite if numbers overflow.
  /// - Throws: `usage.nothing-steered`, `model.*`.
  package func divergences(
    on passages: [[Int]], promptCount: Int
  ) throws(Refusal) -> [[Double]] {
    var found = Array(
      repeating: [Double](repeating: 0, count: passages.count), count: cells.count)
    let prompt = 0..<promptCount
    for batch in RunBatch.batches(
      of: passages.map(\.count),
      limit: { length in
        let bytes = MemoryBudget.product(16, length, model.description.vocabularySize)
        return min(batchLimit / widestGroup, Self.predictionByteLimit / max(bytes, 1))
      })
    {
      let tokens = batch.members.map { passages[$0] }
      let first = try firstRead(prompt, readingAfter: tokens.map { $0.count - promptCount })
      let state = try state(after: tokens.map { Array($0[..<first]) })
      let pieces = pieces(
        of: first..<batch.shape, prompt, limit: 64, before: promptCount - 1)
      var plain = state
      // By the piece's first position, [B·T].
      var expected: [Int: [LogProbabilities]] = [:]
      let passage = try passage(tokens.map { Array($0[first...]) }, pieces, from: &plain) {
        piece, stream throws(Refusal) in
        guard piece.tokens.lowerBound >= promptCount - 1 else { return }
        expected[piece.tokens.lowerBound] = try LogProbabilities.finiteRows(
          model.finish(stream, logits: .all))
      }
      for group in groups {
        let rows = rows(of: group.cells, count: tokens.count)
        var fork = state.selecting(rows.map(\.sequence))
        try steer(group.block, rows, passage, prompt, from: &fork) {
          piece, stream throws(Refusal) in
          guard let plain = expected[piece.tokens.lowerBound] else { return }
          let sums = try divergences(of: stream, rows, from: plain)
          for (row, sum) in zip(rows, sums) {
            found[row.cell][batch.members[row.sequence]] += sum
          }
        }
      }
      for cell in found.indices {
        for passage in batch.members {
          found[cell][passage] /= Double(batch.shape - promptCount + 1)
        }
      }
    }
    return found
  }

  /// The divergences of a piece's predictions, summed for each row.
  private func divergences(
    of stream: BlockStream, _ rows: [Row], from plain: [LogProbabilities]
  ) throws(Refusal) -> [Double] {
    let (tokens, width) = (stream.length, model.description.vocabularySize)
    let count = max(Self.logitRowLimit / max(tokens, 1), 1)
    var sums: [Double] = []
    for start in stride(from: 0, to: rows.count, by: count) {
      let some = Array(start..<min(start + count, rows.count))
      let logits = try model.finish(stream.selecting(some), logits: .all)  // [some · T, V]
      sums += logits.withFloats { values in
        some.enumerated().map { place, row in
          (0..<tokens).reduce(0) { sum, token in
            let own = (place * tokens + token) * width
            return sum
              + plain[rows[row].sequence * tokens + token].divergence(
                ofLogits: UnsafeBufferPointer(rebasing: values[own..<own + width]))
          }
        }
      }
    }
    return sums
  }
}
