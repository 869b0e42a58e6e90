import SextantArtifacts

/// What an artifact's strength counts.
public enum StrengthUnit: String, Sendable, CaseIterable {
  /// Multiples of the vector.
  case raw
  /// The norm of what is added, as a share of the value's norm.
  case share
  /// The divergence of the prediction after the prompt from the unsteered one, in nats: the strength
  /// is searched for. A negative one steers against the vector.
  case nats
}

/// How a steering vector is applied: how strongly, where, and to which tokens.
public struct SteeringOptions: Sendable {
  /// What the vector is multiplied by, in `unit`s; 0 changes nothing, bit for bit.
  public var strength: Float
  /// What the strength counts.
  public var unit: StrengthUnit
  /// What is done with the vector; nil for what the artifact says.
  public var operation: SteeringVector.Operation?
  /// The positions to steer; nil for the ones that the artifact says.
  public var positions: PositionSelection?
  /// The tokens before which the state is edited; nil for `positions`.
  public var statePositions: PositionSelection?
  /// The blocks to steer; nil for all that the artifact has a vector for. Sites outside the blocks
  /// are steered either way.
  public var layers: ClosedRange<Int>?
  /// Accept a vector of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// Applies a vector as its artifact says.
  public init(
    strength: Float = 1, unit: StrengthUnit = .raw, operation: SteeringVector.Operation? = nil,
    positions: PositionSelection? = nil, statePositions: PositionSelection? = nil,
    layers: ClosedRange<Int>? = nil, allowsModelMismatch: Bool = false
  ) {
    self.strength = strength
    self.unit = unit
    self.operation = operation
    self.positions = positions
    self.statePositions = statePositions
    self.layers = layers
    self.allowsModelMismatch = allowsModelMismatch
  }
}

/// A steering vector and how it is applied.
public struct AppliedVector: Sendable {
  /// The vector.
  public var vector: SteeringVector
  /// How it is applied.
  public var options: SteeringOptions
  /// The probe that decides at which tokens; nil for all that are selected.
  public var gate: SteeringCondition?

  /// Applies `vector` with `options`, where `gate` says so.
  public init(
    _ vector: SteeringVector, _ options: SteeringOptions = .init(), gate: SteeringCondition? = nil
  ) {
    self.vector = vector
    self.options = options
    self.gate = gate
  }
}

/// Where a gated vector is applied: at tokens whose score meets a condition.
public struct SteeringCondition: Sendable {
  /// The probes.
  public var probe: Probe
  /// The probe that scores; nil for the first that reads one activation.
  public var name: String?
  /// The condition.
  public var condition: ProbeTap.Condition

  /// A condition on a probe's score.
  public init(_ probe: Probe, name: String?, _ condition: ProbeTap.Condition) {
    self.probe = probe
    self.name = name
    self.condition = condition
  }
}

/// What was steered by one artifact.
public struct SteeringSummary: Sendable, Equatable {
  /// The positions of the tokens at which something was edited, ascending.
  public var positions: [Int] = []
  /// The names of the sites that were edited, in the model's order.
  public var siteNames: [String] = []
  /// The strength, as multiples of the vector or as a share of the norm; the one that was found
  /// where a divergence was asked for.
  public var strength: Float = 0

  /// Tokens steered.
  public var tokens: Int { positions.count }
  /// Sites edited.
  public var sites: Int { siteNames.count }
}
