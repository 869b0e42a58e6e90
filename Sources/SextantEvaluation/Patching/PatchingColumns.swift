import SextantBytes
import SextantTokenizers

/// The columns of a result: the tokens of the prompts, or parts of their regions.
struct PatchingColumns {
  /// The names.
  let names: [String]
  /// Indexed by pair: the column of each place.
  private let columns: [[Int]]

  /// The number of columns.
  var count: Int { names.count }

  /// The columns of pairs, at least one.
  ///
  /// - Parameter tokenizer: nil if the tokens have no text.
  /// - Throws: `data.tokenization` for pairs of different lengths without common spans.
  init(_ pairs: [PatchingTokens], _ tokenizer: (any Tokenizer)?) throws(Refusal) {
    let shapes = Set(pairs.map { $0.places.map(\.region) })
    guard shapes.count > 1 else {
      columns = pairs.map { Array($0.places.indices) }
      names = pairs[0].places.indices.map { place in
        let texts = Set(pairs.map { Self.text(of: $0.places[place], in: $0, tokenizer) })
        return texts.count == 1 ? texts.first ?? "" : "token \(place)"
      }
      return
    }
    let regions = pairs.map(\.regions)
    guard Set(regions).count == 1, regions[0].count > 1 else {
      let counts = pairs.map(\.places.count)
      throw Refusal(
        .dataTokenization,
        found: "pairs of \(counts.min() ?? 0) to \(counted(counts.max() ?? 0, "token")), "
          + (Set(regions).count == 1 ? "without spans" : "whose spans have different names"),
        expected: "pairs of equally many tokens, or with spans of the same names in the same order",
        remedy: "Name the texts that stand for each other in the field \"spans\" of each record.")
    }
    let parts = pairs.map(Self.parts)
    let found = Set(parts.joined())
    let all = found.sorted { ($0.region, $0.part) < ($1.region, $1.part) }
    names = all.map { "\(regions[0][$0.region]), \(Self.words[$0.part])" }
    columns = parts.map { parts in parts.map { all.firstIndex(of: $0) ?? 0 } }
  }

  private static let words = ["first", "middle", "last"]

  private struct Part: Hashable {
    let region: Int
    let part: Int
  }

  /// The part of each place: the first token of a region, those in the middle, or the last one.
  private static func parts(of pair: PatchingTokens) -> [Part] {
    pair.places.indices.map { index in
      let region = pair.places[index].region
      let isLast = index + 1 == pair.places.count || pair.places[index + 1].region != region
      let isFirst = index == 0 || pair.places[index - 1].region != region
      return Part(region: region, part: isLast ? 2 : isFirst ? 0 : 1)
    }
  }

  /// The token of a place: of the clean prompt, and that of the corrupted one if it is another.
  private static func text(
    of place: PatchingTokens.Place, in pair: PatchingTokens, _ tokenizer: (any Tokenizer)?
  ) -> String {
    let shown = { (id: Int) in tokenizer.map { LensText.shown($0.decode([id])) } ?? "\(id)" }
    let (clean, corrupted) = (pair.clean[place.clean], pair.corrupted[place.corrupted])
    return shown(clean) + (clean == corrupted ? "" : "/" + shown(corrupted))
  }

  /// The outcome of each column, from those of a pair's places.
  func outcomes(of places: [PatchingOutcome?], pair: Int) -> [PatchingOutcome?] {
    var members: [[PatchingOutcome]] = Array(repeating: [], count: count)
    for (column, outcome) in zip(columns[pair], places) {
      if let outcome { members[column].append(outcome) }
    }
    return members.map { PatchingOutcome.mean($0) }
  }
}

/// The outcomes of one pair, with one noise if there is any.
struct PatchingUnit {
  /// The pair.
  let pair: Int
  /// The clean run, unpatched.
  let clean: PatchingOutcome
  /// The corrupted run, unpatched.
  let corrupted: PatchingOutcome
  /// [place][column].
  let cells: [[PatchingOutcome?]]
}
