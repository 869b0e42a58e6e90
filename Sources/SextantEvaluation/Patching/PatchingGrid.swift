import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// Patches a run, one place and one token at a time, with the values of another run.
///
/// A patch at a token and a block changes nothing before the token, and nothing below the block. So the cells of one
/// token start together from a fork of the base run's state before it, and each starts before the first block that it
/// changes, from the base run's stream there. They form one batch, which grows from block to block.
struct PatchingGrid {
  private let model: any LanguageModel
  private let places: [PatchedPlace]
  private let sites: [Site: SiteDescription]

  /// Tokens of cells that run together, at most.
  private static let tokenLimit = 4096
  /// Cells that run together, at most.
  private static let rowLimit = 256

  /// A grid of these places.
  init(_ model: any LanguageModel, _ places: [PatchedPlace]) {
    (self.model, self.places) = (model, places)
    sites = Dictionary(uniqueKeysWithValues: model.description.sites.map { ($0.site, $0) })
  }

  /// The sites of parts, whose values a run must keep.
  var parts: [Site] {
    places.map(\.site).filter { if case .part = $0 { true } else { false } }
  }

  /// A token of the base run, and the token of the source run whose values it gets.
  struct Token {
    let base: Int
    let source: Int
  }

  /// One cell that changes something.
  private struct Cell {
    /// Its place in the grid.
    let place: Int
    /// The first block that it runs: the number of blocks if it only changes what leaves the last one.
    let entry: Int
    let edit: Edit
  }

  private enum Edit {
    /// The stream that enters the first block, [1, D].
    case stream(Tensor)
    /// What a part of the first block adds, [1, D].
    case part(Site, Tensor)
    /// The state that the first block reads.
    case state(State)
  }

  /// Patches every place at every token.
  ///
  /// - Parameters:
  ///   - tokens: in order.
  ///   - finished: is told of each token.
  /// - Returns: the outcome of each cell, [place][token]. It is that of the base run where both runs have the same
  ///   value; nil for keys and values of another position.
  func outcomes(
    of base: PatchedRun, by source: PatchedRun, at tokens: [Token], _ pair: PatchingTokens,
    finished: () -> Void = {}
  ) throws(Refusal) -> [[PatchingOutcome?]] {
    var (base, source) = (base, source)
    let unpatched = try PatchingOutcome.rows(base.logits(), pair)[0]
    let shared = Self.sharedCount(base, source)
    let isEven = tokens.allSatisfy { $0.base == $0.source }
    var outcomes: [[PatchingOutcome?]] = places.map { place in
      // Keys are turned by their positions, so that those of another position are no keys here.
      let fits = isEven || sites[place.site]?.grows != true
      return Array(repeating: fits ? unpatched : nil, count: tokens.count)
    }
    let patched = places.indices.filter { outcomes[$0].contains { $0 != nil } }
    for (index, token) in tokens.enumerated() {
      var cells = streamCells(patched, base, source, token)
      // Before the first token that differs, so does no state.
      let mayDiffer = token.base > shared || token.base != token.source
      if mayDiffer, patched.contains(where: { places[$0].site.isState }) {
        cells += try stateCells(
          patched, base.state(before: token.base), source.state(before: token.source))
      }
      cells.sort { $0.entry < $1.entry }
      let limit = min(Self.rowLimit, max(1, Self.tokenLimit / (base.tokens.count - token.base)))
      for first in stride(from: 0, to: cells.count, by: limit) {
        let part = Array(cells[first..<min(first + limit, cells.count)])
        let logits = try run(part, base, base.state(before: token.base), from: token.base)
        for (cell, outcome) in zip(part, try PatchingOutcome.rows(logits, pair)) {
          outcomes[cell.place][index] = outcome
        }
      }
      finished()
    }
    return outcomes
  }

  /// How many tokens at the start have the same embeddings in both runs.
  private static func sharedCount(_ base: PatchedRun, _ source: PatchedRun) -> Int {
    let (a, b) = (base.streams[0].residual, source.streams[0].residual)  // [T, D]
    let count = min(a.rowCount, b.rowCount)
    return (0..<count).first { a.rows($0..<$0 + 1) != b.rows($0..<$0 + 1) } ?? count
  }

