import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTensor

/// A lens to look through: the logit lens, or one that was trained.
public struct NamedLens: Sendable {
  /// Its name in reports.
  public let name: String
  /// The lens; nil for the logit lens, which has no translators.
  public let lens: Lens?

  /// The logit lens: the model's own readout on every stream.
  public static let logit = NamedLens(name: "logit", lens: nil)

  /// A lens of that name.
  public init(name: String, lens: Lens?) {
    self.name = name
    self.lens = lens
  }

  /// The stream of a site as the lens passes it to the readout, [M, D]; nil if the lens has no
  /// translator for the site.
  public func translated(_ rows: some MatrixRows, at site: Site) -> Tensor? {
    guard let lens else { return Tensor(copying: rows) }
    return lens.translator(site.name)?(rows)
  }

  /// Whether the lens has something for the site.
  func reads(_ site: Site) -> Bool { lens == nil || lens?.translator(site.name) != nil }

  /// Refuses the lens of another model.
  ///
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`.
  package func check(
    _ model: any LanguageModel, tokenizer: Digest?, allowingOther: Bool
  ) throws(Refusal) {
    try lens?.model.check(
      against: model.description.reference(tokenizer: tokenizer), allowingOther: allowingOther,
      file: lens?.file)
  }
}
