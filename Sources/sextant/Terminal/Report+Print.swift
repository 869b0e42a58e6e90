import SextantBytes
import SextantReport

extension Report {
  /// Prints one JSON document, or the text for people.
  func print(asJSON: Bool) {
    StandardStreams.print(asJSON ? JSONValue.object(json).prettyText : text)
  }
}
