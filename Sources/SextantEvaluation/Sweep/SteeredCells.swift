import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// Applies a vector in several cells, and reads the predictions of the steered model.
///
/// Computations that cells share run once: the prompt up to the first steered token, from whose state
/// all cells of a prompt fork, and everything below the first steered block. The cells with the same
/// first block run together as one batch, also those of prompts of different lengths. They fork the state
/// of one block at a time, so that many fit. Continuations of several tokens are a second step: each forks
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
  /// - Parameter ranks: the processes that divide the items; the result does not depend on them.
  /// - Returns: the outcomes in the order of the cells and items, on every rank.
  /// - Throws: `usage.nothing-steered` if neither a prompt nor its continuations have a selected
  ///   token; `data.record` for a prompt or a continuation without tokens; `model.*`; `system.ranks`.
  package func outcomes(
    on items: [ChoiceTest.Tokens], ranks: any Collective = Alone(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Outcomes {
    for item in items { try check(item) }
    var baseline = [ChoiceOutcome?](repeating: nil, count: items.count)
    var found = Array(repeating: baseline, count: cells.count)
    var done = 0
    // Each rank gets a batch at least, if there are so many items.
    let batches = try batches(of: items, limit: (items.count + ranks.size - 1) / ranks.size)
    let parts = try ranks.map(
      batches.count,
      { index throws(Refusal) -> PartOutcomes in
        let (reading, members) = batches[index]
        var part = PartOutcomes(itemCount: members.count, cellCount: cells.count)
        try run(members.map { items[$0] }, reading, &part)
        done += members.count
        progress(min(done * ranks.size, items.count), items.count)
        return part
      },
      pack: { part, message in part.put(into: &message) },
      unpack: { reader throws(Refusal) in try PartOutcomes(&reader, cellCount: cells.count) })
    for (part, batch) in zip(parts, batches) {
      for (row, item) in batch.members.enumerated() {
        baseline[item] = part.baseline[row]
        for cell in cells.indices { found[cell][item] = part.cells[cell][row] }
      }
    }
    let plain = baseline.compactMap { $0 }
    return Outcomes(
      baseline: plain, cells: found.map { $0.contains { $0 == nil } ? plain : $0.compactMap { $0 } }
    )
  }

  /// The outcomes of a batch of items: nil for cells that edit nothing.
  private struct PartOutcomes {
    /// [item].
    var baseline: [ChoiceOutcome?]
    /// [cell][item].
    var cells: [[ChoiceOutcome?]]

    init(itemCount: Int, cellCount: Int) {
      baseline = Array(repeating: nil, count: itemCount)
      cells = Array(repeating: baseline, count: cellCount)
    }

    init(_ reader: inout MessageReader, cellCount: Int) throws(Refusal) {
      baseline = try Self.outcomes(&reader)
      cells = try (0..<cellCount).map { _ throws(Refusal) in try Self.outcomes(&reader) }
      guard cells.allSatisfy({ $0.count == baseline.count }) else {
        throw Refusal(
          .systemRanks, found: "outcomes of other items", expected: counted(baseline.count, "item"))
      }
    }

    func put(into message: inout Message) {
      for outcomes in [baseline] + cells {
        message.put(outcomes.flatMap { $0?.numbers ?? ChoiceOutcome.noNumbers })
      }
    }

    private static func outcomes(
      _ reader: inout MessageReader
    ) throws(Refusal) -> [ChoiceOutcome?] {
      let numbers = try reader.doubles()
      let width = ChoiceOutcome.noNumbers.count
      return stride(from: 0, to: numbers.count - width + 1, by: width).map {
        ChoiceOutcome(numbers: numbers[$0..<$0 + width])
      }
    }
  }

  /// The tokens of an item that its cells read, and those that are steered, counted from the end of its
  /// prompt: -1 is the last token of the prompt. Items with an equal reading run together.
  struct Reading: Hashable {
    /// The token from which on cells differ.
    let first: Int
    /// The tokens at which the residual stream is edited, from `first` on.
    let residual: [Int]
    /// The tokens before which the state is edited, from `first` on.
    let state: [Int]
  }

  /// The reading of a text: it begins at the first token of the prompt that is selected, or at its last one
  /// if only tokens after it are.
  ///
  /// - Parameters:
  ///   - promptCount: tokens of the prompt.
  ///   - count: tokens that are read after the prompt.
  ///   - longest: those of the longest text that may run together with this one.
  private func reading(
    promptCount: Int, readingAfter count: Int, atMost longest: Int
  ) throws(Refusal) -> Reading {
    let prompt = 0..<promptCount
    let selected = prompt.first { position in
      selections.contains { $0.contains(position, prompt: prompt) }
    }
    let read = promptCount..<promptCount + max(count, 0)
    guard selected != nil || selections.contains(where: { $0.selectsAny(of: read, prompt: prompt) })
    else {
      throw Refusal(
        .usageNothingSteered,
        found: "no token of \(promptCount), or of the answer, at positions \(vector.positions)",
        expected: "at least one token of each prompt or of its answers")
    }
    let first = selected ?? promptCount - 1
    func fromEnd(_ selection: PositionSelection) -> [Int] {
      (first..<promptCount + max(longest, 0)).filter { selection.contains($0, prompt: prompt) }
        .map { $0 - promptCount }
    }
    return Reading(
      first: first - promptCount, residual: fromEnd(vector.positions),
      state: steersState ? fromEnd(vector.statePositions) : [])
  }

  /// Items that run together, those with shorter prompts first.
  ///
  /// - Parameter most: items of a batch, at most.
  private func batches(
    of items: [ChoiceTest.Tokens], limit most: Int
  ) throws(Refusal) -> [(reading: Reading, members: [Int])] {
    let longest = items.map(\.longestContinuation).max() ?? 1
    var members: [Reading: [Int]] = [:]
    for (place, item) in items.enumerated() {
      let reading = try reading(
        promptCount: item.prompt.count, readingAfter: item.longestContinuation - 1,
        atMost: longest - 1)
      members[reading, default: []].append(place)
    }
    // The states after the prompts are kept for continuations of several tokens.
    let limit = max(min(longest > 1 ? batchLimit / widestGroup : textLimit, most), 1)
    return members.sorted { $0.value[0] < $1.value[0] }.flatMap { reading, members in
      let sorted = members.sorted { (items[$0].prompt.count, $0) < (items[$1].prompt.count, $1) }
      return stride(from: 0, to: sorted.count, by: limit).map {
        (reading, Array(sorted[$0..<min($0 + limit, sorted.count)]))
      }
    }
  }

  /// Sequences that run together: their whole states fit.
  var batchLimit: Int { max(1, min(rowLimit, stateLimit)) }

  /// Texts whose cells run together: the states of the texts fit.
  private var textLimit: Int { max(1, min(rowLimit / widestGroup, stateLimit)) }

  /// States of all blocks that fit.
  private var stateLimit: Int {
    let bytes = model.description.stateLayout.joined().reduce(0) {
      $0 + 4 * $1.shape.reduce(1, *)
    }
    return Self.stateByteLimit / max(bytes, 1)
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

  /// Items of one reading, together.
  private func run(
    _ items: [ChoiceTest.Tokens], _ reading: Reading, _ found: inout PartOutcomes
  ) throws(Refusal) {
    let state = try state(after: items.map { Array($0.prompt.dropLast(-reading.first)) })
    var plain = state
    var predictions: [LogProbabilities] = []
    let ends = try passage(
      items.map { $0.prompt.suffix(-reading.first) }, pieces(of: reading.first..<0, reading),
      from: &plain
    ) { piece, stream throws(Refusal) in
      if piece.tokens.upperBound == 0 {
        predictions = try LogProbabilities.finiteRows(model.finish(stream))
      }
    }
    var later = items.map(Self.noSums)
    let continuations = try continuations(of: items, reading, after: plain, &later)
    for (row, item) in items.enumerated() {
      found.baseline[row] = ChoiceOutcome(
        predictions[row], later: later[row], item, predictions[row])
    }
    for group in groups {
      let rows = rows(of: group.cells, count: items.count)
      var logits: [LogProbabilities] = []
      let after = try steer(
        group.block, rows, ends, reading, keepsStates: !continuations.isEmpty,
        from: { state.selecting(rows.map(\.sequence), inBlock: $0) }
      ) { piece, stream throws(Refusal) in
        if piece.tokens.upperBound == 0 {
          logits = try LogProbabilities.finiteRows(model.finish(stream))
        }
      }
      var later = rows.map { Self.noSums(items[$0.sequence]) }
      for continuation in continuations {
        try steer(group.block, rows, continuation, reading, after: after, &later)
      }
      for (index, row) in rows.enumerated() {
        found.cells[row.cell][row.sequence] = ChoiceOutcome(
          logits[index], later: later[index], items[row.sequence], predictions[row.sequence])
      }
    }
  }

  /// The state after tokens that no cell steers, of texts with ascending lengths.
  private func state(after prefixes: [[Int]]) throws(Refusal) -> State {
    var states: [State] = []
    for batch in RunBatch.batches(of: prefixes.map(\.count), limit: { _ in prefixes.count }) {
      var state = model.initialState(batch: batch.members.count)
      if batch.shape > 0 {
        let tokens = TokenBatch(batch.members.map { prefixes[$0] })
        _ = try model.run(tokens, from: &state, logits: .none)
      }
      states.append(state)
    }
    return State.joining(states)
  }

  /// Some tokens of a sequence: the state can be edited before the first of them only.
  struct Piece {
    /// Counted from the end of the prompt.
    let tokens: Range<Int>
    let editsState: Bool
  }

  /// Tokens that several sequences read, and the input of each block there without steering.
  struct Passage {
    let pieces: [Piece]
    /// [piece][block].
    let inputs: [[BlockStream]]
  }

  /// Runs tokens without steering.
  ///
  /// - Parameters:
  ///   - tokens: [B][T], those of all pieces.
  ///   - finished: receives each piece after the last block.
  func passage(
    _ tokens: [[Int]], _ pieces: [Piece], from state: inout State,
    finished: (Piece, BlockStream) throws(Refusal) -> Void
  ) throws(Refusal) -> Passage {
    let (first, layerCount) = (pieces.first?.tokens.lowerBound ?? 0, model.description.layerCount)
    let count = MemoryBudget.product(tokens.count, tokens.first?.count ?? 0)
    try MemoryBudget.check(
      MemoryBudget.product(count, layerCount, model.description.width, 4),
      for: "the inputs of each block at \(counted(count, "token"))",
      remedy: "Steer fewer tokens of the prompts, or shorten the answers.")
    var inputs: [[BlockStream]] = []
    for piece in pieces {
      let range = piece.tokens.lowerBound - first..<piece.tokens.upperBound - first
      var stream = try model.begin(TokenBatch(tokens.map { Array($0[range]) }), after: state)
      var streams: [BlockStream] = []
      for layer in 0..<layerCount {
        streams.append(stream)
        try model.run(&stream, through: layer..<layer + 1, &state)
      }
      inputs.append(streams)
      try finished(piece, stream)
    }
    return Passage(pieces: pieces, inputs: inputs)
  }

  /// Runs a passage steered, from the first block that is edited.
  ///
  /// Each block reads all pieces before the next block begins. So the rows fork the state of one block
  /// at a time: the states of all blocks would not fit for many rows.
  ///
  /// - Parameters:
  ///   - first: the first block that the cells of the rows edit.
  ///   - rows: sequences of the passage, and how each is steered.
  ///   - keepsStates: whether to return the states after the passage.
  ///   - fork: the state of one block before the passage, of the rows.
  ///   - finished: receives each piece after the last block.
  /// - Returns: the state of each block, from the first one on.
  @discardableResult
  func steer(
    _ first: Int, _ rows: [Row], _ passage: Passage, _ reading: Reading,
    keepsStates: Bool = false, from fork: (_ block: Int) -> State,
    finished: (Piece, BlockStream) throws(Refusal) -> Void
  ) throws(Refusal) -> [State] {
    var streams = passage.inputs.map { $0[first].selecting(rows.map(\.sequence)) }
    let last = rows.map { lastBlocks[$0.cell] }.max() ?? first
    var kept: [State] = []
    for block in first..<model.description.layerCount {
      var state = fork(block)
      for (place, piece) in passage.pieces.enumerated() {
        state.positions = streams[place].starts
        if block <= last, piece.editsState { try editState(&state, block, rows) }
        try model.run(&streams[place], through: block..<block + 1, &state)
        if block <= last { editResidual(&streams[place], block, rows, piece, reading) }
      }
      if keepsStates { kept.append(state) }
    }
    for (piece, stream) in zip(passage.pieces, streams) { try finished(piece, stream) }
    return kept
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

  /// Some tokens, counted from the end of the prompt, cut before each one that reads an edited state.
  ///
  /// - Parameters:
  ///   - limit: tokens of a piece, at most; nil for any number.
  ///   - cut: another token to cut before; nil for none.
  func pieces(
    of range: Range<Int>, _ reading: Reading, limit: Int? = nil, before cut: Int? = nil
  ) -> [Piece] {
    let edited = Set(reading.state.filter(range.contains))
    var starts = edited.union(
      stride(from: range.lowerBound, to: range.upperBound, by: limit ?? max(range.count, 1)))
    if let cut, range.contains(cut) { starts.insert(cut) }
    let cuts = starts.sorted() + [range.upperBound]
    return zip(cuts, cuts.dropFirst()).map {
      Piece(tokens: $0..<$1, editsState: edited.contains($0))
    }
  }

  private func editState(_ state: inout State, _ block: Int, _ rows: [Row]) throws(Refusal) {
    for (site, edit) in vector.edits where site.isState && site.block == block {
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
    _ stream: inout BlockStream, _ block: Int, _ rows: [Row], _ piece: Piece, _ reading: Reading
  ) {
    let site = Site.output(block: block)
    guard let edit = vector.edits[site] else { return }
    let own = rows.indices.filter { cells[rows[$0].cell].includes(site) }
    let (tokens, width) = (stream.length, edit.vector.count)
    let selected = reading.residual.filter(piece.tokens.contains).map {
      $0 - piece.tokens.lowerBound
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
    for batch in RunBatch.batches(
      of: passages.map(\.count),
      limit: { length in
        let bytes = MemoryBudget.product(16, length, model.description.vocabularySize)
        return min(textLimit, Self.predictionByteLimit / max(bytes, 1))
      })
    {
      let tokens = batch.members.map { passages[$0] }
      let count = batch.shape - promptCount
      let reading = try reading(promptCount: promptCount, readingAfter: count, atMost: count)
      let unsteered = promptCount + reading.first
      let state = try state(after: tokens.map { Array($0[..<unsteered]) })
      let pieces = pieces(of: reading.first..<count, reading, limit: 64, before: -1)
      var plain = state
      // By the piece's first token, [B·T].
      var expected: [Int: [LogProbabilities]] = [:]
      let passage = try passage(tokens.map { Array($0[unsteered...]) }, pieces, from: &plain) {
        piece, stream throws(Refusal) in
        guard piece.tokens.lowerBound >= -1 else { return }
        expected[piece.tokens.lowerBound] = try LogProbabilities.finiteRows(
          model.finish(stream, logits: .all))
      }
      for group in groups {
        let rows = rows(of: group.cells, count: tokens.count)
        try steer(
          group.block, rows, passage, reading,
          from: { state.selecting(rows.map(\.sequence), inBlock: $0) }
        ) { piece, stream throws(Refusal) in
          guard let plain = expected[piece.tokens.lowerBound] else { return }
          let sums = try divergences(of: stream, rows, from: plain)
          for (row, sum) in zip(rows, sums) {
            found[row.cell][batch.members[row.sequence]] += sum
          }
        }
      }
      for cell in found.indices {
        for passage in batch.members {
          found[cell][passage] /= Double(count + 1)
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
