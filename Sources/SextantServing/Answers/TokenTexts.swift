import SextantTokenizers

/// The texts of tokens as OpenAI's API writes them, and their places in the text.
struct TokenTexts {
  private let tokenizer: any Tokenizer
  private var decoder: StreamingDecoder
  private var isFirst: Bool
  /// Code points of the text so far, as far as they are complete.
  private(set) var offset = 0

  /// Texts of tokens that begin a text, or continue one.
  init(_ tokenizer: any Tokenizer, continuing: Bool) {
    self.tokenizer = tokenizer
    decoder = StreamingDecoder(tokenizer, continuing: continuing)
    isFirst = !continuing
  }

  /// The next token: its text, its bytes, and the code point of the text at which it begins.
  mutating func append(_ id: Int) -> (text: String, bytes: [UInt8], offset: Int) {
    var bytes = tokenizer.bytes(of: id) ?? []
    if isFirst, tokenizer.addsLeadingSpace, bytes.first == UInt8(ascii: " ") { bytes.removeFirst() }
    if !bytes.isEmpty { isFirst = false }
    defer { offset += decoder.append(id).unicodeScalars.count }
    return (Self.text(bytes), bytes, offset)
  }

  /// A token by itself.
  static func text(of id: Int, _ tokenizer: any Tokenizer) -> String {
    text(tokenizer.bytes(of: id) ?? [])
  }

  /// The text of bytes, or `bytes:\xNN…` for bytes that are no whole text.
  static func text(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    return "bytes:"
      + bytes.map { byte in
        let digits = String(byte, radix: 16)
        return "\\x" + (digits.count < 2 ? "0" : "") + digits
      }.joined()
  }
}
