import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

extension State {
  /// The state as an artifact of the model that it belongs to.
  public func saved(by model: ModelReference) -> SavedState {
    var components: [(site: String, value: Tensor)] = []
    for site in sites {
      if let value = component(site) { components.append((site.name, value)) }
    }
    return SavedState(model: model, batch: batch, position: position, components: components)
  }

  /// The state that was saved, for the same model.
  ///
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`, `model.state`.
  public init(
    _ saved: SavedState, for model: ModelDescription, tokenizer: Digest?,
    allowsModelMismatch: Bool = false
  ) throws(FormatError) {
    try saved.model.check(
      against: model.reference(tokenizer: tokenizer), allowingOther: allowsModelMismatch,
      file: saved.file)
    var state = State(layout: model.stateLayout, batch: saved.batch)
    guard saved.components.map(\.site) == state.sites.map(\.name) else {
      throw FormatError(
        .artifactSite, file: saved.file, found: "\(saved.components.count) components",
        expected: "the \(state.sites.count) components of the model's state")
    }
    for (site, (_, value)) in zip(state.sites, saved.components) {
      do throws(FormatError) {
        try state.setComponent(site, to: value)
      } catch {
        throw error.inFile(saved.file ?? "")
      }
    }
    state.position = saved.position
    self = state
  }
}
