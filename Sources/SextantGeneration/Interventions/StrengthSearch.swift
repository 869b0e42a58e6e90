import Glibc
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor

/// Finds the strength at which a vector moves the prediction after a prompt by a given divergence,
/// so that vectors of different norms, methods and sites can be compared at equal effect.
struct StrengthSearch {
  private let run: BoundRun
  private let before: Interventions
  private let item: AppliedVector

  /// Relative error of the strength that is found.
  private static let precision: Float = 1e-4
  /// Doublings before the search gives up.
  private static let reach = 40

  /// - Parameters:
  ///   - run: of one prompt.
  ///   - before: the interventions that act before the vector, with strengths that need no search.
  init(_ item: AppliedVector, on run: BoundRun, after before: Interventions) {
    var run = run
    run.recordsEdits = false
    self.item = item
    self.run = run
    self.before = before
  }

  /// The strength, of the sign asked for.
  ///
  /// - Throws: `artifact.scale` if no strength reaches the divergence, `usage.nothing-steered` if
  ///   no token of the prompt is steered, `model.nonfinite` if the model does not predict without
  ///   the vector.
  func strength() throws(Refusal) -> Float {
    let (nats, sign) = (abs(item.options.strength), item.options.strength < 0 ? Float(-1) : 1)
    guard nats.isFinite else {
      throw Refusal(
        .artifactScale, file: item.vector.file, found: "\(nats) nats", expected: "a finite number")
    }
    if nats == 0 { return 0 }
    let (prompt, range) = (run.prompts[0], run.prompt)
    let tokens = item.options.tokens(orElse: item.vector.positions, prompt: range)
    let first = range.first { position in
      let token = prompt[position - range.lowerBound]
      return [tokens.tokens, tokens.state].contains {
        $0.contains(position, prompt: range, token: token)
      }
    }
    guard let first else {
      throw Refusal(
        .usageNothingSteered, file: item.vector.file,
        found: "no token of the prompt at \(tokens.tokens)",
        expected: "one, after which the divergence is measured")
    }
    // The tokens before the first steered one run once.
    var fork = run.state
    let split = first - range.lowerBound
    if split > 0 {
      _ = try run.model.run(
        TokenBatch(Array(prompt[..<split])), from: &fork, logits: .none,
        tap: before.bind(to: run).tap)
    }
    let rest = Array(prompt[split...])
    guard let plain = try prediction(rest, fork, before) else {
      throw Refusal(
        .modelNonfinite, file: item.vector.file, found: "logits that are not finite",
        expected: "a prediction to measure the divergence from")
    }
    return sign
      * (try crossing(of: nats) { strength throws(Refusal) in
        var applied = item
        applied.options.strength = sign * strength
        applied.options.unit = .raw
        let steered = Interventions(before.items + [.steer(applied)])
        return try prediction(rest, fork, steered).map { Float(plain.divergence(of: $0)) }
      })
  }

  /// The first place where a function that starts at 0 reaches a value: bracketed by doubling, then
  /// bisected.
  ///
  /// - Parameter function: nil if the strength is so large that the model's numbers overflow.
  private func crossing(
    of target: Float, _ function: (Float) throws(Refusal) -> Float?
  ) throws(Refusal) -> Float {
    var (low, high): (Float, Float) = (0, 1)
    var (halvings, doublings) = (0, 0)
    while halvings < Self.reach, try function(high) ?? .infinity >= target {
      high /= 2
      halvings += 1
    }
    low = halvings == 0 ? 0 : high
    var largest: Float = 0
    while true {
      guard let value = try function(high), high.isFinite, doublings < 2 * Self.reach else {
        throw unreachable(target, largest)
      }
      if value >= target { break }
      largest = max(largest, value)
      (low, high) = (high, 2 * high)
      doublings += 1
    }
    while high - low > Self.precision * high {
      let middle = low + (high - low) / 2
      if try function(middle) ?? .infinity < target { low = middle } else { high = middle }
    }
    return high
  }

  private func unreachable(_ target: Float, _ largest: Float) -> Refusal {
    let reached = Self.threeDigits(largest)
    return Refusal(
      .artifactScale, file: item.vector.file,
      found: "\(target) nats; this vector reaches at most \(reached) nats",
      expected: "a divergence that some strength reaches",
      remedy: "Ask for less than \(reached) nats, or give a plain number.")
  }

  private static func threeDigits(_ value: Float) -> Double {
    guard value > 0, value.isFinite else { return 0 }
    let scale = pow(10, 2 - floor(log10(Double(value))))
    return (Double(value) * scale).rounded(.down) / scale
  }

  /// The prediction after the prompt; nil if the numbers overflow.
  private func prediction(
    _ tokens: [Int], _ state: State, _ interventions: Interventions
  ) throws(Refusal) -> LogProbabilities? {
    let bound: BoundInterventions
    do { bound = try interventions.bind(to: run) } catch {
      if error.code == .artifactScale { return nil }
      throw error
    }
    var fork = state
    let logits = try run.model.run(
      TokenBatch(tokens), from: &fork, logits: .last, tap: bound.tap
    ).values
    return logits.allSatisfy(\.isFinite) ? LogProbabilities(logits) : nil
  }
}
