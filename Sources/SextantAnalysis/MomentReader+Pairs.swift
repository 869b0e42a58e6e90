import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor

/// Token ids of contrast pairs: text i of one class belongs to text i of the other.
package struct TokenPairs: Sendable, Equatable {
  /// The texts that show the behaviour.
  package let positive: [[Int]]
  /// The texts that do not.
  package let negative: [[Int]]

  /// Pairs; both lists have one length, and no text is empty.
  package init(positive: [[Int]], negative: [[Int]]) {
    precondition(positive.count == negative.count, "texts without a partner")
    self.positive = positive
    self.negative = negative
  }

  /// The number of pairs.
  package var count: Int { positive.count }

  /// Some of the pairs.
  package func pairs(_ range: Range<Int>) -> TokenPairs {
    TokenPairs(positive: Array(positive[range]), negative: Array(negative[range]))
  }

  /// Cuts the pairs into shards of about equal numbers of tokens, as `formats/moments.md` specifies.
  ///
  /// - Throws: `usage.option` for more shards than pairs.
  package func shards(_ count: Int) throws(Refusal) -> [Range<Int>] {
    guard (1...max(self.count, 1)).contains(count) else {
      throw Refusal(
        .usageOption, at: .parameter("shards"), found: counted(count, "shard"),
        expected: "at most one for each of the \(counted(self.count, "pair"))")
    }
    let sizes = zip(positive, negative).map { $0.count + $1.count }
    let total = sizes.reduce(0, +)
    var cuts = [0]
    var before = 0  // tokens of the pairs before this one
    for (pair, size) in sizes.enumerated() {
      let shard = cuts.count
      if shard < count, pair > cuts[shard - 1],
        before * count >= total * shard || sizes.count - pair == count - shard
      {
        cuts.append(pair)
      }
      before += size
    }
    cuts.append(sizes.count)
    return zip(cuts, cuts.dropFirst()).map { $0..<$1 }
  }
}

/// The common beginning of a pair's texts, and their continuations: pairs of one shape run
/// together.
private struct PairShape: Hashable, Comparable {
  let prefix: Int
  let positive: Int
  let negative: Int

  init(_ positive: [Int], _ negative: [Int]) {
    // At least one token of each remains to run.
    let most = min(positive.count, negative.count) - 1
    var prefix = 0
    while prefix < most, positive[prefix] == negative[prefix] { prefix += 1 }
    self.prefix = max(prefix, 0)
    self.positive = positive.count
    self.negative = negative.count
  }

  static func < (a: Self, b: Self) -> Bool {
    (a.prefix, a.positive, a.negative) < (b.prefix, b.positive, b.negative)
  }
}

