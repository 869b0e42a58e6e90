import SextantBytes
import SextantTokenizers

/// A `tokenizer.model` small enough to reason about, written field by field.
///
/// Pieces 0 to 2 are `<unk>`, `<s>` and `</s>`.
struct TinySentencePiece {
  /// A piece: text, score, type (1 normal, 3 control, 4 user-defined, 5 unused, 6 byte).
  typealias Piece = (text: String, score: Float, type: Int)

  var pieces: [Piece]
  var modelType = 2
  var usesByteFallback = false
  var addsPrefix = false
  var removesExtraSpaces = false
  var marksSpaces = true
  var characterMap: [UInt8] = []
  /// Bytes after the last message.
  var tail: [UInt8] = []

  /// The characters that most examples are made of.
  static let characters: [Piece] = ["▁", "a", "b", "c"].map { ($0, -9, 1) }

  init(_ pieces: [Piece] = Self.characters, bytes: Bool = false) {
    self.pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)] + pieces
    usesByteFallback = bytes
    guard bytes else { return }
    for byte in 0..<256 {
      let digits = String(byte, radix: 16, uppercase: true)
      self.pieces.append(("<0x\(byte < 16 ? "0" : "")\(digits)>", 0, 6))
    }
  }

  /// The file.
  var bytes: [UInt8] {
    var file: [UInt8] = []
    for piece in pieces {
      file += Self.field(1, Self.message(piece))
    }
    file += Self.field(2, Self.field(3, modelType) + Self.field(35, usesByteFallback ? 1 : 0))
    var normalizer = Self.field(3, addsPrefix ? 1 : 0)
    normalizer += Self.field(4, removesExtraSpaces ? 1 : 0) + Self.field(5, marksSpaces ? 1 : 0)
    if !characterMap.isEmpty { normalizer += Self.field(2, characterMap) }
    return file + Self.field(3, normalizer) + tail
  }

  func load() throws -> any Tokenizer { try Tokenizers.load(bytes: bytes, file: "tiny.model") }

  /// The message of a piece.
  static func message(_ piece: Piece) -> [UInt8] {
    field(1, Array(piece.text.utf8)) + key(2, 5) + piece.score.bitPattern.littleEndianBytes
      + field(3, piece.type)
  }

  /// A field of bytes.
  static func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
    key(number, 2) + varint(bytes.count) + bytes
  }

  /// A field of a number.
  static func field(_ number: Int, _ value: Int) -> [UInt8] { key(number, 0) + varint(value) }

  /// What a field starts with.
  static func key(_ number: Int, _ wireType: Int) -> [UInt8] { varint(number << 3 | wireType) }

  private static func varint(_ value: Int) -> [UInt8] {
    var rest = UInt64(value)
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}

extension Tokenizer {
  /// The tokens of a text, joined by bars.
  func tokens(_ text: String) -> String {
    encode(text).map { token($0) ?? "nil" }.joined(separator: "|")
  }
}
