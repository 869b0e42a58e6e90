import SextantGeneration
import SextantTensor

/// A token with its score and the most probable tokens at its place.
struct ScoredToken: Sendable {
  /// The id.
  var id: Int
  /// Its log-probability; nil for the first token of a text, which nothing predicts.
  var logProbability: Double?
  /// The most probable tokens, the most probable first; equal ones by id.
  var top: [(id: Int, logProbability: Double)] = []
}

/// Log-probabilities of tokens under predictions: in nats, after steering and before temperature.
enum Scoring {
  /// The scores of tokens.
  ///
  /// Every figure is rounded to a number of 32 bits, which is what the cache keeps: a figure from the cache is
  /// the same as one that is computed.
  ///
  /// - Parameters:
  ///   - tokens: one for each row.
  ///   - logits: [M, V].
  ///   - count: most probable tokens at each place.
  static func scores(
    of tokens: [Int], _ logits: Tensor, top count: Int
  ) -> [(score: TokenScore, token: ScoredToken)] {
    let shifts = Kernels.logSumExp(logits)  // [M]
    let bests = Kernels.argmax(logits)  // [M]
    let width = logits.columnCount
    let ranked = count > 1 ? min(count, width) : 0
    let largest = Kernels.largest(logits, count: ranked)  // [M · ranked]
    return logits.withFloats { values in
      tokens.enumerated().map { row, token in
        let own = UnsafeBufferPointer(rebasing: values[row * width..<(row + 1) * width])
        // A row of NaN has no largest number.
        let best = own.indices.contains(bests[row]) ? bests[row] : 0
        let log = { (id: Int) in Float(Double(own[id]) - Double(shifts[row])) }
        let score = TokenScore(
          logProbability: log(token), best: Int32(best), bestLogProbability: log(best))
        var top = [(id: best, logProbability: Double(score.bestLogProbability))]
        if ranked > 0 {
          top = largest[row * ranked..<(row + 1) * ranked].map { ($0, Double(log($0))) }
        }
        return (
          score,
          ScoredToken(
            id: token, logProbability: Double(score.logProbability),
            top: Array(top.prefix(count)))
        )
      }
    }
  }

  /// A token's score as the cache kept it.
  static func token(_ id: Int, _ score: TokenScore, top count: Int) -> ScoredToken {
    ScoredToken(
      id: id, logProbability: Double(score.logProbability),
      top: count > 0 ? [(Int(score.best), Double(score.bestLogProbability))] : [])
  }
}
