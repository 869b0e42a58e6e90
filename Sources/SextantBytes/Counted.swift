/// A number with a noun: `1 token`, `3 tokens`, `2 entries`.
///
/// - Parameters:
///   - noun: the word for one.
///   - plural: the word for any other number; nil for the noun with an s.
public func counted(_ count: Int, _ noun: String, plural: String? = nil) -> String {
  "\(count) \(count == 1 ? noun : plural ?? noun + "s")"
}
