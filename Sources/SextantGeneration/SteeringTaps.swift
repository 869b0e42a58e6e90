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
  /// The probes that gates look at: before the taps at every site.
  public let gates: [ProbeTap]
  /// Of each vector: its tap, its sites and its strength.
  private let owners: [(tap: Int, sites: Set<Site>, strength: Float)]

  /// Prepares vectors for a run; strengths in nats are searched for, each with the vectors before it
  /// applied.
  ///
  /// - Parameters:
  ///   - prompt: the tokens of the prompt.
  ///   - state: what the prompt continues.
  /// - Throws: `artifact.*`, such as `artifact.conflict` for two affine vectors at one site;
  ///   `usage.nothing-steered`.
  public init(
    _ applied: [AppliedVector], on prompt: [Int], from state: State, model: any LanguageModel,
    tokenizer: Digest?
  ) throws(FormatError) {
    let range = state.position..<state.position + prompt.count
    var taps: [SteeringTap] = []
    var owners: [(tap: Int, sites: Set<Site>, strength: Float)] = []
    var gates: [ProbeTap] = []
    var claims = ExclusiveSites("an affine vector")
    for var item in applied {
      guard item.gate == nil || item.options.unit != .nats else {
        throw FormatError(
          .usageOption, file: item.vector.file, at: .option("--when"),
          found: "a strength in nats", expected: "another unit for a vector with a condition")
      }
      if item.options.unit == .nats {
        let search = StrengthSearch(
          item, on: prompt, model: model, tokenizer: tokenizer, before: taps)
        item.options.strength = try search.strength(from: state)
        item.options.unit = .raw
      }
      let tap = try SteeringTap(
        item.vector, item.options, model: model.description, tokenizer: tokenizer, prompt: range)
      if let gate = item.gate {
        let probe = try ProbeTap(
          gate.probe, name: gate.name, model: model.description, tokenizer: tokenizer,
          allowsModelMismatch: item.options.allowsModelMismatch)
        gates.append(probe)
        tap.gate = SteeringGate(probe, gate.condition)
      }
      for (sites, positions) in tap.exclusiveSites {
        try claims.claim(sites, at: positions, prompt: range, by: item.vector.file)
      }
      let sites = tap.sites
      if taps.last?.absorb(tap) != true { taps.append(tap) }
      owners.append((taps.count - 1, sites, item.options.strength))
    }
    self.taps = taps
    self.gates = gates
    self.owners = owners
  }

  /// What each vector edited.
  public var summaries: [SteeringSummary] {
    owners.map { taps[$0.tap].summary(of: $0.sites, strength: $0.strength) }
  }
}
