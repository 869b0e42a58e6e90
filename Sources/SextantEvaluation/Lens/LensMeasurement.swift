import SextantModels
import SextantStore

extension LensEvaluation {
  /// The mean of a measure over tokens, with an interval over chunks of text.
  public struct Mean: Sendable, Equatable {
    /// The mean over all tokens, in nats (for agreement: a share).
    public let mean: Double
    /// 95% interval: chunks are resampled.
    public let interval: Interval
    /// The mean of each chunk, for comparisons on the same chunks.
    public let chunks: [Double]
  }
}

extension LensEvaluation {
  /// The predictions of one lens at one site, measured over a text.
  public struct Layer: Sendable {
    /// The site.
    public let site: Site
    /// -log q[next token], nats per token.
    public let crossEntropy: LensEvaluation.Mean
    /// Divergence of the lens's predictions from the model's, nats per token.
    public let divergence: LensEvaluation.Mean
    /// Entropy of the lens's predictions, nats per token.
    public let entropy: LensEvaluation.Mean
    /// The share of tokens at which lens and model rank the same token first.
    public let agreement: LensEvaluation.Mean
  }
}

/// Sums of one lens at one site, chunk by chunk.
struct LensSums {
  private var crossEntropy: [Double]
  private var divergence: [Double]
  private var entropy: [Double]
  private var agreeing: [Double]

  init(chunks: Int) {
    crossEntropy = Array(repeating: 0, count: chunks)
    divergence = crossEntropy
    entropy = crossEntropy
    agreeing = crossEntropy
  }

  mutating func add(_ comparison: ReadoutComparison, _ target: ReadoutTarget, chunks: [Int]) {
    for (row, chunk) in chunks.enumerated() {
      crossEntropy[chunk] += comparison.crossEntropy[row].map { Double($0) } ?? 0
      divergence[chunk] += Double(comparison.divergence[row])
      entropy[chunk] += Double(comparison.entropy[row])
      agreeing[chunk] += comparison.best[row] == target.best[row] ? 1 : 0
    }
  }

  /// The measures; a chunk has one next token less than tokens.
  func layer(_ site: Site, chunkLength: Int, _ bootstrap: Bootstrap) -> LensEvaluation.Layer {
    func figure(_ sums: [Double], _ count: Int) -> LensEvaluation.Mean {
      let means = sums.map { $0 / Double(count) }
      return LensEvaluation.Mean(
        mean: means.reduce(0, +) / Double(max(means.count, 1)),
        interval: bootstrap.interval(ofMean: means), chunks: means)
    }
    return LensEvaluation.Layer(
      site: site, crossEntropy: figure(crossEntropy, chunkLength - 1),
      divergence: figure(divergence, chunkLength), entropy: figure(entropy, chunkLength),
      agreement: figure(agreeing, chunkLength))
  }
}
