import SextantBytes
import SextantStore

extension Refusal {
  /// The refusal of an edit of a value that is only shown.
  package init(readOnly site: Site, file: String? = nil) {
    self.init(
      .artifactSite, file: file, at: .tensor(site.name), found: "an edit of \(site)",
      expected: "a site that can be edited: this one is only shown",
      remedy: "Edit the residual stream before it, such as blocks.0.output.")
  }
}
