import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// A concept eraser and how it is applied.
public struct AppliedEraser: Sendable {
  /// The eraser.
  public var eraser: ConceptEraser
  /// The share that is erased: 1 for all, 0 changes nothing, bit for bit.
  public var strength: Float
  /// The positions to erase at; nil for the ones that the artifact says.
  public var positions: PositionSelection?
  /// The blocks to erase in; nil for all that the artifact has an eraser for.
  public var layers: ClosedRange<Int>?
  /// Accept an eraser of another model or tokenizer of the same width and depth.
  public var allowsModelMismatch: Bool

  /// Applies an eraser.
  public init(
    _ eraser: ConceptEraser, strength: Float = 1, positions: PositionSelection? = nil,
    layers: ClosedRange<Int>? = nil, allowsModelMismatch: Bool = false
  ) {
    self.eraser = eraser
    self.strength = strength
    self.positions = positions
    self.layers = layers
    self.allowsModelMismatch = allowsModelMismatch
  }
}

/// Erases a concept while a model runs: x becomes x - strength · left (right · (x - mean)).
///
/// At a component of the state once before each selected token, so that the token reads what is left.
public final class EraserTap: Tap {
  private let erasers: [Site: ProbeEntry.Eraser]
  private let strength: Double
  private let positions: PositionSelection
  private let prompt: Range<Int>

  /// Prepares an eraser for a model and a prompt.
  ///
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`, `artifact.scale`, `artifact.empty` when no site is left.
  public init(
    _ applied: AppliedEraser, model: ModelDescription, tokenizer: Digest?, prompt: Range<Int>
  ) throws(FormatError) {
    let eraser = applied.eraser
    try eraser.model.check(
      against: model.reference(tokenizer: tokenizer),
      allowingOther: applied.allowsModelMismatch, file: eraser.file)
    guard applied.strength.isFinite else {
      throw FormatError(
        .artifactScale, file: eraser.file, found: "\(applied.strength)",
        expected: "a finite strength")
    }
    var erasers: [Site: ProbeEntry.Eraser] = [:]
    for (reference, own) in eraser.erasers {
      let site = try SteeringTap.site(reference, of: model, file: eraser.file)
      if let layers = applied.layers, let block = site.block, !layers.contains(block) { continue }
      erasers[site] = own
    }
    guard !erasers.isEmpty else {
      throw FormatError(
        .artifactEmpty, file: eraser.file, found: "no eraser for the layers asked for",
        expected: "at least one", remedy: "`sextant inspect` lists the artifact's sites.")
    }
    self.erasers = applied.strength == 0 ? [:] : erasers
    strength = Double(applied.strength)
    positions = applied.positions ?? eraser.positions
    self.prompt = prompt
  }

  /// The sites at which it erases, and where.
  var exclusiveSites: (sites: Set<Site>, positions: PositionSelection) {
    (Set(erasers.keys), positions)
  }

  /// Whether the concept is erased at the site.
  public func wants(_ site: Site) -> Bool { erasers[site] != nil }

  /// Before each selected token.
  public func stateVisits(in positions: Range<Int>) -> StateVisits {
    guard erasers.keys.contains(where: \.isState) else { return StateVisits() }
    return StateVisits(
      before: Set(
        positions.filter {
          self.positions.dependsOnTokens || self.positions.contains($0, prompt: prompt)
        }))
  }

  /// Erases in the selected rows.
  public func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    guard let eraser = erasers[site] else { return }
    let n = eraser.mean.count
    for position in context.positions {
      for sequence in 0..<context.batch {
        let token = context.token(sequence: sequence, position: position)
        guard positions.contains(position, prompt: prompt, token: token) else { continue }
        let row = context.row(sequence: sequence, position: position)
        value.withMutableFloats { values in
          let own = UnsafeMutableBufferPointer(rebasing: values[row * n..<(row + 1) * n])
          var amount = 0.0
          for index in 0..<n {
            amount += eraser.right[index] * (Double(own[index]) - eraser.mean[index])
          }
          amount *= strength
          for index in 0..<n {
            own[index] = Float(Double(own[index]) - eraser.left[index] * amount)
          }
        }
      }
    }
  }
}
