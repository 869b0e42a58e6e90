import SextantBytes
import SextantReport

extension Report {
  /// Prints one JSON document, or the text for people.
  func print(asJSON: Bool) {
    var shown = self
    shown.notes = notes.map(ParameterNames.withOptions)
    StandardStreams.print(asJSON ? JSONValue.object(json).prettyText : shown.text)
  }
}
