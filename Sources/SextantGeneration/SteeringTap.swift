import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Applies a steering vector while a model runs.
///
/// At a residual site the selected tokens' values are edited. A component of the state is edited
/// once before each selected token, so that the token reads the edited state.
public final class SteeringTap: Tap {
  private var edits: [Site: SteeringEdit] = [:]
  private var strength: Float
  private let operation: SteeringVector.Operation
  private let unit: SteeringEdit.Unit
  private let positions: PositionSelection
  private let statePositions: PositionSelection
  private let prompt: Range<Int>
  private let siteOrder: [Site]
  /// Decides at which tokens the vector acts; nil for all that are selected.
  var gate: SteeringGate?
  private var steeredPositions: Set<Int> = []
  private var steeredSites: Set<Site> = []

  /// Prepares a vector for a model and a prompt.
  ///
  /// - Parameters:
  ///   - options: in units other than nats, which `SteeringTaps` resolves.
  ///   - model: the model that will run.
  ///   - tokenizer: the digest of the tokenizer that made the prompt's ids.
  ///   - prompt: the positions of the prompt in its sequence.
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`, `artifact.scale`, `artifact.schema` for an operation that needs targets where
  ///   there are none, `artifact.empty` when no site is left, `artifact.zero` when every vector has
  ///   norm 0 and what is asked for needs a direction.
  public init(
    _ vector: SteeringVector, _ options: SteeringOptions, model: ModelDescription,
    tokenizer: Digest?, prompt: Range<Int>
  ) throws(FormatError) {
    try vector.model.check(
      against: model.reference(tokenizer: tokenizer),
      allowingOther: options.allowsModelMismatch, file: vector.file)
    let operation = options.operation ?? vector.operation
    guard options.strength.isFinite, options.unit != .nats else {
      throw FormatError(
        .artifactScale, file: vector.file, found: "\(options.strength)",
        expected: "a finite strength")
    }
    let isAdded = operation == .add || operation == .addPreservingNorm
    guard options.unit == .raw || isAdded else {
      throw FormatError(
        .artifactScale, file: vector.file, found: "a share of the norm for \(operation.rawValue)",
        expected: "a plain number: the operation has a scale of its own")
    }
    strength = options.strength
    self.operation = operation
    unit = options.unit == .share ? .share : .raw
    positions = options.positions ?? vector.positions
    statePositions = options.statePositions ?? positions
    self.prompt = prompt
    siteOrder = model.sites.map(\.site)
    var isEmpty = true
    for (reference, value) in vector.vectors {
      let site = try Self.site(reference, of: model, file: vector.file)
      if let layers = options.layers, let block = site.block, !layers.contains(block) { continue }
      isEmpty = false
      let targets = vector.targets[reference.name]
      guard targets != nil || !operation.needsTargets else {
        throw FormatError(
          .artifactSchema, file: vector.file, at: .pointer("/targets"),
          found: "no targets of \(reference.name)",
          expected: "targets, which \(operation.rawValue) needs",
          remedy: "Train the vector again, or use the operation add.")
      }
      let edit = SteeringEdit(operation, vector: value.values, targets: targets)
      guard edit.vector.allSatisfy({ ($0 * strength).isFinite }) else {
        throw FormatError(
          .artifactScale, file: vector.file, at: .tensor(reference.name),
          found: "\(strength), which makes the vector overflow", expected: "a smaller strength")
      }
      // What changes nothing visits nothing, so that not even a zero is added.
      if !edit.changesNothing(strength: strength) { edits[site] = edit }
    }
    guard !isEmpty else {
      throw FormatError(
        .artifactEmpty, file: vector.file, found: "no vector for the layers asked for",
        expected: "at least one", remedy: "`sextant inspect` lists the vector's sites.")
    }
    // A vector of norm 0 among others changes nothing; that none has a direction is a mistake.
    let needsDirection = unit == .share || (operation != .add && operation != .addPreservingNorm)
    guard !needsDirection || strength == 0 || !edits.isEmpty else {
      throw FormatError(
        .artifactZero, file: vector.file, found: "norm 0 at every site",
        expected: "a direction, which \(unit == .share ? "a share" : operation.rawValue) needs",
        remedy: "Train the vector again, at sites where the two classes differ.")
    }
  }

  /// The sites at which it sets a value rather than adding to it, by the positions of each.
  var exclusiveSites: [(sites: Set<Site>, positions: PositionSelection)] {
    guard operation == .affine else { return [] }
    let states = sites.filter(\.isState)
    return [(states, statePositions), (sites.subtracting(states), positions)]
  }

  /// The model's site that an artifact refers to.
  static func site(
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

  /// Adds what another tap would add, so that vectors which cancel change nothing, bit for bit.
  ///
  /// - Returns: whether it could be done: both add, in raw units, at the same positions.
  func absorb(_ other: SteeringTap) -> Bool {
    guard gate == nil, other.gate == nil, operation == .add, other.operation == .add, unit == .raw,
      other.unit == .raw,
      positions == other.positions, statePositions == other.statePositions,
      prompt == other.prompt
    else { return false }
    var sums = edits.mapValues { $0.combined(times: strength, $0, times: 0) }
    for (site, edit) in other.edits {
      sums[site] =
        edits[site]?.combined(times: strength, edit, times: other.strength)
        ?? edit.combined(times: other.strength, edit, times: 0)
    }
    edits = sums.filter { !$0.value.changesNothing(strength: 1) }
    strength = 1
    return true
  }

  /// The sites that it edits.
  var sites: Set<Site> { Set(edits.keys) }

  /// What was steered.
  public var summary: SteeringSummary { summary(of: nil, strength: strength) }

  /// What was steered at some of the sites.
  func summary(of sites: Set<Site>?, strength: Float) -> SteeringSummary {
    let edited = siteOrder.filter { steeredSites.contains($0) && sites?.contains($0) != false }
    return SteeringSummary(
      positions: edited.isEmpty ? [] : steeredPositions.sorted(), siteNames: edited.map(\.name),
      strength: strength)
  }

  /// Whether the vector has something for the site.
  public func wants(_ site: Site) -> Bool { edits[site] != nil }

  /// Before each selected token; before every one where only the token itself tells.
  public func stateVisits(in positions: Range<Int>) -> StateVisits {
    // A gate that hangs on the token before needs the run to be cut between the two.
    guard gate != nil || edits.keys.contains(where: \.isState) else { return StateVisits() }
    let selections = gate == nil ? [statePositions] : [statePositions, self.positions]
    return StateVisits(
      before: Set(
        positions.filter { position in
          selections.contains { $0.dependsOnTokens || $0.contains(position, prompt: prompt) }
        }))
  }

  /// Edits the selected values.
  public func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard let edit = edits[site] else { return }
    let width = edit.vector.count
    let selection = site.isState ? statePositions : positions
    for position in context.positions {
      for sequence in 0..<context.batch {
        let token = context.token(sequence: sequence, position: position)
        guard selection.contains(position, prompt: prompt, token: token),
          gate?.isOpen(at: position) ?? true
        else { continue }
        let row = context.row(sequence: sequence, position: position)
        value.withMutableFloats { values in
          edit.apply(
            strength: strength, unit: unit,
            to: UnsafeMutableBufferPointer(rebasing: values[row * width..<(row + 1) * width]))
        }
        steeredPositions.insert(position)
        steeredSites.insert(site)
      }
    }
  }
}
