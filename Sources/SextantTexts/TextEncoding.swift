import SextantBytes

/// Makes sure that bytes are text.
enum TextEncoding {
  /// The text without a byte-order mark, with line feeds for CR LF and CR.
  ///
  /// - Throws: `text.kind` for a file of another known kind, `file.html` for a pointer of Git LFS,
  ///   `text.encoding` for text that is not UTF-8.
  static func text(of bytes: [UInt8], path: String) throws(Refusal) -> [UInt8] {
    try checkKind(bytes, path)
    for (name, mark) in marks where bytes.starts(with: mark) {
      throw refusal(path, found: name, encoding: name)
    }
    let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    try checkZeros(text, path)
    do throws(UTF8.ValidationError) {
      _ = try UTF8Span(validating: text.span)
    } catch {
      throw invalid(text, at: error.byteOffsets.lowerBound, path)
    }
    return withLineFeeds(text)
  }

  // MARK: Other kinds of files

  /// Files that people give instead of text, by their first bytes.
  private static let kinds: [(name: String, magic: [UInt8])] = [
    ("a gzip file in a gzip file", [0x1F, 0x8B]),
    ("a zstd file", [0x28, 0xB5, 0x2F, 0xFD]),
    ("an xz file", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]),
    ("a bzip2 file", Array("BZh91AY&SY".utf8)),
    ("a Parquet file", Array("PAR1".utf8)),
    ("an Arrow file", Array("ARROW1\0".utf8)),
    ("an SQLite database", Array("SQLite format 3\0".utf8)),
    ("a PDF file", Array("%PDF-".utf8)),
  ]

  private static func checkKind(_ bytes: [UInt8], _ path: String) throws(Refusal) {
    let kind = FileKind(firstBytes: Array(bytes.prefix(FileKind.sniffedByteCount)))
    switch kind {
    case .gitLFSPointer:
      throw Refusal(
        .fileHTML, file: path, found: "a \(kind.rawValue)", expected: "the data")
    case .store, .safetensors, .hdf5, .gguf, .zip:
      throw refusal(path, kind: "a file of the kind \(kind.rawValue)")
    case .json, .html, .unknown: break
    }
    for (name, magic) in kinds where bytes.starts(with: magic) {
      throw refusal(path, kind: name)
    }
  }

  private static func refusal(_ path: String, kind: String) -> Refusal {
    Refusal(
      .textKind, file: path, found: kind, expected: "text, as it is or packed with gzip",
      remedy: "Unpack it, or convert it to JSON lines.")
  }

  // MARK: Encodings

  private static let marks: [(name: String, mark: [UInt8])] = [
    // Before UTF-16, because it begins with the mark of UTF-16.
    ("UTF-32LE", [0xFF, 0xFE, 0, 0]), ("UTF-32BE", [0, 0, 0xFE, 0xFF]),
    ("UTF-16LE", [0xFF, 0xFE]), ("UTF-16BE", [0xFE, 0xFF]),
  ]

  /// Refuses NUL: text has none, and in UTF-16 every second byte of Latin text is one. A few bytes are not
  /// called UTF-16, because the conversion of other bytes would destroy them.
  private static func checkZeros(_ text: [UInt8], _ path: String) throws(Refusal) {
    guard let first = text.firstIndex(of: 0) else { return }
    let sample = text.prefix(1 << 12)
    let odd = sample.indices.count { sample[$0] == 0 && $0 % 2 == 1 }
    let even = sample.indices.count { sample[$0] == 0 && $0 % 2 == 0 }
    for (name, own, other) in [("UTF-16LE", odd, even), ("UTF-16BE", even, odd)]
    where text.count.isMultiple(of: 2) && own >= 4 && own * 4 >= sample.count && other * 8 <= own {
      throw refusal(path, found: "\(name) without a mark", encoding: name)
    }
    throw Refusal(
      .textEncoding, file: path, at: .line(TextBytes.place(of: first, in: text).line),
      found: "a NUL byte", expected: "UTF-8 text", remedy: "Check that this is a file of text.")
  }

  private static func refusal(_ path: String, found: String, encoding: String) -> Refusal {
    Refusal(
      .textEncoding, file: path, found: found, expected: "UTF-8",
      remedy: "Convert it, for example with `iconv -f \(encoding) -t UTF-8`.")
  }

  private static func invalid(_ text: [UInt8], at offset: Int, _ path: String) -> Refusal {
    let spelling = String(text[offset], radix: 16, uppercase: true)
    return Refusal(
      .textEncoding, file: path, at: .line(TextBytes.place(of: offset, in: text).line),
      found: "the byte 0x\(spelling), which is not UTF-8 here (Latin-1 or Windows-1252?)",
      expected: "UTF-8 text",
      remedy: "Convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`.")
  }

  // MARK: Line ends

  private static func withLineFeeds(_ text: [UInt8]) -> [UInt8] {
    let carriageReturn = UInt8(ascii: "\r")
    guard text.contains(carriageReturn) else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var isAfterReturn = false
    for byte in text {
      if byte == carriageReturn {
        result.append(TextBytes.lineFeed)
      } else if byte != TextBytes.lineFeed || !isAfterReturn {
        result.append(byte)
      }
      isAfterReturn = byte == carriageReturn
    }
    return result
  }
}
