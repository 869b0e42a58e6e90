import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// Applies a vector at every layer, at every strength and at several sets of sites, one cell of the
/// grid at a time, and reads the prediction after each prompt.
///
/// Shared computations of cells run once: the prompt up to the first steered token, from whose
/// state all cells of a prompt fork, and everything below the steered layer. The cells of a layer
/// run together as one batch, also those of prompts of different lengths. They fork the state of one
/// block at a time, so that many fit. Continuations of several tokens are a second step: each forks
/// from the state after the prompt, and its tokens are steered as generated ones would be.
package struct SteeringSweep {
  let model: any LanguageModel
  private let edits: [Site: SteeringEdit]
  private let unit: SteeringEdit.Unit
  private let positions: PositionSelection
  private let statePositions: PositionSelection
  private let layers: [Int]
  private let multipliers: [Float]
  private let sites: [SteeredSites]
  private let rowLimit: Int

  /// Bytes of the forked states of a batch, at most.
  private static let stateByteLimit = 1 << 29

  /// Prepares a sweep.
  ///
  /// - Parameters:
  ///   - vector: the vector to apply, each block's part at that block only.
  ///   - options: operation, positions, and a unit other than nats. Strength and blocks are those of
  ///     the grid. Positions by token id are refused.
  ///   - layers: nil for every block that the vector has something for.
  ///   - multipliers: strengths; 0, the baseline, is always measured.
  ///   - rowLimit: sequences that run together.
  /// - Throws: `artifact.*` for a vector that does not fit the model, `artifact.empty` if a set of
  ///   sites selects nothing at all.
  package init(
    _ model: any LanguageModel, tokenizer: Digest?, vector: SteeringVector,
    options: SteeringOptions = .init(), layers: LayerSelection? = nil, multipliers: [Float],
    sites: [SteeredSites], rowLimit: Int = 256
  ) throws(Refusal) {
    guard options.strength == 1, options.layers == nil, options.layerStrengths == nil,
      options.unit != .nats
    else {
      throw Refusal(
        .usageOption, file: vector.file,
        found: "a strength or blocks in addition to those of the grid",
        expected: "multipliers and layers of the sweep, as multiples or shares")
    }
    for (option, selection) in [
      ("positions", options.positions), ("statePositions", options.statePositions),
    ] {
      guard let selection, selection.dependsOnTokens else { continue }
      throw Refusal(
        .usageOption, file: vector.file, at: .parameter(option), found: selection.description,
        expected: "positions without token=ID, which a sweep does not support")
    }
    var whole = options
    whole.layers = layers
    // The applier's checks, and its edits of strength 1.
    let edits = try AppliedVector(vector, whole).edits(
      for: model.description, tokenizer: tokenizer
    ).filter { $0.key.block != nil }.mapValues(\.edit)
    try Self.check(sites, of: vector, Set(edits.keys))
    self.model = model
    self.edits = edits.filter { site, _ in sites.contains { $0.includes(site) } }
    unit = options.unit == .share ? .share : .raw
    positions = options.positions ?? .last
    statePositions = options.statePositions ?? positions
    self.layers = Set(self.edits.keys.compactMap(\.block)).sorted()
    self.multipliers = multipliers.filter { $0 != 0 }
    self.sites = sites
    self.rowLimit = rowLimit
  }

  /// Refuses sites for which the vector has nothing, and those for which it has nothing in the chosen
  /// blocks. `both` needs only one of its parts in a block: an attention block has no state.
  private static func check(
    _ sites: [SteeredSites], of vector: SteeringVector, _ edited: Set<Site>
  ) throws(Refusal) {
    let all = vector.vectors.compactMap { $0.site.site }
    for set in sites {
      let missing = set.parts.first { part in !all.contains(where: part.includes) }
      guard missing != nil || !edited.contains(where: set.includes) else { continue }
      let part = missing ?? set
      throw Refusal(
        .artifactEmpty, file: vector.file, at: .parameter("sites"),
        found: part == set ? "\(set)" : "\(set), which includes \(part)",
        expected: "sites that the vector edits: it has no part for \(part)"
          + (missing == nil ? " in these blocks" : ""),
        remedy: "Name other `sites`, or train the vector with `sites` all.")
    }
  }

  /// Runs the sweep.
  ///
  /// - Returns: the result of each cell for each item, in the items' order.
  /// - Throws: `usage.nothing-steered` if neither a prompt nor its continuations have a selected
  ///   token; `data.record` for a prompt or a continuation without tokens; `model.*`.
  package func run(
    on items: [ChoiceTest.Tokens], progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> SweepResult {
    var result = SweepResult(
      layers: layers, multipliers: multipliers, sites: sites, itemCount: items.count)
    for item in items { try check(item) }
    var done = 0
    for (reading, members) in try batches(of: items) {
      try run(members.map { ($0, items[$0]) }, reading, &result)
      done += members.count
      progress(done, items.count)
    }
    return result
  }

  /// The tokens of an item that its cells read, and those that are steered, counted from the end of its
  /// prompt: -1 is the last token of the prompt. Items with an equal reading run together.
  struct Reading: Hashable {
    /// The token from which on the cells differ.
    let first: Int
    /// The tokens at which the residual stream is edited, from `first` on.
    let residual: [Int]
    /// The tokens before which the state is edited, from `first` on.
    let state: [Int]
  }

  /// Items that run together, those with shorter prompts first.
  private func batches(
    of items: [ChoiceTest.Tokens]
  ) throws(Refusal) -> [(reading: Reading, members: [Int])] {
    let longest = items.map(\.longestContinuation).max() ?? 1
    var members: [Reading: [Int]] = [:]
    for (place, item) in items.enumerated() {
      members[try reading(of: item, continuedBy: longest), default: []].append(place)
    }
    let perItem = max(sites.count * multipliers.count, 1)
    // The states after the prompts are kept for continuations of several tokens.
    let limit = max(1, longest > 1 ? batchLimit / perItem : min(rowLimit / perItem, stateLimit))
    return members.sorted { $0.value[0] < $1.value[0] }.flatMap { reading, members in
      let sorted = members.sorted { (items[$0].prompt.count, $0) < (items[$1].prompt.count, $1) }
      return stride(from: 0, to: sorted.count, by: limit).map {
        (reading, Array(sorted[$0..<min($0 + limit, sorted.count)]))
      }
    }
  }

  /// Sequences that run together: their whole states fit.
  var batchLimit: Int { max(1, min(rowLimit, stateLimit)) }

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
    _ members: [(index: Int, item: ChoiceTest.Tokens)], _ reading: Reading,
    _ result: inout SweepResult
  ) throws(Refusal) {
    let items = members.map(\.item)
    let state = try prefix(of: items, reading)
    var plain = state
    var baseline: [LogProbabilities] = []
    let ends = try passage(
      items.map { $0.prompt.suffix(-reading.first) }, pieces(of: reading.first..<0, reading),
      from: &plain
    ) { piece, stream throws(Refusal) in
      if piece.tokens.upperBound == 0 {
        baseline = try LogProbabilities.finiteRows(model.finish(stream))
      }
    }
    var later = items.map(Self.noSums)
    let continuations = try continuations(of: items, reading, after: plain, &later)
    for (row, member) in members.enumerated() {
      result.setBaseline(
        ChoiceOutcome(baseline[row], later: later[row], member.item, baseline[row]), member.index)
    }
    for layer in layers {
      let rows = cells(at: layer, count: items.count)
      guard !rows.isEmpty else { continue }
      var logits: [LogProbabilities] = []
      let after = try steer(
        layer, rows, ends, reading, keepsStates: !continuations.isEmpty,
        from: { state.selecting(rows.map(\.sequence), block: $0) }
      ) { piece, stream throws(Refusal) in
        if piece.tokens.upperBound == 0 {
          logits = try LogProbabilities.finiteRows(model.finish(stream))
        }
      }
      var later = rows.map { Self.noSums(items[$0.sequence]) }
      for group in continuations {
        try steer(layer, rows, group, reading, after: after, &later)
      }
      for (index, row) in rows.enumerated() {
        let (place, item) = members[row.sequence]
        result.set(
          ChoiceOutcome(logits[index], later: later[index], item, baseline[row.sequence]),
          layer: layer, sites: row.sites, multiplier: row.multiplier, item: place)
      }
    }
  }

  /// The state before the first token that the cells read, of items with ascending lengths.
  private func prefix(
    of items: [ChoiceTest.Tokens], _ reading: Reading
  ) throws(Refusal) -> State {
    var states: [State] = []
    for batch in RunBatch.batches(of: items.map(\.prompt.count), limit: { _ in items.count }) {
      let tokens = batch.members.map { Array(items[$0].prompt.dropLast(-reading.first)) }
      var state = model.initialState(batch: tokens.count)
      if batch.shape > -reading.first {
        _ = try model.run(TokenBatch(tokens), from: &state, logits: .none)
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

  /// Tokens that several sequences read, and the input of each layer there without steering.
  struct Passage {
    let pieces: [Piece]
    /// [piece][layer].
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

  /// Runs a passage steered at a layer, from that layer on.
  ///
  /// Each block reads all pieces before the next block begins. So the rows fork the state of one block
  /// at a time: the states of all blocks would not fit for many rows.
  ///
  /// - Parameters:
  ///   - rows: sequences of the passage, and how each is steered.
  ///   - keepsStates: whether to return the states after the passage.
  ///   - fork: the state of one block before the passage, of the rows.
  ///   - finished: receives each piece after the last block.
  /// - Returns: the state of each block, from the layer on.
  @discardableResult
  func steer(
    _ layer: Int, _ rows: [Row], _ passage: Passage, _ reading: Reading,
    keepsStates: Bool = false, from fork: (_ block: Int) -> State,
    finished: (Piece, BlockStream) throws(Refusal) -> Void
  ) throws(Refusal) -> [State] {
    var streams = passage.inputs.map { $0[layer].selecting(rows.map(\.sequence)) }
    var kept: [State] = []
    for block in layer..<model.description.layerCount {
      var state = fork(block)
      for (place, piece) in passage.pieces.enumerated() {
        state.positions = streams[place].starts
        if block == layer, piece.editsState { try editState(&state, layer, rows) }
        try model.run(&streams[place], through: block..<block + 1, &state)
        if block == layer { editResidual(&streams[place], layer, rows, piece, reading) }
      }
      if keepsStates { kept.append(state) }
    }
    for (piece, stream) in zip(passage.pieces, streams) { try finished(piece, stream) }
    return kept
  }

  /// A sequence of a passage, and how it is steered.
  struct Row {
    let sequence: Int
    let sites: Int
    let multiplier: Int
  }

  /// The cells of a layer, for each of some sequences.
  private func cells(at layer: Int, count: Int) -> [Row] {
    let present = sites.indices.filter { index in
      edits.keys.contains { $0.block == layer && sites[index].includes($0) }
    }
    return (0..<count).flatMap { sequence in
      present.flatMap { set in
        multipliers.indices.map { Row(sequence: sequence, sites: set, multiplier: $0) }
      }
    }
  }

  /// The reading of an item: it begins at the first token of the prompt that is selected, or at its last
  /// one if only tokens of the continuations are.
  ///
  /// - Parameter longest: tokens of the longest continuation of all items.
  private func reading(
    of item: ChoiceTest.Tokens, continuedBy longest: Int
  ) throws(Refusal) -> Reading {
    let prompt = 0..<item.prompt.count
    let steersState = edits.keys.contains(where: \.isState)
    let selections =
      (steersState ? [statePositions] : [])
      + (edits.keys.contains { !$0.isState } ? [positions] : [])
    let selected = prompt.first { position in
      selections.contains { $0.contains(position, prompt: prompt) }
    }
    let read = prompt.upperBound..<prompt.upperBound + max(item.longestContinuation - 1, 0)
    guard selected != nil || selections.contains(where: { $0.selectsAny(of: read, prompt: prompt) })
    else {
      throw Refusal(
        .usageNothingSteered,
        found: "no token of \(prompt.count), or of the answer, at positions \(positions)",
        expected: "at least one token of each prompt or of its answers")
    }
    let first = selected ?? prompt.upperBound - 1
    let places = first..<prompt.upperBound + longest - 1
    func fromEnd(_ selection: PositionSelection) -> [Int] {
      places.filter { selection.contains($0, prompt: prompt) }.map { $0 - prompt.upperBound }
    }
    return Reading(
      first: first - prompt.upperBound, residual: fromEnd(positions),
      state: steersState ? fromEnd(statePositions) : [])
  }

  /// Some tokens, counted from the end of the prompt, cut before each one that reads an edited state.
  ///
  /// - Parameter limit: tokens of a piece, at most; nil for any number.
  func pieces(
    of range: Range<Int>, _ reading: Reading, limit: Int? = nil
  ) -> [Piece] {
    let edited = Set(reading.state.filter(range.contains))
    let starts = edited.union(
      stride(from: range.lowerBound, to: range.upperBound, by: limit ?? max(range.count, 1)))
    let cuts = starts.sorted() + [range.upperBound]
    return zip(cuts, cuts.dropFirst()).map {
      Piece(tokens: $0..<$1, editsState: edited.contains($0))
    }
  }

  private func editState(
    _ state: inout State, _ layer: Int, _ rows: [Row]
  ) throws(Refusal) {
    for (site, edit) in edits where site.isState && site.block == layer {
      guard var value = state.component(site) else { continue }
      let width = edit.vector.count
      value.withMutableFloats { values in
        for (index, row) in rows.enumerated() where sites[row.sites].includes(site) {
          edit.apply(
            strength: multipliers[row.multiplier], unit: unit,
            to: .init(rebasing: values[index * width..<(index + 1) * width]))
        }
      }
      try state.setComponent(site, to: value)
    }
  }

  private func editResidual(
    _ stream: inout BlockStream, _ layer: Int, _ rows: [Row], _ piece: Piece, _ reading: Reading
  ) {
    let site = Site.output(block: layer)
    guard let edit = edits[site] else { return }
    let (tokens, width) = (stream.length, edit.vector.count)
    let selected = reading.residual.filter(piece.tokens.contains).map {
      $0 - piece.tokens.lowerBound
    }
    stream.residual.withMutableFloats { values in
      for (index, row) in rows.enumerated() where sites[row.sites].includes(site) {
        for token in selected {
          let place = (index * tokens + token) * width
          edit.apply(
            strength: multipliers[row.multiplier], unit: unit,
            to: .init(rebasing: values[place..<place + width]))
        }
      }
    }
  }
}
