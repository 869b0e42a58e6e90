import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// Interventions in one line each.
///
///     let text = try model.generate(
///       "The film was",
///       with: [
///         .steer(joy, strength: 2, layers: 3...3),
///         .add(direction, at: .output(block: 2), strength: 0.5),
///         .report(truth),
///       ]
///     ).text()
extension Intervention {
  /// Steers with a vector.
  ///
  /// - Parameters:
  ///   - strength: the factor of the vector, in `unit`s; 0 changes nothing, bit for bit.
  ///   - layers: the blocks to steer; nil for all that the vector has something for.
  ///   - positions: the tokens to steer; nil for the vector's own.
  ///   - condition: the condition on the tokens that are steered; nil for all that are selected.
  public static func steer(
    _ vector: SteeringVector, strength: Float = 1, unit: SteeringOptions.Unit = .raw,
    layers: ClosedRange<Int>? = nil, positions: PositionSelection? = nil,
    when condition: ScoreCondition? = nil
  ) -> Intervention {
    let options = SteeringOptions(
      strength: strength, unit: unit, positions: positions,
      layers: layers.map { LayerSelection($0) })
    return .steer(AppliedVector(vector, options, gate: condition))
  }

  /// Erases a concept.
  ///
  /// - Parameters:
  ///   - share: the share to erase; 1 is all.
  ///   - layers, positions, condition: as for `steer`.
  public static func erase(
    _ eraser: ConceptEraser, share: Float = 1, layers: ClosedRange<Int>? = nil,
    positions: PositionSelection? = nil, when condition: ScoreCondition? = nil
  ) -> Intervention {
    let options = SteeringOptions(
      strength: share, positions: positions, layers: layers.map { LayerSelection($0) })
    return .erase(AppliedEraser(eraser, options, gate: condition))
  }

  /// Adds a direction of one's own to a site: x becomes x + strength · direction.
  ///
  /// - Parameters:
  ///   - direction: as many elements as a value of the site, [D] or those of the state's component.
  ///   - unit: `raw`, or `share` for a strength that is a share of the value's norm.
  ///   - positions: the tokens to edit; of a state, the tokens that read the edited state.
  public static func add(
    _ direction: [Float], at site: Site, strength: Float = 1, unit: SteeringOptions.Unit = .raw,
    positions: PositionSelection = .fromLast
  ) -> Intervention {
    .direct(
      AppliedDirection(
        direction, at: site, strength: strength, unit: unit, positions: positions))
  }

  /// Takes a direction of one's own out of a site: x becomes x - share · (x·u) u, with u the unit vector
  /// along the direction.
  ///
  /// - Parameter positions: the tokens to edit; by default all, the prompt's too.
  public static func project(
    out direction: [Float], at site: Site, share: Float = 1,
    positions: PositionSelection = PositionSelection([.all])
  ) -> Intervention {
    .direct(
      AppliedDirection(
        direction, at: site, operation: .project, strength: share, positions: positions))
  }

  /// Reads and edits values with a function of one's own.
  ///
  /// - Parameters:
  ///   - sites: the sites that the function visits. A component of the state is visited before each
  ///     token, so that the token reads the result of the function.
  ///   - body: gets the value and may change it: [T, D] of the T tokens at `context.positions` for the
  ///     residual stream, [1, V] for the logits, [1, …] for a component of the state. It must keep the
  ///     shape.
  public static func tap(
    _ sites: Site...,
    body:
      @escaping (
        _ site: Site, _ value: inout Tensor, _ context: TapContext
      ) throws(Refusal) -> Void
  ) -> Intervention {
    .edit(
      ClosureTap(
        Set(sites),
        stateVisits: { positions in
          StateVisits(before: sites.contains(where: \.isState) ? Set(positions) : [])
        }, body))
  }

  /// Reports the scores of probes at each token (`TokenRecord.reports`).
  ///
  /// - Parameters:
  ///   - name: the one probe to use; nil for all that read one activation.
  ///   - layers: the blocks to read; nil for all.
  public static func report(
    _ probe: Probe, name: String? = nil, layers: ClosedRange<Int>? = nil
  ) -> Intervention {
    .probe(AppliedProbe(probe, name: name, layers: layers.map { LayerSelection($0) }))
  }

  /// Reports the predictions of a lens at each token and layer (`TokenRecord.reports`).
  ///
  /// - Parameters:
  ///   - lens: nil for the logit lens.
  ///   - guesses: tokens reported of each layer's prediction.
  public static func report(lens: Lens?, guesses: Int = 3) -> Intervention {
    .lens(
      AppliedLens(
        lens.map { NamedLens(name: $0.training.method, lens: $0) } ?? .logit, guesses: guesses))
  }
}

extension ScoreCondition {
  /// Tokens whose score by a probe, in log-odds, is above a bound.
  ///
  /// - Parameter name: the probe that scores; nil for the first that reads one activation.
  public static func above(_ bound: Double, by probe: Probe, name: String? = nil) -> ScoreCondition
  {
    ScoreCondition(probe, name: name, .init(isAbove: true, bound: bound))
  }

  /// Tokens whose score by a probe, in log-odds, is below a bound.
  public static func below(_ bound: Double, by probe: Probe, name: String? = nil) -> ScoreCondition
  {
    ScoreCondition(probe, name: name, .init(isAbove: false, bound: bound))
  }
}
