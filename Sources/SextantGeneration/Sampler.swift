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
  private var generator: SplitMix64

  /// A sampler that starts from the options' seed.
  public init(_ options: SamplingOptions) {
    self.options = options
    generator = SplitMix64(seed: options.seed)
  }

  /// Chooses one token.
  ///
  /// Ties are broken by the lower id, so that the choice does not depend on sorting.
  ///
  /// - Parameter logits: [V].
  /// - Throws: `model.nonfinite` when the logits hold a NaN or nothing finite.
  public mutating func choose(_ logits: [Float]) throws(FormatError) -> Int {
    guard let best = logits.indices.max(by: { logits[$0] < logits[$1] }),
      logits[best].isFinite, !logits.contains(where: \.isNaN)
    else {
      throw FormatError(
        .modelNonfinite, found: "logits that are not finite", expected: "finite logits",
        remedy: "Check the weights with `sextant verify`, or lower the strength.")
    }
    if options.temperature == 0 { return logits.firstIndex(of: logits[best]) ?? best }
    let peak = logits[best]
    var candidates = logits.indices.map { id in
      (id: id, weight: expDouble(Double(logits[id] - peak) / Double(options.temperature)))
    }
    if options.topK > 0 || options.topP < 1 {
      candidates.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.id < $1.id }
      if options.topK > 0 { candidates.removeLast(max(0, candidates.count - options.topK)) }
      let total = candidates.reduce(0) { $0 + $1.weight }
      var covered = 0.0
      let needed = Double(options.topP) * total
      if let cut = candidates.firstIndex(where: {
        covered += $0.weight
        return covered >= needed
      }) {
        candidates.removeLast(candidates.count - cut - 1)
      }
    }
    let total = candidates.reduce(0) { $0 + $1.weight }
    var rest = generator.unit() * total
    for candidate in candidates {
      rest -= candidate.weight
      if rest < 0 { return candidate.id }
    }
    // Rounding left a rest: the last token that has a chance takes it.
    return candidates.last { $0.weight > 0 }?.id ?? best
  }
}
