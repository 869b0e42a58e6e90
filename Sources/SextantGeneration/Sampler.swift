import SextantBytes
import SextantModels
import SextantTensor

/// How the next token is chosen from the logits.
///
/// The parts act in this order: bias, repetition penalty, frequency and presence penalty, temperature,
/// top-k, top-p, min-p. It is the order of transformers for those that transformers has.
package struct SamplingOptions: Sendable, Equatable {
  /// The logits are divided by it; 0 chooses the most probable token.
  package var temperature: Float
  /// Only the `topK` most probable tokens may be chosen; 0 for all.
  package var topK: Int
  /// Only the most probable tokens whose probabilities add up to `topP` may be chosen; 1 for all.
  package var topP: Float
  /// Only tokens at least `minP` times as probable as the most probable one may be chosen; 0 for all
  /// (Nguyen et al. 2024, arXiv 2407.01082).
  package var minP: Float
  /// The logit of a token that the text already contains is divided by it if it is positive, and
  /// multiplied if it is negative; 1 changes nothing (Keskar et al. 2019, arXiv 1909.05858, section
  /// 4.1).
  package var repetitionPenalty: Float
  /// Added to the logits of some tokens, by id.
  package var logitBias: [Int: Float] = [:]
  /// Subtracted from the logit of each token that was chosen before.
  package var presencePenalty: Float = 0
  /// Subtracted from the logit of a token, once for each time that it was chosen before.
  package var frequencyPenalty: Float = 0
  /// The seed of the choices: the same seed chooses the same tokens.
  package var seed: UInt64

  /// Creates options.
  ///
  /// - Throws: `usage.option` for a negative or infinite temperature, a negative top-k, a top-p that is
  ///   not between 0 (exclusive) and 1, a min-p that is not between 0 and 1, or a repetition penalty that
  ///   is not a finite number over 0.
  package init(
    temperature: Float = 0.8, topK: Int = 0, topP: Float = 1, minP: Float = 0,
    repetitionPenalty: Float = 1, seed: UInt64 = 0
  ) throws(Refusal) {
    func check(_ isValid: Bool, _ option: String, _ found: String, _ expected: String)
      throws(Refusal)
    {
      guard !isValid else { return }
      throw Refusal(.usageOption, at: .parameter(option), found: found, expected: expected)
    }
    try check(
      temperature.isFinite && temperature >= 0, "temperature", "\(temperature)", "0 or more")
    try check(topK >= 0, "topK", "\(topK)", "0 (all) or more")
    try check(topP > 0 && topP <= 1, "topP", "\(topP)", "over 0, at most 1")
    try check(minP >= 0 && minP <= 1, "minP", "\(minP)", "between 0 (all) and 1")
    try check(
      repetitionPenalty.isFinite && repetitionPenalty > 0, "repetitionPenalty",
      "\(repetitionPenalty)", "a finite number over 0; 1 changes nothing")
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
  }
}

/// Chooses tokens from logits, reproducibly.
package struct Sampler: Sendable {
  /// The options.
  package let options: SamplingOptions
  private var generator: SeededRandom
  /// The tokens of the text so far, which the repetition penalty concerns.
  private var present: Set<Int>
  /// How often each token was chosen, which the presence and frequency penalties concern.
  private var counts: [Int: Int] = [:]

  /// A sampler that starts from the options' seed.
  ///
  /// - Parameter prompt: the tokens that the chosen ones continue.
  package init(_ options: SamplingOptions, continuing prompt: [Int] = []) {
    self.options = options
    generator = SeededRandom(seed: options.seed)
    present = options.repetitionPenalty == 1 ? [] : Set(prompt)
  }

  /// Chooses one token.
  ///
  /// Ties are broken by the lower id, so that the choice does not depend on sorting.
  ///
  /// - Parameters:
  ///   - logits: [V].
  ///   - excluded: tokens that are not chosen.
  /// - Throws: `model.nonfinite` if the logits contain a NaN or no finite number.
  package mutating func choose(
    _ logits: [Float], excluding excluded: [Int] = []
  ) throws(Refusal) -> Int {
    var own = penalised(biased(logits))
    for token in excluded where own.indices.contains(token) { own[token] = -.infinity }
    let token = try draw(own)
    if options.repetitionPenalty != 1 { present.insert(token) }
    if countsTokens { counts[token, default: 0] += 1 }
    return token
  }

  private var countsTokens: Bool { options.presencePenalty != 0 || options.frequencyPenalty != 0 }

  /// The logits with the bias, [V].
  private func biased(_ logits: [Float]) -> [Float] {
    guard !options.logitBias.isEmpty else { return logits }
    var result = logits
    for (token, bias) in options.logitBias where result.indices.contains(token) {
      result[token] += bias
    }
    return result
  }

  /// The logits after the penalties, [V].
  private func penalised(_ logits: [Float]) -> [Float] {
    guard options.repetitionPenalty != 1 || countsTokens else { return logits }
    var result = logits
    for token in present where result.indices.contains(token) {
      if result[token] > 0 {
        result[token] /= options.repetitionPenalty
      } else {
        result[token] *= options.repetitionPenalty
      }
    }
    for (token, count) in counts {
      result[token] -= options.presencePenalty + Float(count) * options.frequencyPenalty
    }
    return result
  }

  private mutating func draw(_ logits: [Float]) throws(Refusal) -> Int {
    let row = Tensor(logits, shape: [1, logits.count])
    guard let best = Kernels.argmax(row).first, logits.indices.contains(best),
      logits[best].isFinite, !logits.contains(where: \.isNaN)
    else {
      throw Refusal.nonfinite("logits")
    }
    if options.temperature == 0 { return best }
    let weights = Kernels.softmax(row, temperature: options.temperature).values  // [V]
    return draw(from: candidates(weights, peak: weights[best]), weights) ?? best
  }

  /// The tokens that top-k, top-p and min-p leave; nil for all.
  private func candidates(_ weights: [Float], peak: Float) -> [Int]? {
    let leading =
      options.topK > 0 || options.topP < 1 ? leading(weights, peak: peak) : nil
    guard options.minP > 0 else { return leading }
    return (leading ?? Array(weights.indices)).filter { weights[$0] >= options.minP * peak }
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
  /// enough tokens are above it, and only those are sorted.
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
    // The share of the probability that top-k left.
    let needed = Double(options.topP) * ids.reduce(0.0) { $0 + Double(weights[$1]) }
    var covered = 0.0
    let cut = ids.firstIndex { id in
      covered += Double(weights[id])
      return covered >= (options.topK > 0 ? needed : mass)
    }
    return Array(ids.prefix((cut ?? ids.count) + 1))
  }
}
