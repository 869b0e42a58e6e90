import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

/// A direction that was made elsewhere, and how it is applied at one site. It needs no file and no record
/// of its origin, as a `SteeringVector` does.
public struct AppliedDirection: Sendable {
  /// The direction: as many elements as a value of the site, [D] or those of the state's component.
  public var values: [Float]
  /// The site.
  public var site: Site
  /// Strength, operation and tokens.
  let options: SteeringOptions

  /// Applies a direction.
  ///
  /// - Parameters:
  ///   - operation: `add`, `addPreservingNorm` or `project`; the others need targets.
  ///   - strength: a multiple of the direction, or with the unit `share` the norm of the addition
  ///     as a share of the value's norm.
  ///   - positions: the tokens to edit; of a state, the tokens that read the edited state.
  public init(
    _ values: [Float], at site: Site, operation: SteeringVector.Operation = .add,
    strength: Float = 1, unit: SteeringOptions.Unit = .raw, positions: PositionSelection = .fromLast
  ) {
    self.values = values
    self.site = site
    options = SteeringOptions(
      strength: strength, unit: unit, operation: operation, positions: positions)
  }

  /// The edit of the site.
  ///
  /// - Throws: `artifact.site` for a site that the model does not have, that grows or is read-only,
  ///   `artifact.width` for a wrong number of elements, `artifact.nonfinite`; `artifact.scale` for
  ///   a strength that overflows or that the operation does not take, `artifact.zero` for a
  ///   direction of norm 0 if one is needed, `usage.option` for an operation that needs targets.
  func edit(for model: ModelDescription) throws(Refusal) -> ValueEdit {
    guard let own = model.sites.first(where: { $0.site == site }), !own.grows else {
      throw Refusal(
        .artifactSite, at: .tensor(site.name), found: "a direction for \(site)",
        expected: "a site of the model that does not grow")
    }
    guard !own.isReadOnly else { throw Refusal(readOnly: site) }
    guard values.count == own.elementCount else {
      throw Refusal(
        .artifactWidth, at: .tensor(site.name),
        found: "a direction of \(counted(values.count, "element"))",
        expected: "\(own.elementCount)")
    }
    guard values.allSatisfy(\.isFinite) else {
      throw Refusal(
        .artifactNonfinite, at: .tensor(site.name), found: "a direction that is not finite",
        expected: "finite numbers")
    }
    let operation = options.operation ?? .add
    guard !operation.needsTargets else {
      throw Refusal(
        .usageOption, at: .tensor(site.name), found: "the operation \(operation.rawValue)",
        expected: "add, add-preserving-norm or project: a direction has no targets")
    }
    let isAdded = operation != .project
    guard options.unit == .raw || (options.unit == .share && isAdded) else {
      throw Refusal(
        .artifactScale, at: .tensor(site.name),
        found: "a strength in the unit \(options.unit.rawValue) for \(operation.rawValue)",
        expected: isAdded ? "multiples or a share of the norm" : "a plain number")
    }
    guard values.allSatisfy({ ($0 * options.strength).isFinite }) else {
      throw Refusal(
        .artifactScale, at: .tensor(site.name),
        found: "\(options.strength), which makes the direction overflow",
        expected: "a smaller strength")
    }
    guard (options.unit == .raw && isAdded) || options.isOff || values.contains(where: { $0 != 0 })
    else {
      throw Refusal(
        .artifactZero, at: .tensor(site.name), found: "norm 0", expected: "a direction")
    }
    return .steer(
      SteeringEdit(operation, vector: values), strength: options.strength,
      unit: options.unit == .share ? .share : .raw)
  }
}
