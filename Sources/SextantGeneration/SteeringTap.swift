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
  /// The blocks to steer; nil for all that the artifact has a vector for.
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
    let shapes = Dictionary(
      model.sites.map { ($0.site, $0.shape) }, uniquingKeysWith: { first, _ in first })
    var vectors: [Site: Tensor] = [:]
    for (name, value) in vector.vectors {
      guard let site = Site(name: name), let shape = shapes[site] else {
        throw FormatError(
          .artifactSite, file: vector.file, at: .tensor(name), found: "site \(name)",
          expected: "a site of the model")
      }
      guard value.shape == shape else {
        throw FormatError(
          .artifactWidth, file: vector.file, at: .tensor(name), found: "\(value.shape)",
          expected: "\(shape)")
      }
      if let layers = options.layers, let block = site.block, !layers.contains(block) { continue }
      var scaled = value.reshaped([1, value.count])
      Kernels.scale(&scaled, by: options.strength)
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

  /// How many tokens were steered, at how many sites.
  public var summary: (tokens: Int, sites: Int) { (steeredPositions.count, steeredSites.count) }

  /// Whether the vector has something for the site.
  public func wants(_ site: Site) -> Bool { vectors[site] != nil }

  /// Before each selected token.
  public func stateStops(in range: ClosedRange<Int>) -> [Int] {
    steersState ? range.filter { positions.contains($0, prompt: prompt) } : []
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
