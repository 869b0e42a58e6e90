import ArgumentParser
import SextantBytes
import SextantTexts

/// A text given in place, in a file (`@FILE`) or on standard input (`-`).
struct PromptArgument: ExpressibleByArgument {
  private let argument: String
  /// Bytes that a prompt may have.
  private static let limit = 64 << 20

  init?(argument: String) {
    self.argument = argument
  }

  /// The file that the text is read from; nil for none.
  var file: String? { argument.hasPrefix("@") ? String(argument.dropFirst()) : nil }

  /// The text; of a file without the newline at its end.
  ///
  /// - Throws: `file.*`, `limit.file`, `text.*`; `usage.option` if standard input was read before.
  func text() throws(Refusal) -> String {
    guard let path = argument == "-" ? argument : file else { return argument }
    return try TextFile(reading: path, limit: Self.limit).textWithoutLastLineFeed
  }

  /// The files that are read.
  var inputs: [String] { file.map { [$0] } ?? [] }
}
