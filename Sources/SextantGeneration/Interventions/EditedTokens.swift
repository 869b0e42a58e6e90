import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore

/// The tokens of a run at which an edit acts.
struct EditedTokens: Equatable {
  /// The tokens whose values are edited.
  let tokens: PositionSelection
  /// The tokens before which the state is edited.
  let state: PositionSelection
  /// The positions of the prompt in its sequence.
  let prompt: Range<Int>

  /// The selection for a site.
  func selection(at site: Site) -> PositionSelection { site.isState ? state : tokens }

  /// Whether the site's value is edited at a token.
  func contains(_ position: Int, token: Int?, at site: Site) -> Bool {
    selection(at: site).contains(position, prompt: prompt, token: token)
  }

  /// The tokens before which an edit needs the state.
  ///
  /// - Parameter isGated: the score of the token before must then be known, so that the run is cut
  ///   before each token that may be edited.
  func stateVisits(
    in positions: Range<Int>, editsState: Bool, isGated: Bool
  ) -> StateVisits {
    guard isGated || editsState else { return StateVisits() }
    let selections = isGated ? [state, tokens] : [state]
    return StateVisits(
      before: Set(
        positions.filter { position in
          selections.contains { $0.dependsOnTokens || $0.contains(position, prompt: prompt) }
        }))
  }

  /// Refuses positions that select no token of a run: a mistake in the positions must not look like
  /// an artifact without effect.
  ///
  /// - Parameters:
  ///   - sites: the sites that are edited.
  ///   - options: the options for the artifact.
  ///   - run: the run. Which tokens it generates is not known before.
  /// - Throws: `usage.nothing-steered`; `usage.option` for the id of a token that the model does not have.
  func check(
    _ sites: some Collection<Site>, _ options: SteeringOptions, _ run: BoundRun, file: String?
  ) throws(Refusal) {
    let read = run.read
    if options.statePositions != nil, !sites.contains(where: \.isState) {
      throw Refusal(
        .usageNothingSteered, file: file, at: .parameter("statePositions"),
        found: "no component of the state", expected: "an artifact that edits the state")
    }
    if options.isOff { return }
    for isState in [false, true] where sites.contains(where: { $0.isState == isState }) {
      let own = isState ? state : tokens
      try own.check(
        vocabularySize: run.model.description.vocabularySize,
        parameter: isState && own != tokens ? "statePositions" : "positions", file: file)
      if run.countAfter == 0, let id = own.tokenIDs.first(where: { !run.reads($0) }) {
        throw Refusal(
          .usageNothingSteered, file: file, found: "no token with the id \(id)",
          expected: "the id of a token that is read")
      }
      guard own.selectsAny(of: read, prompt: prompt) else {
        throw Refusal(
          .usageNothingSteered, file: file,
          found: "no token at positions \(own)" + (isState && own != tokens ? " of the state" : ""),
          expected: "at least one token to steer")
      }
    }
  }
}
