import SextantBytes
import SextantStore

extension Site {
  /// Whether taps see the value and cannot edit it: the run does not use it otherwise.
  package var isReadOnly: Bool {
    guard let block else { return false }
    return self == .memory(block: block) || self == .router(block: block)
  }
}

extension Refusal {
  /// The refusal of an edit of a value that is only shown.
  package init(readOnly site: Site, file: String? = nil) {
    self.init(
      .artifactSite, file: file, at: .tensor(site.name), found: "an edit of \(site)",
      expected: "a site that can be edited: this one is only shown",
      remedy:
        "Edit the residual stream before it, such as \(site.block.map { Site.input(block: $0).name } ?? "embedding")."
    )
  }
}
