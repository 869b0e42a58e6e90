import SextantBytes

extension Refusal {
  /// The refusal of values that overflowed, or came from weights that are not finite.
  ///
  /// - Parameters:
  ///   - what: the values, such as `logits`.
  ///   - place: the site of a file that would contain them; nil if none.
  package static func nonfinite(_ what: String, at place: Place? = nil) -> Refusal {
    Refusal(
      .modelNonfinite, at: place, found: "\(what) that are not finite", expected: "finite \(what)",
      remedy: "Check the weights with `sextant verify`, or lower the strength.")
  }
}