extension MomentReader {
  /// Reads pairs. The common beginning of a pair's texts is run once, and both continue from it.
  /// For pairs of questions and answers, it is everything except one token.
  ///
  /// Several ranks divide the batches. Each receives the values of all batches, in their order, at the
  /// sites that it owns.
  ///
  /// - Parameters:
  ///   - pairs: no text may be empty.
  ///   - sites: all sites; rank r owns every `ranks.size`-th from r on.
  ///   - differences: the order of moments of each pair's difference, positive minus negative, as
  ///     the class `difference`; nil if none.
  /// - Returns: the moments of the owned sites; in one process those of all.
  /// - Throws: as `read(_:sites:)`; `data.record` if differences are read and the texts of a pair
  ///   have different numbers of selected positions; `system.ranks`.
  package func read(
    _ pairs: TokenPairs, sites: [SiteDescription], differences: MomentOrder? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> MomentSet {
    try check(sites)
    let owned = ranks.owned(sites.count).map { sites[$0] }
    try MomentSet.checkMemory(owned, [order, order] + (differences.map { [$0] } ?? []))
    typealias Names = SteeringEstimator
    var moments = MomentCollector(
      MomentSet(
        sites: owned,
        classes: [Names.positive, Names.negative] + (differences == nil ? [] : [Names.difference]),
        order: order, orders: differences.map { [Names.difference: $0] } ?? [:]))
    let recorder = Recorder(sites.map(\.site))
    let shapes = zip(pairs.positive, pairs.negative).map { PairShape($0, $1) }
    var done = 0
    let batches = RunBatch.batches(of: shapes) {
      model.sequencesAtOnce(batch, length: max($0.positive, $0.negative))
    }
    try ranks.stream(
      batches.count,
      { index throws(Refusal) -> [PairRows?] in
        let rows = try values(
          of: batches[index], pairs, recorder, needsDifferences: differences != nil)
        return sites.map { rows[$0.site] }
      },
      pack: { rows, rank, message in
        for site in ranks.owned(sites.count, by: rank) {
          message.put(rows[site] == nil ? 0 : 1)
          guard let pair = rows[site] else { continue }
          message.put(pair.positive)
          message.put(pair.negative)
        }
      },
      unpack: { _, reader throws(Refusal) -> [PairRows?] in
        try owned.map { site throws(Refusal) -> PairRows? in
          guard try reader.integer(in: 0...1) == 1 else { return nil }
          let pair = (positive: try reader.tensor(), negative: try reader.tensor())
          guard pair.positive.columnCount == site.elementCount,
            pair.negative.columnCount == site.elementCount
          else {
            throw Refusal(
              .systemRanks, found: "values of another site", expected: site.site.name)
          }
          return pair
        }
      },
      use: { index, rows throws(Refusal) in
        for (site, pair) in zip(owned, rows) {
          guard let pair else { continue }
          moments.add(pair.positive, to: site.site, Names.positive)
          moments.add(pair.negative, to: site.site, Names.negative)
          guard differences != nil else { continue }
          var difference = pair.negative
          Kernels.scale(&difference, by: -1)
          Kernels.add(pair.positive, to: &difference)
          moments.add(difference, to: site.site, Names.difference)
        }
        done += 2 * batches[index].members.count
        progress(done, 2 * shapes.count)
      })
    return moments.finished()
  }

  /// The values of the texts of several pairs, text by text, [B·S, n].
  private typealias PairRows = (positive: Tensor, negative: Tensor)

  /// The values of a batch of pairs at the positions that are read, by site.
  private func values(
    of batch: RunBatch<PairShape>, _ pairs: TokenPairs, _ recorder: Recorder,
    needsDifferences: Bool
  ) throws(Refusal) -> [Site: PairRows] {
    let shape = batch.shape
    let selected = (try positions(in: shape.positive), try positions(in: shape.negative))
    guard !needsDifferences || selected.0.count == selected.1.count else {
      throw Refusal(
        .dataRecord,
        found: "\(selected.0.count) and \(counted(selected.1.count, "token")) of a pair",
        expected: "equally many, to take differences",
        remedy: "Choose `positions` last, or last-K.")
    }
    let texts = (
      batch.members.map { pairs.positive[$0] }, batch.members.map { pairs.negative[$0] }
    )
    return try rows(of: texts, shape, selected, recorder)
  }

  /// The values of a batch of pairs of one shape at the selected positions, text by text, [B·S, n] by
  /// site.
  private func rows(
    of texts: ([[Int]], [[Int]]), _ shape: PairShape, _ selected: ([Int], [Int]),
    _ recorder: Recorder
  ) throws(Refusal) -> [Site: PairRows] {
    let count = texts.0.count
    var state = model.initialState(batch: count)
    recorder.restart(at: Set(selected.0 + selected.1).filter { $0 < shape.prefix })
    if shape.prefix > 0 {
      let prefix = TokenBatch(texts.0.map { Array($0[..<shape.prefix]) })
      _ = try model.run(prefix, from: &state, logits: .none, tap: recorder)
    }
    let shared = recorder.rows()
    let rest = { (text: [Int]) in Array(text[shape.prefix...]) }
    let own: ([Site: [Int: Tensor]], [Site: [Int: Tensor]])
    if shape.positive == shape.negative {
      recorder.restart(at: Set(selected.0))
      var both = state.selecting((0..<2 * count).map { $0 % count })
      let tokens = TokenBatch((texts.0 + texts.1).map(rest))
      _ = try model.run(tokens, from: &both, logits: .none, tap: recorder)
      let rows = recorder.rows()
      let half = { (range: Range<Int>) in
        rows.mapValues { $0.mapValues { $0.rows(range) } }
      }
      own = (half(0..<count), half(count..<2 * count))
    } else {
      var parts: [[Site: [Int: Tensor]]] = []
      for (texts, selected) in [(texts.0, selected.0), (texts.1, selected.1)] {
        recorder.restart(at: Set(selected))
        var fork = state
        _ = try model.run(
          TokenBatch(texts.map(rest)), from: &fork, logits: .none, tap: recorder)
        parts.append(recorder.rows())
      }
      own = (parts[0], parts[1])
    }
    func joined(_ site: Site, _ own: [Site: [Int: Tensor]], _ selected: [Int]) -> Tensor {
      Tensor.textByText(
        selected.compactMap { ($0 < shape.prefix ? shared : own)[site]?[$0] })
    }
    var result: [Site: PairRows] = [:]
    for site in Set(shared.keys).union(own.0.keys) {
      result[site] = (joined(site, own.0, selected.0), joined(site, own.1, selected.1))
    }
    return result
  }
}
