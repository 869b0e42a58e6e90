import SextantArtifacts
import SextantBytes
import SextantModels

/// The taps of several steering vectors, in the order in which they edit.
///
/// Neighbours that only add, at the same positions, are added to each other first: a vector and its
/// negative then change nothing, bit for bit.
public struct SteeringTaps {
  /// The taps, one for each vector or for neighbours together.
  public let taps: [SteeringTap]
  /// Of each vector: its tap, its sites and its strength.
  private let owners: [(tap: Int, sites: Set<Site>, strength: Float)]

  /// Prepares vectors for a run; strengths in nats are searched for, each with the vectors before it
  /// applied.
  ///
  /// - Parameters:
  ///   - prompt: the tokens of the prompt.
  ///   - state: what the prompt continues.
  /// - Throws: `artifact.*`, `usage.nothing-steered`.
  public init(
    _ applied: [AppliedVector], on prompt: [Int], from state: State, model: any LanguageModel,
    tokenizer: Digest?
  ) throws(FormatError) {
    let range = state.position..<state.position + prompt.count
    var taps: [SteeringTap] = []
    var owners: [(tap: Int, sites: Set<Site>, strength: Float)] = []
    for var item in applied {
      if item.options.unit == .nats {
        let search = StrengthSearch(
          item, on: prompt, model: model, tokenizer: tokenizer, before: taps)
        item.options.strength = try search.strength(from: state)
        item.options.unit = .raw
      }
      let tap = try SteeringTap(
        item.vector, item.options, model: model.description, tokenizer: tokenizer, prompt: range)
      let sites = tap.sites
      if taps.last?.absorb(tap) != true { taps.append(tap) }
      owners.append((taps.count - 1, sites, item.options.strength))
    }
    self.taps = taps
    self.owners = owners
  }

  /// What each vector edited.
  public var summaries: [SteeringSummary] {
    owners.map { taps[$0.tap].summary(of: $0.sites, strength: $0.strength) }
  }
}
