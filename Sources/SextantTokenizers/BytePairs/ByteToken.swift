/// The spelling `<0x41>` of a token that represents one byte.
enum ByteToken {
  private static let digits = Array("0123456789ABCDEF".unicodeScalars)

  /// The token of a byte.
  static func name(_ byte: UInt8) -> String {
    "<0x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])>"
  }

  /// The byte of a token; nil for any other text. Small digits count too.
  static func byte(of token: String) -> UInt8? {
    let text = token.utf8
    guard text.count == 6, text.starts(with: "<0x".utf8), text.last == UInt8(ascii: ">"),
      text.dropFirst(3).dropLast().allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit })
    else { return nil }
    return UInt8(Substring(text.dropFirst(3).dropLast()), radix: 16)
  }
}
