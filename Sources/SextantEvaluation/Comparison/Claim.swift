import SextantReport

/// A claim of arXiv 2404.05971, as differences that must be above zero.
package struct Claim: Sendable {
  /// The experiments of the paper.
  package enum Experiment: Sendable { case steering, lenses, probes }

  /// Its number on the page.
  package let number: Int
  /// The experiment that tests it.
  package let experiment: Experiment
  /// The claim in a sentence.
  package let text: String
  /// What the differences are.
  package let measure: String
  /// The differences of a model; none if the claim is not about models of its kind.
  let differences: @Sendable (ComparisonMember) -> [Figure]

  /// The result of a claim for one model.
  package struct Result: Sendable, Equatable {
    /// The differences.
    package let differences: [Figure]
    /// Whether the claim holds.
    package let verdict: Verdict

    /// Judges differences, all of which must be above zero.
    package init(_ differences: [Figure]) {
      self.differences = differences
      verdict = Verdict(ofAll: differences.map { Verdict(of: $0.interval) })
    }

    /// The verdict with its figures.
    package var text: String {
      if differences.count == 1 {
        return "\(verdict.rawValue): \(SteeringEvaluation.text(differences[0]))"
      }
      let holding = differences.count { Verdict(of: $0.interval) == .holds }
      return "\(verdict.rawValue): at \(holding) of \(differences.count) depths"
    }
  }

  /// The result for a model; nil if the claim is not about models of its kind.
  package func result(of member: ComparisonMember) -> Result? {
    let found = differences(member)
    return found.isEmpty ? nil : Result(found)
  }

  /// The claims about a model and an experiment, in words: which hold, and which do not.
  package static func sentence(_ results: [(number: Int, verdict: Verdict)]) -> String {
    let order: [(Verdict, one: String, many: String)] = [
      (.holds, "holds here", "hold here"), (.fails, "does not hold", "do not hold"),
      (.unclear, "cannot be told", "cannot be told"),
    ]
    let parts = order.compactMap { verdict, one, many -> String? in
      let numbers = results.filter { $0.verdict == verdict }.map { String($0.number) }
      guard let last = numbers.last else { return nil }
      if numbers.count == 1 { return "claim \(last) \(one)" }
      return "claims \(numbers.dropLast().joined(separator: ", ")) and \(last) \(many)"
    }
    return parts.joined(separator: "; ")
  }
}

// MARK: The paper's claims

extension Claim {
  /// The claims, by experiment.
  package static let all: [Claim] = [
    Claim(
      number: 1, experiment: .steering, text: "A vector in the residual stream steers the model.",
      measure: "the change of matching, minus the largest of 95% of random directions"
    ) { $0.effect(.residual) },
    Claim(
      number: 2, experiment: .steering,
      text: "A vector in the recurrent state alone steers it too.",
      measure: "the same"
    ) { $0.effect(.state) },
    Claim(
      number: 3, experiment: .steering, text: "The state alone steers less than the stream.",
      measure: "the change by the stream, minus that by the state"
    ) { $0.combined(.residual, .state) { $0[0] - $0[1] } },
    Claim(
      number: 4, experiment: .steering,
      text: "Stream and state together steer more than the stream.",
      measure: "the change by both, minus that by the stream"
    ) { $0.combined(.both, .residual) { $0[0] - $0[1] } },
    Claim(
      number: 5, experiment: .steering, text: "Together they steer less than the sum of the two.",
      measure: "the sum of the changes by stream and state, minus the change by both"
    ) { $0.combined(.residual, .state, .both) { $0[0] + $0[1] - $0[2] } },
    Claim(
      number: 6, experiment: .lenses,
      text:
        "In the first half of the model the tuned lens is closer to its predictions than the logit lens.",
      measure: "the divergence of the logit lens, minus that of the tuned lens, at each depth"
    ) { $0.tunedAgainstLogit },
    Claim(
      number: 7, experiment: .lenses,
      text: "Through the tuned lens, each block improves the prediction.",
      measure: "the cross-entropy before a block, minus that after it, at each depth"
    ) { $0.improvements },
    Claim(
      number: 8, experiment: .probes,
      text: "A probe of the stream that learns the truth from Alice finds it in Bob's contexts.",
      measure:
        "the area on Bob's statements, minus the area that 95% of random directions stay below"
    ) { $0.knowledge(in: "output") },
    Claim(
      number: 9, experiment: .probes, text: "A probe of the recurrent state finds it too.",
      measure: "the same, for the largest component of the state"
    ) { member in member.memory.map { member.knowledge(in: $0) } ?? [] },
    Claim(
      number: 10, experiment: .probes, text: "The state improves the result: its probe finds more.",
      measure: "the area of the state's probe, minus that of the stream's"
    ) { $0.stateAgainstStream },
  ]
}

extension ComparisonMember {
  /// The effect of steering some sites beyond that of random directions.
  fileprivate func effect(_ sites: SteeredSites) -> [Figure] {
    guard let curve = curve(sites), let control = steering.control(of: curve) else { return [] }
    return [curve.contrast.minus(control.contrast.interval.high)]
  }

  /// A combination of the effects of sets of sites, item by item.
  fileprivate func combined(
    _ sites: SteeredSites..., by combine: ([Double]) -> Double
  ) -> [Figure] {
    let curves = sites.compactMap { curve($0)?.contrasts }
    guard curves.count == sites.count, let count = curves.map(\.count).min(), count > 0 else {
      return []
    }
    return [figure(ofItems: (0..<count).map { item in combine(curves.map { $0[item] }) })]
  }

  /// The logit lens's divergence minus the tuned lens's, up to the middle of the model.
  fileprivate var tunedAgainstLogit: [Figure] {
    guard let logit = lens("logit"), let tuned = lens("tuned") else { return [] }
    return zip(logit, tuned).filter { depth($0.0) <= 0.5 }.map { logit, tuned in
      figure(ofChunks: zip(logit.divergence.chunks, tuned.divergence.chunks).map { $0 - $1 })
    }
  }

  /// The fall of the tuned lens's cross-entropy over each block.
  fileprivate var improvements: [Figure] {
    guard let tuned = lens("tuned") else { return [] }
    return zip(tuned, tuned.dropFirst()).map { before, after in
      figure(ofChunks: zip(before.crossEntropy.chunks, after.crossEntropy.chunks).map { $0 - $1 })
    }
  }

  /// The area on Bob's statements beyond that of random directions.
  fileprivate func knowledge(in family: String) -> [Figure] {
    guard let found = transfer(to: "B", family), let bound = chance(found) else { return [] }
    return [found.roc.figure.minus(bound)]
  }

  fileprivate var stateAgainstStream: [Figure] {
    guard let memory, let state = transfer(to: "B", memory),
      let stream = transfer(to: "B", "output")
    else { return [] }
    return [
      Figure(
        state.roc.area - stream.roc.area, Interval(state.roc.interval, minus: stream.roc.interval))
    ]
  }
}

extension Figure {
  /// A figure and its interval.
  package init(_ value: Double, _ interval: Interval) {
    (self.value, self.interval) = (value, interval)
  }

  /// The figure minus a known number.
  fileprivate func minus(_ number: Double) -> Figure {
    Figure(value - number, Interval(low: interval.low - number, high: interval.high - number))
  }
}
