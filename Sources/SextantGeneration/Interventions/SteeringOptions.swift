import SextantArtifacts
import SextantModels
import SextantStore

extension SteeringOptions {
  /// The unit of an artifact's strength.
  public enum Unit: String, Sendable, CaseIterable {
    /// Multiples of the vector; of an eraser, the share that is erased.
    case raw
    /// The norm of the addition, as a share of the value's norm.
    case share
    /// The divergence of the prediction after the prompt from the unsteered one, in nats: the strength
    /// is searched for. A negative one steers against the vector.
    case nats
  }
}

extension SteeringOptions {
  /// A strength for each of some blocks, written `3=1.5,5-7=0.5`. The other blocks are not edited, nor
  /// are sites outside the blocks.
  public struct LayerStrengths: Sendable, Equatable {
    /// Neighbouring blocks with one strength.
    public struct Part: Sendable, Equatable {
      /// The blocks, both ends included.
      public let layers: ClosedRange<Int>
      /// Their strength.
      public let strength: Float

      /// Blocks with one strength.
      public init(_ layers: ClosedRange<Int>, _ strength: Float) {
        self.layers = layers
        self.strength = strength
      }
    }

    /// The parts, in the order given.
    public private(set) var parts: [Part]

    /// The strengths of some blocks; nil when there is none, or a block has two.
    public init?(_ parts: [Part]) {
      let ranges = parts.map(\.layers).sorted { $0.lowerBound < $1.lowerBound }
      let areApart = zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
      guard !parts.isEmpty, areApart else { return nil }
      self.parts = parts
    }

    /// The strengths times a factor.
    func scaled(by factor: Float) -> LayerStrengths {
      var scaled = self
      scaled.parts = parts.map { Part($0.layers, $0.strength * factor) }
      return scaled
    }

    /// The blocks that have a strength.
    public var selection: LayerSelection { LayerSelection(parts: parts.map(\.layers)) }

    /// The strength of a block; nil if it has none.
    public func strength(of block: Int) -> Float? {
      parts.first { $0.layers.contains(block) }?.strength
    }
  }
}

/// How an artifact edits values: strength, blocks, and tokens.
public struct SteeringOptions: Sendable {
  /// The factor of the vector, in `unit`s; 0 changes nothing, bit for bit.
  public var strength: Float
  /// A strength for each block, instead of `strength`; nil for `strength` everywhere.
  public var layerStrengths: SteeringOptions.LayerStrengths?
  /// The unit of the strength.
  public var unit: SteeringOptions.Unit
  /// The operation of the vector; nil for the artifact's own operation.
  public var operation: SteeringVector.Operation?
  /// The positions to steer; nil for the artifact's own positions.
  public var positions: PositionSelection?
  /// The tokens before which the state is edited; nil for `positions`.
  public var statePositions: PositionSelection?
  /// The blocks to steer; nil for all that the artifact has something for. Sites outside the blocks
  /// are steered either way.
  public var layers: LayerSelection?
  /// Accept an artifact of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// Applies an artifact as its manifest declares.
  public init(
    strength: Float = 1, unit: SteeringOptions.Unit = .raw,
    layerStrengths: SteeringOptions.LayerStrengths? = nil,
    operation: SteeringVector.Operation? = nil, positions: PositionSelection? = nil,
    statePositions: PositionSelection? = nil, layers: LayerSelection? = nil,
    allowsModelMismatch: Bool = false
  ) {
    self.strength = strength
    self.layerStrengths = layerStrengths
    self.unit = unit
    self.operation = operation
    self.positions = positions
    self.statePositions = statePositions
    self.layers = layers
    self.allowsModelMismatch = allowsModelMismatch
  }

  /// Whether the strength is 0 everywhere.
  package var isOff: Bool {
    layerStrengths?.parts.allSatisfy { $0.strength == 0 } ?? (strength == 0)
  }

  /// The strength at a site; nil if the options leave the site out.
  func strength(at site: Site) -> Float? {
    guard let block = site.block else { return layerStrengths == nil ? strength : nil }
    guard layers?.contains(block) ?? true else { return nil }
    guard let layerStrengths else { return strength }
    return layerStrengths.strength(of: block)
  }
}

/// A steering vector and how it is applied.
public struct AppliedVector: Sendable {
  /// The vector.
  public var vector: SteeringVector
  /// How it is applied.
  public var options: SteeringOptions
  /// The condition on the tokens that are steered; nil for all that are selected.
  public var gate: ScoreCondition?

  /// Applies `vector` with `options`, at tokens that meet `gate`.
  public init(
    _ vector: SteeringVector, _ options: SteeringOptions = .init(), gate: ScoreCondition? = nil
  ) {
    self.vector = vector
    self.options = options
    self.gate = gate
  }
}

/// A concept eraser and how it is applied: x becomes x - strength · left (right · (x - mean)).
public struct AppliedEraser: Sendable {
  /// The eraser.
  public var eraser: ConceptEraser
  /// The way to apply it. Strength 1 erases all. An eraser accepts no operation and no unit.
  public var options: SteeringOptions
  /// The condition on the tokens that are edited; nil for all that are selected.
  public var gate: ScoreCondition?

  /// Applies `eraser` with `options`, at tokens that meet `gate`.
  public init(
    _ eraser: ConceptEraser, _ options: SteeringOptions = .init(), gate: ScoreCondition? = nil
  ) {
    self.eraser = eraser
    self.options = options
    self.gate = gate
  }
}

/// Probes that score every token of a run.
public struct AppliedProbe: Sendable {
  /// The probes.
  public var probe: Probe
  /// The one probe to use; nil for all that read one activation.
  public var name: String?
  /// The blocks to read; nil for all.
  public var layers: LayerSelection?
  /// Accept probes of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// Scores with probes.
  public init(
    _ probe: Probe, name: String? = nil, layers: LayerSelection? = nil,
    allowsModelMismatch: Bool = false
  ) {
    self.probe = probe
    self.name = name
    self.layers = layers
    self.allowsModelMismatch = allowsModelMismatch
  }
}

/// A lens through which every token of a run is read.
public struct AppliedLens: Sendable {
  /// The lens.
  public var lens: NamedLens
  /// Tokens reported of each layer's prediction.
  public var guesses: Int
  /// Accept the lens of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// Looks through a lens.
  public init(_ lens: NamedLens, guesses: Int = 3, allowsModelMismatch: Bool = false) {
    self.lens = lens
    self.guesses = guesses
    self.allowsModelMismatch = allowsModelMismatch
  }
}

/// A condition on a probe's score: of the tokens that a gated edit acts at, or of the token that ends
/// a text.
public struct ScoreCondition: Sendable {
  /// The probes.
  public var probe: Probe
  /// The probe that scores; nil for the first that reads one activation.
  public var name: String?
  /// The condition.
  package var condition: ProbeTap.Condition
  /// Accept probes of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// A condition on a probe's score.
  package init(
    _ probe: Probe, name: String?, _ condition: ProbeTap.Condition,
    allowsModelMismatch: Bool = false
  ) {
    self.probe = probe
    self.name = name
    self.condition = condition
    self.allowsModelMismatch = allowsModelMismatch
  }
}
