import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor

/// Finds the strength at which a vector moves the prediction after a prompt by a given divergence,
/// so that vectors of different norms, methods and sites can be compared at equal effect.
struct StrengthSearch {
  private let model: any LanguageModel
  private let tokenizer: Digest?
  private let prompt: [Int]
  private let before: [SteeringTap]
  private let item: AppliedVector

  /// Relative error of the strength that is found.
  private static let precision: Float = 1e-4
  /// Doublings before the search gives up.
  private static let reach = 40

  /// - Parameter before: the taps of artifacts that are applied first.
  init(
    _ item: AppliedVector, on prompt: [Int], model: any LanguageModel, tokenizer: Digest?,
    before: [SteeringTap]
  ) {
    self.item = item
    self.prompt = prompt
    self.model = model
    self.tokenizer = tokenizer
    self.before = before
  }

  /// The strength, of the sign asked for.
  ///
  /// - Parameter state: what the prompt continues.
  /// - Throws: `artifact.scale` where no strength reaches the divergence, `usage.nothing-steered`
  ///   where no token of the prompt is steered.
  func strength(from state: State) throws(FormatError) -> Float {
    let (nats, sign) = (abs(item.options.strength), item.options.strength < 0 ? Float(-1) : 1)
    guard nats.isFinite else {
      throw FormatError(
        .artifactScale, file: item.vector.file, found: "\(nats) nats", expected: "a finite number")
    }
    if nats == 0 { return 0 }
    let range = state.position..<state.position + prompt.count
    let (all, own) = (
      item.options.positions ?? item.vector.positions, item.options.statePositions
    )
    let first = range.first { position in
      let token = prompt[position - range.lowerBound]
      return all.contains(position, prompt: range, token: token)
        || own?.contains(position, prompt: range, token: token) == true
    }
    guard let first else {
      throw FormatError(
        .usageNothingSteered, file: item.vector.file, found: "no token of the prompt at \(all)",
        expected: "one, after which the divergence is measured")
    }
    // What comes before the first steered token runs once.
    var fork = state
    let split = first - range.lowerBound
    if split > 0 {
      _ = try model.run(
        TokenBatch(Array(prompt[..<split])), from: &fork, logits: .none, tap: chain(nil))
    }
    let rest = Array(prompt[split...])
    let plain = try prediction(rest, fork, nil)
    let divergence = { (strength: Float) throws(FormatError) -> Float in
      var options = item.options
      options.strength = sign * strength
      options.unit = .raw
      let tap = try SteeringTap(
        item.vector, options, model: model.description, tokenizer: tokenizer, prompt: range)
      return Float(plain.divergence(of: try prediction(rest, fork, tap)))
    }
    return sign * (try crossing(of: nats, divergence))
  }

  /// Where a function that starts at 0 first reaches a value: bracketed by doubling, then bisected.
  private func crossing(
    of target: Float, _ function: (Float) throws(FormatError) -> Float
  ) throws(FormatError) -> Float {
    var (low, high): (Float, Float) = (0, 1)
    var (halvings, doublings) = (0, 0)
    while halvings < Self.reach, try function(high) >= target {
      high /= 2
      halvings += 1
    }
    low = halvings == 0 ? 0 : high
    while try function(high) < target {
      (low, high) = (high, 2 * high)
      doublings += 1
      guard doublings < 2 * Self.reach, high.isFinite else {
        throw FormatError(
          .artifactScale, file: item.vector.file, found: "\(target) nats",
          expected: "a divergence that some strength reaches")
      }
    }
    while high - low > Self.precision * high {
      let middle = low + (high - low) / 2
      if try function(middle) < target { low = middle } else { high = middle }
    }
    return high
  }

  private func prediction(
    _ tokens: [Int], _ state: State, _ tap: SteeringTap?
  ) throws(FormatError) -> LogProbabilities {
    var fork = state
    let logits = try model.run(TokenBatch(tokens), from: &fork, logits: .last, tap: chain(tap))
    return LogProbabilities(logits.values)
  }

  private func chain(_ tap: SteeringTap?) -> (any Tap)? {
    let taps = before + (tap.map { [$0] } ?? [])
    return taps.isEmpty ? nil : TapChain(taps)
  }
}
