import SextantBytes
import SextantReport
import SextantTerminal

extension Report {
  /// Prints one JSON document, or the text for people.
  func print(asJSON: Bool) {
    var shown = self
    shown.notes = notes.map(ParameterNames.withOptions)
    StandardStreams.print(asJSON ? JSONValue.object(json).prettyText : shown.text)
  }
}

extension StandardStreams {
  /// Writes a note to standard error.
  static func printNote(_ note: String) { printError("note: \(ParameterNames.withOptions(note))") }

  /// Writes warnings to standard error.
  static func printWarnings(_ warnings: [String]) {
    for warning in warnings { printError("warning: \(warning)") }
  }
}