  /// The cells of the stream and of parts, where the two runs have other values.
  private func streamCells(
    _ patched: [Int], _ base: PatchedRun, _ source: PatchedRun, _ token: Token
  ) -> [Cell] {
    let last = model.description.layerCount
    let isLastToken = token.base == base.tokens.count - 1
    let value = { (tensor: Tensor, place: Int) in tensor.rows(place..<place + 1) }  // [1, D]
    return patched.compactMap { index -> Cell? in
      let site = places[index].site
      switch site {
      case .embedding, .input, .output:
        let entry = if case .output(let block) = site { block + 1 } else { site.block ?? 0 }
        let own = value(base.streams[entry].residual, token.base)
        let other = value(source.streams[entry].residual, token.source)
        // What leaves the last block is read at the last token alone.
        guard own != other, entry < last || isLastToken else { return nil }
        return Cell(place: index, entry: entry, edit: .stream(other))
      case .part(let block, _):
        guard let own = base.parts[site], let other = source.parts[site] else { return nil }
        let patch = value(other, token.source)
        guard value(own, token.base) != patch else { return nil }
        return Cell(place: index, entry: block, edit: .part(site, patch))
      case .state, .finalNorm, .logits: return nil
      }
    }
  }

  /// The cells of the state, where the two runs have other values.
  private func stateCells(
    _ patched: [Int], _ base: State, _ source: State
  ) throws(Refusal) -> [Cell] {
    var cells: [Cell] = []
    for index in patched {
      let place = places[index]
      guard case .state(let block, _) = place.site, let description = sites[place.site],
        let own = base.component(place.site), let other = source.component(place.site),
        let value = place.patched(own, by: other, description)
      else { continue }
      var state = base
      try state.setComponent(place.site, to: value)
      cells.append(Cell(place: index, entry: block, edit: .state(state)))
    }
    return cells
  }

  /// Runs cells of one token.
  ///
  /// - Parameters:
  ///   - cells: ordered by their first block.
  ///   - state: of the base run, before the token.
  /// - Returns: the logits after the prompt, [cells, V].
  private func run(
    _ cells: [Cell], _ base: PatchedRun, _ state: State, from token: Int
  ) throws(Refusal) -> Tensor {
    var stream: BlockStream?
    var running = 0..<0  // the cells that have entered
    for block in (cells.first?.entry ?? 0)...model.description.layerCount {
      let entering = cells[running.upperBound...].prefix { $0.entry == block }
      if !entering.isEmpty {
        let own = base.stream(before: block, from: token)
        let new = Self.entry(entering, own)
        stream = stream.map { .joining([$0, new]) } ?? new
        running = 0..<entering.endIndex
      }
      guard var batch = stream, block < model.description.layerCount else { continue }
      // Cells that have entered before read what the base run's block remembers.
      let states = cells[running].map { cell in
        if cell.entry == block, case .state(let patched) = cell.edit { patched } else { state }
      }
      var memory = State.joining(states, inBlock: block)
      try model.run(
        &batch, through: block..<block + 1, &memory, tap: tap(cells[running], at: token, in: block))
      stream = batch
    }
    guard let stream else { return Tensor(zeros: [0, model.description.vocabularySize]) }
    return try model.finish(stream)
  }

  /// The stream of cells that enter at one block.
  private static func entry(_ cells: ArraySlice<Cell>, _ own: BlockStream) -> BlockStream {
    var stream = own.selecting(Array(repeating: 0, count: cells.count))
    for (row, cell) in cells.enumerated() {
      guard case .stream(let value) = cell.edit else { continue }
      stream.residual.replace(row * own.length, by: value)
    }
    return stream
  }

  /// The tap that patches the parts of a block; nil if no cell does so.
  private func tap(_ cells: ArraySlice<Cell>, at token: Int, in block: Int) -> (any Tap)? {
    var edits: [Site: [(row: Int, value: Tensor)]] = [:]
    for (row, cell) in cells.enumerated() where cell.entry == block {
      if case .part(let site, let value) = cell.edit {
        edits[site, default: []].append((row, value))
      }
    }
    guard !edits.isEmpty else { return nil }
    return ClosureTap(Set(edits.keys)) { site, value, context in
      for (row, patch) in edits[site] ?? [] {
        value.replace(context.row(sequence: row, position: token), by: patch)
      }
    }
  }
}
