import SextantBytes
import SextantTensor

/// How the next token is chosen from the logits.
public struct SamplingOptions: Sendable, Equatable {
  /// What logits are divided by; 0 chooses the most probable token.
  public var temperature: Float
  /// Only the most probable `topK` tokens may be chosen; 0 for all.
  public var topK: Int
  /// Only the most probable tokens whose probabilities add up to `topP` may be chosen; 1 for all.
  public var topP: Float
  /// The seed of the choices: the same seed chooses the same tokens.
  public var seed: UInt64

  /// Creates options.
  ///
  /// - Throws: `usage.option` for a negative or infinite temperature, a negative top-k, or a top-p
  ///   that is not between 0 (exclusive) and 1.
  public init(
    temperature: Float = 0.8, topK: Int = 0, topP: Float = 1, seed: UInt64 = 0
  ) throws(FormatError) {
    guard temperature.isFinite, temperature >= 0 else {
      throw FormatError(
        .usageOption, at: .option("--temp"), found: "\(temperature)", expected: "0 or more")
    }
    guard topK >= 0 else {
      throw FormatError(
        .usageOption, at: .option("--top-k"), found: "\(topK)", expected: "0 (all) or more")
    }
    guard topP > 0, topP <= 1 else {
      throw FormatError(
        .usageOption, at: .option("--top-p"), found: "\(topP)", expected: "over 0, at most 1")
    }
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }
}

/// Chooses tokens from logits, reproducibly.
public struct Sampler: Sendable {
  /// The options.
  public let options: SamplingOptions
  private var generator: SeededRandom

  /// A sampler that starts from the options' seed.
  public init(_ options: SamplingOptions) {
    self.options = options
    generator = SeededRandom(seed: options.seed)
  }

  /// Chooses one token.
  ///
  /// Ties are broken by the lower id, so that the choice does not depend on sorting.
  ///
  /// - Parameter logits: [V].
  /// - Throws: `model.nonfinite` when the logits hold a NaN or nothing finite.
  public mutating func choose(_ logits: [Float]) throws(FormatError) -> Int {
    let row = Tensor(logits, shape: [1, logits.count])
    guard let best = Kernels.argmax(row).first, logits.indices.contains(best),
      logits[best].isFinite, !logits.contains(where: \.isNaN)
    else {
      throw FormatError(
        .modelNonfinite, found: "logits that are not finite", expected: "finite logits",
        remedy: "Check the weights with `sextant verify`, or lower the strength.")
    }
    if options.temperature == 0 { return best }
    let weights = Kernels.softmax(row, temperature: options.temperature).values  // [V]
    let isCut = options.topK > 0 || options.topP < 1
    return draw(from: isCut ? leading(weights, peak: weights[best]) : nil, weights) ?? best
  }

  /// Draws one of `candidates`, or of all tokens, by weight; nil when rounding leaves none.
  private mutating func draw(from candidates: [Int]?, _ weights: [Float]) -> Int? {
    let ids = candidates ?? Array(weights.indices)
    let total = ids.reduce(0.0) { $0 + Double(weights[$1]) }
    var rest = generator.unit() * total
    for id in ids {
      rest -= Double(weights[id])
      if rest < 0 { return id }
    }
    // Rounding left a rest: the last token that has a chance takes it.
    return ids.last { weights[$0] > 0 }
  }

  /// The tokens that top-k and top-p leave, the most probable first.
  ///
  /// Sorting a whole vocabulary costs more than a small model's step. The floor is lowered until
  /// enough tokens lie above it, and only those are sorted.
  private func leading(_ weights: [Float], peak: Float) -> [Int] {
    let count = options.topK > 0 ? min(options.topK, weights.count) : weights.count
    let mass = Double(options.topP) * weights.reduce(0.0) { $0 + Double($1) }
    var floor = peak
    var ids: [Int] = []
    repeat {
      floor = floor < 1e-36 ? 0 : floor / 8
      ids = weights.indices.filter { weights[$0] >= floor }
      if ids.count >= count { break }
      if options.topK == 0, ids.reduce(0.0, { $0 + Double(weights[$1]) }) >= mass { break }
    } while floor > 0
    ids.sort { weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1 }
    if options.topK > 0 { ids = Array(ids.prefix(count)) }
    guard options.topP < 1 else { return ids }
    // Of the mass that top-k left.
    let needed = Double(options.topP) * ids.reduce(0.0) { $0 + Double(weights[$1]) }
    var covered = 0.0
    let cut = ids.firstIndex { id in
      covered += Double(weights[id])
      return covered >= (options.topK > 0 ? needed : mass)
    }
    return Array(ids.prefix((cut ?? ids.count) + 1))
  }
}
