import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor

extension LoadedModel {
  /// The model's state after a text: a value. A copy is a fork, which costs almost nothing.
  ///
  ///     let opening = try model.state(after: "The film was")
  ///     let praise = try model.generate(" good because", from: opening).text()
  ///     let blame = try model.generate(" bad because", from: opening).text()
  ///     print(try opening["blocks.3.state.ssm"].shape)
  ///
  /// - Parameters:
  ///   - state: the state to continue from; nil for the beginning of a text.
  ///   - interventions: the items that edit the run.
  /// - Throws: `data.record` for a text without tokens, the errors of `Interventions`, `model.*`.
  public func state(
    after text: String, from state: State? = nil, with interventions: Interventions = []
  ) throws(Refusal) -> State {
    try self.state(after: ids(of: text, continuing: state), from: state, with: interventions)
  }

  /// The model's state after token ids.
  ///
  /// - Throws: as for a text.
  public func state(
    after tokens: [Int], from state: State? = nil, with interventions: Interventions = []
  ) throws(Refusal) -> State {
    guard !tokens.isEmpty else {
      throw Refusal(
        .dataRecord, found: "a text without tokens", expected: "at least one token")
    }
    var state = state ?? model.initialState()
    let editor = try editor(interventions, of: tokens, from: state, for: "a state")
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none, tap: editor)
    return state
  }

  /// Saves a state, as `sextant generate --save-state` does.
  ///
  /// - Throws: `file.*`, `disk.*`; `artifact.nonfinite`.
  public func save(
    _ state: State, to path: String, replacing: Bool = false
  ) throws(Refusal) {
    try state.saved(by: reference).artifact.write(to: path, replacing: replacing)
  }

  /// The sum of states, each times its strength, as `sextant state add` computes it.
  ///
  ///     let happier = try model.sum(of: [(start, 1), (happy, 0.5), (sad, -0.5)])
  ///
  /// - Parameter terms: at least one; the first gives the position. A strength of 0 leaves a term out, bit
  ///   for bit.
  /// - Throws: `artifact.empty` for no term; `model.state` for states of another batch, and for keys and
  ///   values of other numbers of tokens; `artifact.scale`; `artifact.nonfinite` for a sum that overflows.
  public func sum(of terms: [(state: State, strength: Float)]) throws(Refusal) -> State {
    try State(
      SavedState.sum(terms.map { ($0.state.saved(by: reference), $0.strength) }),
      for: description, tokenizer: tokenizer?.digest)
  }

  /// Loads a state that was saved.
  ///
  /// - Parameter allowsModelMismatch: accept a state of another model of the same sizes.
  /// - Throws: `file.*`, `st.*`, `artifact.*`, also for the state of another model.
  public func loadState(
    _ path: String, allowsModelMismatch: Bool = false
  ) throws(Refusal) -> State {
    try State(
      SavedState(Artifact(reading: path)), for: description, tokenizer: tokenizer?.digest,
      allowsModelMismatch: allowsModelMismatch)
  }
}

extension State {
  /// A component of the state of one sequence, in the component's shape; [positions, …] for keys and
  /// values. `setComponent` replaces one.
  ///
  /// - Throws: `model.state` for a site that is not a component, and for a state of several
  ///   sequences.
  public subscript(site: Site) -> Tensor {
    get throws(Refusal) { try self[site.name] }
  }

  /// The component of that name, such as `blocks.3.state.ssm`.
  ///
  /// - Throws: `model.state` for a name that is not a component, and for a state of several
  ///   sequences.
  public subscript(name: String) -> Tensor {
    get throws(Refusal) {
      guard batch == 1, let value = Site(name: name).flatMap({ component($0) }) else {
        throw Refusal(
          .modelState, found: "\"\(name)\" of a state of \(batch) sequences",
          expected: "a component of one sequence: "
            + sites.map(\.name).joined(separator: ", "))
      }
      return value.reshaped(Array(value.shape.dropFirst()))
    }
  }
}
