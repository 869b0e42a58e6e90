import SextantArtifacts
import SextantBytes
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
  /// - Parameters:
  ///   - pairs: no text may be empty.
  ///   - differences: the order of moments of each pair's difference, positive minus negative, as
  ///     the class `difference`; nil if none.
  /// - Throws: as `read(_:sites:)`; `data.record` if differences are read and the texts of a pair
  ///   have different numbers of selected positions.
  package func read(
    _ pairs: TokenPairs, sites: [SiteDescription], differences: MomentOrder? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> MomentSet {
    try check(sites)
    try MomentSet.checkMemory(sites, [order, order] + (differences.map { [$0] } ?? []))
    typealias Names = SteeringEstimator
    var moments = MomentCollector(
      MomentSet(
        sites: sites,
        classes: [Names.positive, Names.negative] + (differences == nil ? [] : [Names.difference]),
        order: order, orders: differences.map { [Names.difference: $0] } ?? [:]))
    let recorder = Recorder(sites.map(\.site))
    let shapes = zip(pairs.positive, pairs.negative).map { PairShape($0, $1) }
    var done = 0
    let batches = RunBatch.batches(of: shapes) {
      model.sequencesAtOnce(batch, length: max($0.positive, $0.negative))
    }
    for batch in batches {
      let shape = batch.shape
      let selected = (try positions(in: shape.positive), try positions(in: shape.negative))
      guard differences == nil || selected.0.count == selected.1.count else {
        throw Refusal(
          .dataRecord,
          found: "\(selected.0.count) and \(counted(selected.1.count, "token")) of a pair",
          expected: "equally many, to take differences",
          remedy: "Choose `positions` last, or last-K.")
      }
      let members = batch.members
      let texts = (members.map { pairs.positive[$0] }, members.map { pairs.negative[$0] })
      let rows = try rows(of: texts, shape, selected, recorder)
      for site in sites {
        guard let pair = rows[site.site] else { continue }
        moments.add(pair.positive, to: site.site, Names.positive)
        moments.add(pair.negative, to: site.site, Names.negative)
        guard differences != nil else { continue }
        var difference = pair.negative
        Kernels.scale(&difference, by: -1)
        Kernels.add(pair.positive, to: &difference)
        moments.add(difference, to: site.site, Names.difference)
      }
      done += 2 * members.count
      progress(done, 2 * shapes.count)
    }
    return moments.finished()
  }

  /// The values of a batch of pairs of one shape at the selected positions, text by text, [B·S, n] by
  /// site.
  private func rows(
    of texts: ([[Int]], [[Int]]), _ shape: PairShape, _ selected: ([Int], [Int]),
    _ recorder: Recorder
  ) throws(Refusal) -> [Site: (positive: Tensor, negative: Tensor)] {
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
    var result: [Site: (positive: Tensor, negative: Tensor)] = [:]
    for site in Set(shared.keys).union(own.0.keys) {
      result[site] = (joined(site, own.0, selected.0), joined(site, own.1, selected.1))
    }
    return result
  }
}
