import SextantBytes

/// The escapes of llama.cpp's text files: `\n`, `\r`, `\t`, `\'`, `\"`, `\\`, and `\x` with two hexadecimal
/// digits for a byte. A backslash before anything else stays, and so does one at the end.
enum TextEscapes {
  /// The text, with escapes replaced by their characters.
  ///
  /// - Throws: `text.encoding` if bytes that are spelled with `\x` do not make UTF-8.
  static func replaced(
    in text: String, file: String, line: Int?
  ) throws(Refusal) -> String {
    let source = Array(text.utf8)
    let backslash = UInt8(ascii: "\\")
    guard source.contains(backslash) else { return text }
    var result: [UInt8] = []
    var position = 0
    while position < source.count {
      guard source[position] == backslash, position + 1 < source.count else {
        result.append(source[position])
        position += 1
        continue
      }
      let (bytes, length) = escape(source[(position + 1)...])
      result += bytes
      position += 1 + length
    }
    guard let replaced = String(validating: result, as: UTF8.self) else {
      throw Refusal(
        .textEncoding, file: file, at: line.map { .line($0) },
        found: "escapes \\x that do not make UTF-8", expected: "the bytes of whole characters")
    }
    return replaced
  }

  /// The character of a backslash and these bytes, and the number of the bytes that belong to it.
  private static func escape(_ bytes: ArraySlice<UInt8>) -> (bytes: [UInt8], length: Int) {
    let backslash = UInt8(ascii: "\\")
    let letter = bytes[bytes.startIndex]
    switch letter {
    case UInt8(ascii: "n"): return ([0x0A], 1)
    case UInt8(ascii: "r"): return ([0x0D], 1)
    case UInt8(ascii: "t"): return ([0x09], 1)
    case UInt8(ascii: "'"), UInt8(ascii: "\""), backslash: return ([letter], 1)
    case UInt8(ascii: "x"):
      let digits = bytes.dropFirst().prefix(2).map { byte in
        byte < 0x80 ? Character(Unicode.Scalar(byte)).hexDigitValue : nil
      }
      guard digits.count == 2, let high = digits[0], let low = digits[1] else {
        return ([backslash, letter], 1)
      }
      return ([UInt8(high << 4 | low)], 3)
    default: return ([backslash, letter], 1)
    }
  }
}
