import SextantBytes

/// A file of prompts.
public enum PromptFile {
  /// Bytes that a file of prompts may have.
  public static let byteCountLimit = 1 << 30

  /// Reads prompts: one on each line, or, from a file whose name ends in `.jsonl`, one JSON string
  /// on each line, so that prompts may have newlines. Empty lines are passed over.
  ///
  /// - Throws: `file.*`, `json.*`, `data.record` for a line that is no JSON string, `data.empty`.
  public static func read(_ path: String) throws(FormatError) -> [String] {
    let bytes = try InputFile(path).readAll(limit: byteCountLimit)
    let isJSON = path.hasSuffix(".jsonl")
    var prompts: [String] = []
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.contains(where: { $0 > 0x20 }) {
      do throws(FormatError) {
        prompts.append(try isJSON ? string(line, path) : text(line, path))
      } catch {
        var refusal = error
        refusal.place = .line(index + 1)
        throw refusal
      }
    }
    guard !prompts.isEmpty else {
      throw FormatError(.dataEmpty, file: path, found: "no prompts", expected: "at least one")
    }
    return prompts
  }

  private static func text(_ line: ArraySlice<UInt8>, _ path: String) throws(FormatError) -> String
  {
    let content = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
    guard let text = String(validating: content, as: UTF8.self) else {
      throw FormatError(
        .jsonEncoding, file: path, found: "bytes that are not UTF-8", expected: "UTF-8 text")
    }
    return text
  }

  private static func string(
    _ line: ArraySlice<UInt8>, _ path: String
  ) throws(FormatError) -> String {
    let limits = JSONLimits(byteCount: byteCountLimit, stringByteCount: byteCountLimit)
    let value = try JSONValue(parsing: Array(line), limits: limits, file: path)
    return try JSONNode(value, code: .dataRecord, file: path).string()
  }
}
