import ArgumentParser
import Glibc
import SextantBytes
import SextantTerminal
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
    guard let path = argument == "-" ? argument : file else {
      if looksLikeFile {
        StandardStreams.printError(
          "note: the text is the name of a file; @\(argument) would read the file")
      }
      return argument
    }
    return try TextFile(reading: path, limit: Self.limit).textWithoutLastLineFeed
  }

  /// Whether the text itself is the name of an existing file, with an ending or a folder.
  private var looksLikeFile: Bool {
    argument.contains { $0 == "." || $0 == "/" } && access(argument, F_OK) == 0
  }

  /// The files that are read.
  var inputs: [String] { file.map { [$0] } ?? [] }
}
