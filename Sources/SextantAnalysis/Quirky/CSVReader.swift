import SextantBytes

/// Comma-separated values as RFC 4180 has them: quoted cells may hold commas, quotes written twice,
/// and line feeds.
struct CSVReader {
  private let bytes: [UInt8]
  private let file: String

  private static let (comma, quote) = (UInt8(ascii: ","), UInt8(ascii: "\""))
  private static let (lineFeed, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))

  init(_ bytes: [UInt8], file: String) {
    // The mark that spreadsheets put before UTF-8.
    self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    self.file = file
  }

  /// All rows with the line each starts on, from 1; empty lines are passed over.
  ///
  /// - Throws: `data.record` for a quote that is not closed or stands inside a plain cell,
  ///   `json.encoding` for what is not UTF-8.
  func rows() throws(FormatError) -> [(line: Int, cells: [String])] {
    var rows: [(line: Int, cells: [String])] = []
    var (index, line) = (0, 1)
    while index < bytes.count {
      let start = line
      var cells: [String] = []
      repeat {
        if !cells.isEmpty { index += 1 }
        cells.append(try cell(&index, &line))
      } while index < bytes.count && bytes[index] == Self.comma
      if index < bytes.count, bytes[index] == Self.carriageReturn { index += 1 }
      if index < bytes.count {
        guard bytes[index] == Self.lineFeed else {
          throw refusal(line, "text after a closed quote", "a comma or the line's end")
        }
        index += 1
        line += 1
      }
      if cells != [""] { rows.append((start, cells)) }
    }
    return rows
  }

  private func cell(_ index: inout Int, _ line: inout Int) throws(FormatError) -> String {
    var content: [UInt8] = []
    let start = line
    if index < bytes.count, bytes[index] == Self.quote {
      index += 1
      while true {
        guard index < bytes.count else {
          throw refusal(start, "a quote without its end", "a closing quote")
        }
        let byte = bytes[index]
        index += 1
        if byte == Self.quote {
          guard index < bytes.count, bytes[index] == Self.quote else { break }
          index += 1
        } else if byte == Self.lineFeed {
          line += 1
        }
        content.append(byte)
      }
    } else {
      while index < bytes.count, ![Self.comma, Self.lineFeed].contains(bytes[index]) {
        if bytes[index] == Self.carriageReturn, index + 1 < bytes.count,
          bytes[index + 1] == Self.lineFeed
        {
          break
        }
        content.append(bytes[index])
        index += 1
      }
    }
    guard let text = String(validating: content, as: UTF8.self) else {
      throw FormatError(
        .jsonEncoding, file: file, at: .line(start), found: "bytes that are not UTF-8",
        expected: "UTF-8 text")
    }
    return text
  }

  private func refusal(_ line: Int, _ found: String, _ expected: String) -> FormatError {
    FormatError(.dataRecord, file: file, at: .line(line), found: found, expected: expected)
  }
}
