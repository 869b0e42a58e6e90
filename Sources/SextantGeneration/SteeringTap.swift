import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// How a steering vector is applied: how strongly, where, and to which tokens.
public struct SteeringOptions: Sendable {
  /// What the vector is multiplied by; 0 changes nothing, bit for bit.
  public var strength: Float
  /// The positions to steer; nil for the ones that the artifact says.
  public var positions: PositionSelection?
  /// The blocks to steer; nil for all that the artifact has a vector for. Sites outside the blocks
  /// are steered either way.
  public var layers: ClosedRange<Int>?
  /// Accept a vector of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// Applies a vector as its artifact says.
  public init(
    strength: Float = 1, positions: PositionSelection? = nil, layers: ClosedRange<Int>? = nil,
    allowsModelMismatch: Bool = false
  ) {
    self.strength = strength
    self.positions = positions
    self.layers = layers
    self.allowsModelMismatch = allowsModelMismatch
  }
}

/// Applies a steering vector while a model runs.
///
/// At a residual site the vector is added to the selected tokens' values. At a state component it
/// is added once before each selected token, so that the token reads the edited state.
public final class SteeringTap: Tap {
  private let vectors: [Site: Tensor]  // strength times the vector, [1, n]
  private let positions: PositionSelection
  private let prompt: Range<Int>
  private let steersState: Bool
  private var steeredPositions: Set<Int> = []
  private var steeredSites: Set<Site> = []

  /// Prepares a vector for a model and a prompt.
  ///
  /// - Parameters:
  ///   - model: the model that will run.
  ///   - tokenizer: the digest of the tokenizer that made the prompt's ids.
  ///   - prompt: the positions of the prompt in its sequence.
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`, `artifact.scale`, `artifact.empty` when no site is left.
  public init(
    _ vector: SteeringVector, _ options: SteeringOptions, model: ModelDescription,
    tokenizer: Digest?, prompt: Range<Int>
  ) throws(FormatError) {
    try vector.model.check(
      against: model.reference(tokenizer: tokenizer),
      allowingOther: options.allowsModelMismatch, file: vector.file)
    guard options.strength.isFinite else {
      throw FormatError(
        .artifactScale, file: vector.file, found: "\(options.strength)",
        expected: "a finite strength")
    }
    var vectors: [Site: Tensor] = [:]
    for (reference, value) in vector.vectors {
      let site = try Self.site(reference, of: model, file: vector.file)
      if let layers = options.layers, let block = site.block, !layers.contains(block) { continue }
      var scaled = value.reshaped([1, value.count])
      Kernels.scale(&scaled, by: options.strength)
      guard scaled.values.allSatisfy(\.isFinite) else {
        throw FormatError(
          .artifactScale, file: vector.file, at: .tensor(reference.name),
          found: "\(options.strength), which makes the vector overflow",
          expected: "a smaller strength")
      }
      vectors[site] = scaled
    }
    guard !vectors.isEmpty else {
      throw FormatError(
        .artifactEmpty, file: vector.file, found: "no vector for the layers asked for",
        expected: "at least one", remedy: "`sextant inspect` lists the vector's sites.")
    }
    // Strength 0 visits nothing, so that not even a zero is added.
    self.vectors = options.strength == 0 ? [:] : vectors
    positions = options.positions ?? vector.positions
    self.prompt = prompt
    steersState = self.vectors.keys.contains { $0.isState }
  }

  /// The model's site that an artifact refers to.
  private static func site(
    _ reference: SiteReference, of model: ModelDescription, file: String?
  ) throws(FormatError) -> Site {
    guard let own = model.sites.first(where: { $0.site.name == reference.name }) else {
      throw FormatError(
        .artifactSite, file: file, at: .tensor(reference.name), found: "site \(reference.name)",
        expected: "a site of the model")
    }
    guard !own.grows else {
      throw FormatError(
        .artifactSite, file: file, at: .tensor(reference.name),
        found: "\(reference.name), which grows with each position",
        expected: "the residual stream, or a state of constant size")
    }
    guard own.shape == reference.shape else {
      throw FormatError(
        .artifactWidth, file: file, at: .tensor(reference.name), found: "\(reference.shape)",
        expected: "\(own.shape)")
    }
    guard own.axes == reference.axes else {
      throw FormatError(
        .artifactSite, file: file, at: .tensor(reference.name), found: "axes \(reference.axes)",
        expected: "axes \(own.axes)")
    }
    return own.site
  }

  /// How many tokens were steered, at how many sites.
  public var summary: (tokens: Int, sites: Int) { (steeredPositions.count, steeredSites.count) }

  /// Whether the vector has something for the site.
  public func wants(_ site: Site) -> Bool { vectors[site] != nil }

  /// Before each selected token.
  public func stateVisits(in positions: Range<Int>) -> StateVisits {
    guard steersState else { return StateVisits() }
    let selected = positions.filter { self.positions.contains($0, prompt: prompt) }
    return StateVisits(before: Set(selected))
  }

  /// Adds the vector.
  public func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard let vector = vectors[site] else { return }
    if site.isState {
      add(vector, to: &value, rows: 0..<context.batch)
      record(context.positions.lowerBound, site)
      return
    }
    for position in context.positions where positions.contains(position, prompt: prompt) {
      for sequence in 0..<context.batch {
        let row = context.row(sequence: sequence, position: position)
        add(vector, to: &value, rows: row..<row + 1)
      }
      record(position, site)
    }
  }

  private func record(_ position: Int, _ site: Site) {
    steeredPositions.insert(position)
    steeredSites.insert(site)
  }

  private func add(_ vector: Tensor, to value: inout Tensor, rows: Range<Int>) {
    let width = vector.count
    vector.withFloats { vector in
      value.withMutableFloats { value in
        for row in rows {
          for index in 0..<width { value[row * width + index] += vector[index] }
        }
      }
    }
  }
}
