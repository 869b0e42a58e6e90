import SextantBytes
import SextantReport
import SextantStore
import SextantTokenizers

/// The shares of the difference between two runs that pass through each place of a model, at each token.
public struct PatchingResult: Sendable {
  /// A prediction: how the answer stands against the other one.
  public struct Prediction: Sendable, Equatable {
    /// The logit of the answer minus that of the other one; the log-probability of the answer if there is no other.
    public let difference: Double
    /// The probability of the answer.
    public let probability: Double

    init(_ outcome: PatchingOutcome) {
      (difference, probability) = (outcome.difference, outcome.probability)
    }
  }

  /// One place at one column: the mean over the pairs that have it.
  public struct Cell: Sendable {
    /// The place in `places`.
    public let place: Int
    /// The column in `columns`.
    public let column: Int
    /// The patched run.
    public let patched: Prediction
    /// How much of the difference between the two runs the patch carries over: 0 for nothing, 1 for all.
    public let share: Figure
    /// The same of the probability of the answer.
    public let probabilityShare: Figure
    /// The pairs.
    public let pairCount: Int
  }

  /// One pair of prompts.
  public struct Pair: Sendable {
    /// The tokens that stand for each other: positions in the clean and in the corrupted prompt.
    public let alignment: [(clean: Int, corrupted: Int)]
    /// The tokens of the clean prompt.
    public let clean: [Int]
    /// The tokens of the corrupted prompt.
    public let corrupted: [Int]
    /// The token of the answer.
    public let answer: Int
    /// The token that it is compared with; nil for none.
    public let against: Int?
    /// The prediction of the clean run.
    public let cleanPrediction: Prediction
    /// The prediction of the corrupted run; with noise, the mean over its draws.
    public let corruptedPrediction: Prediction
  }

  /// The model.
  public let model: ModelReference
  /// Whether values of the corrupted run were put into the clean one.
  public let isReverse: Bool
  /// The standard deviation of the noise, and the number of its draws; nil without noise.
  public let noise: (deviation: Double, count: Int)?
  /// The pairs.
  public let pairs: [Pair]
  /// The places, in the order in which a run visits them.
  public let places: [PatchedPlace]
  /// The names of the columns: tokens, or parts of named spans.
  public let columns: [String]
  /// The mean prediction of the clean runs.
  public let clean: Prediction
  /// The mean prediction of the corrupted runs.
  public let corrupted: Prediction
  /// All cells, place by place. A place without a value at a column has no cell there.
  public let cells: [Cell]
  /// Seconds of the measurement.
  public let seconds: Double
  /// Sentences on what the figures do not show.
  package let notes: [String]
  /// The texts of tokens; nil if they have none.
  let tokenizer: (any Tokenizer)?

  init(
    model: ModelReference, _ settings: ActivationPatching, noise: (deviation: Double, count: Int)?,
    _ tokens: [PatchingTokens], _ places: [PatchedPlace], _ columns: PatchingColumns,
    _ units: [PatchingUnit], _ tokenizer: (any Tokenizer)?, seconds: Double
  ) throws(Refusal) {
    (self.model, isReverse, self.noise) = (model, settings.reverse, noise)
    (self.places, self.columns, self.tokenizer) = (places, columns.names, tokenizer)
    self.seconds = seconds
    pairs = tokens.enumerated().map { index, tokens in
      Pair(tokens, units.filter { $0.pair == index })
    }
    let means = Self.means(of: units)
    (clean, corrupted) = (Prediction(means.clean), Prediction(means.corrupted))
    guard means.clean.difference != means.corrupted.difference else {
      throw Refusal(
        .dataRecord,
        found: "two runs with the same difference between the answers, \(means.clean.difference)",
        expected: "prompts that the model answers differently")
    }
    cells = Self.cells(units, settings)
    notes = Self.notes(
      on: tokens, cells: cells, isUneven: !tokens.allSatisfy(\.isEven), places, means)
  }

  private static func means(
    of units: [PatchingUnit]
  ) -> (clean: PatchingOutcome, corrupted: PatchingOutcome) {
    let none = PatchingOutcome(difference: .nan, probability: .nan)
    return (
      PatchingOutcome.mean(units.map(\.clean)) ?? none,
      PatchingOutcome.mean(units.map(\.corrupted)) ?? none
    )
  }

  /// The figures of every cell.
  private static func cells(_ units: [PatchingUnit], _ settings: ActivationPatching) -> [Cell] {
    guard let first = units.first else { return [] }
    let samples = Samples(units, settings)
    return first.cells.indices.flatMap { place in
      first.cells[place].indices.compactMap { column -> Cell? in
        let found = units.indices.filter { units[$0].cells[place][column] != nil }
        guard let mean = PatchingOutcome.mean(found.compactMap { units[$0].cells[place][column] })
        else { return nil }
        return Cell(
          place: place, column: column, patched: Prediction(mean),
          share: samples.share(found, place, column, \.difference),
          probabilityShare: samples.share(found, place, column, \.probability),
          pairCount: Set(found.map { units[$0].pair }).count)
      }
    }
  }

