import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

extension State {
  /// The state as an artifact of the model that it belongs to.
  package func saved(by model: ModelReference) -> SavedState {
    SavedState(
      model: model, batch: batch, position: position,
      components: Self.descriptions(layout).compactMap { description in
        component(description.site).map { (description.reference(positions: position), $0) }
      })
  }

  /// The sites of all components with shapes and axes, block by block.
  private static func descriptions(_ layout: [[StateComponent]]) -> [SiteDescription] {
    layout.enumerated().flatMap { block, components in
      components.map {
        SiteDescription(
          site: .state(block: block, component: $0.name), shape: $0.shape, axes: $0.axes,
          grows: $0.grows)
      }
    }
  }

  /// The state that was saved, for the same model.
  ///
  /// - Throws: `artifact.kind` for a difference of states, `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`,
  ///   `artifact.site`.
  package init(
    _ saved: SavedState, for model: ModelDescription, tokenizer: Digest?,
    allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    guard !saved.isDifference else {
      throw Refusal(
        .artifactKind, file: saved.file, found: "a difference of states", expected: "a state",
        remedy: "Add it to a state with `sextant state add`.")
    }
    try saved.model.check(
      against: model.reference(tokenizer: tokenizer), allowingOther: allowsModelMismatch,
      file: saved.file)
    // Before anything is allocated, because the file declares the size of the batch.
    let expected = Self.descriptions(model.stateLayout).map {
      $0.reference(positions: saved.position)
    }
    guard saved.components.map(\.site) == expected else {
      throw Refusal(
        .artifactSite, file: saved.file, found: counted(saved.components.count, "component"),
        expected:
          "the \(counted(expected.count, "component")) of the model's state, of the same shapes")
    }
    var state = State(blocks: model.blocks, batch: saved.batch)
    state.position = saved.position
    for (site, (_, value)) in zip(state.sites, saved.components) {
      try state.setComponent(site, to: value)
    }
    self = state
  }
}
