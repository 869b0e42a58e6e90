import ArgumentParser
import Glibc
import SextantBytes

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
  /// - Throws: `file.*`, `limit.file`, `json.encoding` for what is not UTF-8.
  func text() throws(FormatError) -> String {
    if argument == "-" { return try Self.text(of: Self.standardInput(), "standard input") }
    guard let file else { return argument }
    return try Self.text(of: InputFile(file).readAll(limit: Self.limit), file)
  }

  private static func text(of bytes: [UInt8], _ source: String) throws(FormatError) -> String {
    let newline = UInt8(ascii: "\n")
    let content = bytes.last == newline ? bytes.dropLast() : bytes[...]
    guard let text = String(validating: content, as: UTF8.self) else {
      throw FormatError(
        .jsonEncoding, file: source, found: "bytes that are not UTF-8", expected: "UTF-8 text")
    }
    return text
  }

  private static func standardInput() throws(FormatError) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count <= limit {
      let count = read(STDIN_FILENO, &piece, piece.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw FormatError(
          .fileRead, file: "standard input", found: String(cString: strerror(errno)),
          expected: "text")
      }
      if count == 0 { return bytes }
      bytes += piece[..<count]
    }
    throw FormatError(
      .limitFile, file: "standard input", found: "more than \(limit) bytes",
      expected: "at most \(limit) bytes")
  }
}