  /// The cell of a place at a column; nil if it has none.
  public func cell(_ place: PatchedPlace, column: Int) -> Cell? {
    cells.first { places[$0.place] == place && $0.column == column }
  }

  /// The cells with the largest shares, the largest first.
  public func largest(_ count: Int) -> [Cell] {
    Array(
      cells.filter { $0.share.value.isFinite }.sorted {
        ($0.share.value, -$0.place, -$0.column) > ($1.share.value, -$1.place, -$1.column)
      }.prefix(max(count, 0)))
  }

  /// The columns without those at the start that have the same values in both runs.
  var shownColumns: Range<Int> { Self.firstShown(cells)..<columns.count }

  /// The first column at which a patch changes something.
  private static func firstShown(_ cells: [Cell]) -> Int {
    cells.filter { $0.share.value != 0 }.map(\.column).min() ?? 0
  }

  private static func notes(
    on tokens: [PatchingTokens], cells: [Cell], isUneven: Bool, _ places: [PatchedPlace],
    _ means: (clean: PatchingOutcome, corrupted: PatchingOutcome)
  ) -> [String] {
    var notes: [String] = []
    if means.clean.difference <= means.corrupted.difference {
      notes.append(
        "the answer stands no better after the clean prompt than in the corrupted run: look at the two "
          + "predictions before the shares")
    }
    let same = firstShown(cells)
    if same > 0 {
      notes.append(
        "\(same == 1 ? "the first column has" : "the first \(same) columns have") the same values in both runs "
          + "and a share of 0: the maps begin after \(same == 1 ? "it" : "them")")
    }
    if tokens.contains(where: \.answersAreLonger) {
      notes.append("only the first token at which the answers differ is compared")
    }
    let patched = Set(cells.map(\.place))
    if isUneven, places.indices.contains(where: { !patched.contains($0) }) {
      notes.append(
        "keys and values of attention were left out: those of one position do not fit another")
    }
    if tokens.count > 1, let note = SmallSample.note(tokens.count, "pair") { notes.append(note) }
    return notes
  }
}

extension PatchingResult.Pair {
  fileprivate init(_ tokens: PatchingTokens, _ units: [PatchingUnit]) {
    let none = PatchingOutcome(difference: .nan, probability: .nan)
    self.init(
      alignment: tokens.places.map { ($0.clean, $0.corrupted) }, clean: tokens.clean,
      corrupted: tokens.corrupted, answer: tokens.answer, against: tokens.against,
      cleanPrediction: .init(PatchingOutcome.mean(units.map(\.clean)) ?? none),
      corruptedPrediction: .init(PatchingOutcome.mean(units.map(\.corrupted)) ?? none))
  }
}

/// The samples over which shares are averaged: the pairs, or the noises of the only pair.
private struct Samples {
  private let units: [PatchingUnit]
  private let isReverse: Bool
  private let bootstrap: Bootstrap
  /// Units by pair, or one by one if there is only one pair.
  private let groups: [[Int]]

  init(_ units: [PatchingUnit], _ settings: ActivationPatching) {
    (self.units, isReverse) = (units, settings.reverse)
    let pairCount = Set(units.map(\.pair)).count
    let byPair = Dictionary(grouping: units.indices) { units[$0].pair }
    groups =
      pairCount == 1
      ? units.indices.map { [$0] } : byPair.keys.sorted().map { byPair[$0] ?? [] }
    bootstrap = Bootstrap(count: groups.count, resamples: 1000, seed: settings.seed)
  }

  /// The sum of what a patch changes, as a share of the sum of the differences between the two runs, with its
  /// bootstrap interval over the samples: a pair whose runs hardly differ has little weight.
  ///
  /// - Parameter found: the units that have the cell.
  func share(
    _ found: [Int], _ place: Int, _ column: Int, _ value: (PatchingOutcome) -> Double
  ) -> Figure {
    var parts: [Double] = Array(repeating: 0, count: groups.count)
    var wholes = parts
    let present = Set(found)
    for (group, members) in groups.enumerated() {
      for index in members where present.contains(index) {
        let unit = units[index]
        let (base, source) =
          isReverse ? (unit.clean, unit.corrupted) : (unit.corrupted, unit.clean)
        guard let cell = unit.cells[place][column] else { continue }
        // In parts of a group, so that a pair has one weight however many noises it has.
        parts[group] += (value(cell) - value(base)) / Double(members.count)
        wholes[group] += (value(source) - value(base)) / Double(members.count)
      }
    }
    let ratio = parts.reduce(0, +) / wholes.reduce(0, +)
    return Figure(ratio, bootstrap.interval(ofRatio: parts, to: wholes))
  }
}
