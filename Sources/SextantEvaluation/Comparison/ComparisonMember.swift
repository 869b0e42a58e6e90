import SextantAnalysis
import SextantGeneration
import SextantModels
import SextantTokenizers

/// A model to compare with others.
package struct ComparedModel: Sendable {
  /// Its name in tables and figures.
  package let name: String
  /// The model.
  package let model: any LanguageModel
  /// Its tokenizer.
  package let tokenizer: any Tokenizer
  /// Its parameters.
  package let parameterCount: Int

  /// A model under a name.
  package init(
    name: String, _ model: any LanguageModel, _ tokenizer: any Tokenizer, parameterCount: Int
  ) {
    (self.name, self.model, self.tokenizer) = (name, model, tokenizer)
    self.parameterCount = parameterCount
  }
}

/// The results of one model in a comparison.
package struct ComparisonMember {
  /// The name of the model.
  package let name: String
  /// The model.
  package let description: ModelDescription
  /// Its parameters.
  package let parameterCount: Int
  /// The first experiment.
  package let steering: SteeringEvaluation
  /// The second experiment: the logit, ridge and tuned lenses.
  package let lenses: LensEvaluation
  /// The model without lenses, on a text that no model wrote or was trained on.
  package let reviews: LensEvaluation
  /// The third experiment.
  package let probes: TransferResult

  /// The component of the state that has the most elements, as probes name it: the memory of the
  /// model, and not the few inputs that a convolution or a token shift keeps. Nil without a
  /// recurrent state.
  package var memory: String? {
    let components = description.stateLayout.flatMap { $0 }.filter { !$0.grows }
    let size = { (component: StateComponent) in component.shape.reduce(1, *) }
    let largest = components.max { size($0) < size($1) }
    return largest.map { "state.\($0.name)" }
  }

  /// The sites of a block that probes read: the stream, then the components of the state.
  var families: [String] {
    var seen: Set<String> = []
    return probes.probes.flatMap(\.probes).map(\.family).filter { seen.insert($0).inserted }
  }

  /// The curve of a set of sites; nil if the model has none of them.
  func curve(_ sites: SteeredSites) -> SweepSummary.Curve? {
    steering.summary.curves.first { $0.sites == sites }
  }

  /// A figure of differences by item of the reported half.
  func figure(ofItems values: [Double]) -> Figure {
    Figure(values, Bootstrap(count: values.count, seed: steering.seed))
  }

  /// The figure of differences by chunk of the lenses' text.
  func figure(ofChunks values: [Double]) -> Figure {
    Figure(values, Bootstrap(count: values.count))
  }

  /// The measures of a lens; nil if there is none of the name.
  func lens(_ name: String) -> [LensEvaluation.Layer]? {
    lenses.results.first { $0.name == name }?.layers
  }

  /// The share of the blocks that the stream has passed at a site.
  func depth(_ layer: LensEvaluation.Layer) -> Double {
    Double(layer.site.block.map { $0 + 1 } ?? 0) / Double(max(description.layerCount, 1))
  }

  /// The result of Alice's probes on a part, at the earliest informative block.
  func transfer(to target: String, _ family: String) -> TransferResult.Summary? {
    probes.summary("A", target, family, ProbeMethod.logistic.rawValue)
  }

  /// The area that 95% of random directions stay below at the site of a result.
  func chance(_ summary: TransferResult.Summary) -> Double? {
    probes.chance.first {
      $0.target == summary.target && $0.measured.site.name == summary.site.name
    }?.measured.bound
  }
}
