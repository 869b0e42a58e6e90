import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

/// Applies a vector at every layer, at every strength and at several sets of sites, one cell of the
/// grid at a time, and reads the prediction after each prompt.
///
/// What a cell shares with others is computed once: the prompt up to the first steered token, from
/// whose state all cells of a prompt fork, and everything below the steered layer. The cells of a
/// layer run together as one batch.
public struct SteeringSweep {
  private let model: any LanguageModel
  private let edits: [Site: SteeringEdit]
  private let unit: SteeringEdit.Unit
  private let positions: PositionSelection
  private let statePositions: PositionSelection
  private let layers: [Int]
  private let multipliers: [Float]
  private let sites: [SteeredSites]
  private let rowLimit: Int

  /// Bytes of forked states that a batch may hold.
  private static let stateByteLimit = 1 << 29

  /// Prepares a sweep.
  ///
  /// - Parameters:
  ///   - vector: what is applied, each block's part at that block only.
  ///   - options: operation, positions, and a unit other than nats. Strength and blocks are those of
  ///     the grid.
  ///   - layers: nil for every block that the vector has something for.
  ///   - multipliers: strengths; 0, the baseline, is always measured.
  ///   - rowLimit: sequences that run together.
  /// - Throws: `artifact.*` for a vector that does not fit the model, `artifact.empty` where a set of
  ///   sites selects nothing at all.
  public init(
    _ model: any LanguageModel, tokenizer: Digest?, vector: SteeringVector,
    options: SteeringOptions = .init(), layers: LayerSelection? = nil, multipliers: [Float],
    sites: [SteeredSites], rowLimit: Int = 256
  ) throws(FormatError) {
    guard options.strength == 1, options.layers == nil, options.layerStrengths == nil,
      options.unit != .nats
    else {
      throw FormatError(
        .usageOption, file: vector.file, found: "a strength or blocks beside those of the grid",
        expected: "multipliers and layers of the sweep, as multiples or shares")
    }
    var whole = options
    whole.layers = layers
    // The applier's checks, and its edits of strength 1.
    let edits = try AppliedVector(vector, whole).edits(
      for: model.description, tokenizer: tokenizer
    ).filter { $0.key.block != nil }.mapValues(\.edit)
    for set in sites where !edits.keys.contains(where: set.includes) {
      throw FormatError(
        .artifactEmpty, file: vector.file, found: "no vector for \(set)",
        expected: "one at some layer", remedy: "Train with --sites all.")
    }
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

  /// Runs the sweep.
  ///
  /// - Returns: what each cell made of each item, in the items' order.
  /// - Throws: `usage.nothing-steered` where a prompt has no selected token; `model.*`.
  public func run(
    on items: [ChoiceTest.Tokens], progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) -> SweepResult {
    var result = SweepResult(
      layers: layers, multipliers: multipliers, sites: sites, itemCount: items.count)
    let perItem = max(sites.count * multipliers.count, 1)
    let group = max(1, min(rowLimit, affordableRows()) / perItem)
    let byLength = Dictionary(grouping: items.indices) { items[$0].prompt.count }
    var done = 0
    for (_, members) in byLength.sorted(by: { $0.key < $1.key }) {
      for start in stride(from: 0, to: members.count, by: group) {
        let part = Array(members[start..<min(start + group, members.count)])
        try run(part, items, &result)
        done += part.count
        progress(done, items.count)
      }
    }
    return result
  }

  /// Rows whose forked states fit.
  private func affordableRows() -> Int {
    let bytes = model.description.stateLayout.joined().reduce(0) {
      $0 + 4 * $1.shape.reduce(1, *)
    }
    return max(1, Self.stateByteLimit / max(bytes, 1))
  }

  /// A piece of the steered end of a prompt: the state can be edited before its first token only.
  private struct Piece {
    let tokens: Range<Int>
    let editsState: Bool
  }

  /// Items of equal length, together.
  private func run(
    _ members: [Int], _ items: [ChoiceTest.Tokens], _ result: inout SweepResult
  ) throws(FormatError) {
    let prompts = members.map { items[$0].prompt }
    let pieces = try pieces(length: prompts[0].count)
    var state = model.initialState(batch: members.count)
    let first = pieces[0].tokens.lowerBound
    if first > 0 {
      let prefix = TokenBatch(prompts.map { Array($0[..<first]) })
      _ = try model.run(prefix, from: &state, logits: .none)
    }
    // The unsteered run: what enters each layer, piece by piece.
    let layerCount = model.description.layerCount
    var plain = state
    var inputs: [[BlockStream]] = []  // [piece][layer]
    var baseline: [LogProbabilities] = []
    for piece in pieces {
      let tokens = TokenBatch(prompts.map { Array($0[piece.tokens]) })
      var stream = try model.begin(tokens, at: plain.position)
      var streams: [BlockStream] = []
      for layer in 0..<layerCount {
        streams.append(stream)
        try model.run(&stream, through: layer..<layer + 1, &plain)
      }
      inputs.append(streams)
      if piece.tokens.upperBound == prompts[0].count {
        baseline = LogProbabilities.rows(try model.finish(stream))
      }
    }
    for (row, item) in members.enumerated() {
      result.setBaseline(ChoiceOutcome(baseline[row], items[item], baseline[row]), item)
    }
    for layer in layers {
      let rows = cells(at: layer, count: members.count)
      guard !rows.isEmpty else { continue }
      var fork = state.selecting(rows.map(\.member))
      var logits: [LogProbabilities] = []
      for (piece, streams) in zip(pieces, inputs) {
        var stream = streams[layer].selecting(rows.map(\.member))
        if piece.editsState { try editState(&fork, layer, rows) }
        try model.run(&stream, through: layer..<layer + 1, &fork)
        editResidual(&stream, layer, rows, first: piece.tokens.lowerBound, prompts[0].count)
        if layer + 1 < layerCount {
          try model.run(&stream, through: layer + 1..<layerCount, &fork)
        }
        if piece.tokens.upperBound == prompts[0].count {
          logits = LogProbabilities.rows(try model.finish(stream))
        }
      }
      for (row, prediction) in zip(rows, logits) {
        let item = members[row.member]
        result.set(
          ChoiceOutcome(prediction, items[item], baseline[row.member]), layer: layer,
          sites: row.sites, multiplier: row.multiplier, item: item)
      }
    }
  }

  /// One sequence of a batch.
  private struct Row {
    let member: Int
    let sites: Int
    let multiplier: Int
  }

  /// The cells of a layer, for each member of a group.
  private func cells(at layer: Int, count: Int) -> [Row] {
    let present = sites.indices.filter { index in
      edits.keys.contains { $0.block == layer && sites[index].includes($0) }
    }
    return (0..<count).flatMap { member in
      present.flatMap { set in
        multipliers.indices.map { Row(member: member, sites: set, multiplier: $0) }
      }
    }
  }

  /// The prompt from its first selected token on, cut before each token that reads an edited state.
  private func pieces(length: Int) throws(FormatError) -> [Piece] {
    let prompt = 0..<length
    let steersState = edits.keys.contains(where: \.isState)
    let state =
      steersState ? prompt.filter { statePositions.contains($0, prompt: prompt) } : []
    let residual =
      edits.keys.contains { !$0.isState }
      ? prompt.filter { positions.contains($0, prompt: prompt) }
      : []
    guard let first = (state + residual).min() else {
      throw FormatError(
        .usageNothingSteered, found: "no token of \(length) at positions \(positions)",
        expected: "at least one token of each prompt")
    }
    var starts = Set(state)
    starts.insert(first)
    let cuts = starts.sorted() + [length]
    return zip(cuts, cuts.dropFirst()).map {
      Piece(tokens: $0..<$1, editsState: state.contains($0))
    }
  }

  private func editState(
    _ state: inout State, _ layer: Int, _ rows: [Row]
  ) throws(FormatError) {
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
    _ stream: inout BlockStream, _ layer: Int, _ rows: [Row], first: Int, _ length: Int
  ) {
    let site = Site.output(block: layer)
    guard let edit = edits[site] else { return }
    let (tokens, width) = (stream.positions.count, edit.vector.count)
    let selected = (0..<tokens).filter { positions.contains(first + $0, prompt: 0..<length) }
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
