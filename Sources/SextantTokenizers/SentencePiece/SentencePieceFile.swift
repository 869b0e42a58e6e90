import SextantBytes

/// The content of a SentencePiece `tokenizer.model` that affects encoding and decoding.
///
/// The file is a `ModelProto` message. Fields that are read may occur once, as the library writes
/// them; other fields are ignored, as in protocol buffers.
struct SentencePieceFile {
  /// A token.
  struct Piece {
    /// Its UTF-8 bytes in the file.
    var text = 0..<0
    /// Its rank among merges: higher scores come first.
    var score: Float = 0
    var kind = Kind.normal
    /// The position of the piece in the file.
    var offset = 0
  }

  /// The purpose of a piece.
  typealias Kind = ScoredPieces.Kind

  /// How the model was trained, as far as it matters later.
  struct Trainer {
    /// 1 unigram, 2 byte-pair encoding, 3 words, 4 characters.
    var modelType = 1
    var usesByteFallback = false
    var marksWordEnds = false
    /// The text to which the unknown piece decodes.
    var unknownSurface: [UInt8] = Array(" \u{2047} ".utf8)
    var beginPiece: [UInt8] = Array("<s>".utf8)
    var endPiece: [UInt8] = Array("</s>".utf8)
  }

  /// How text is normalised.
  struct Normalizer {
    /// The compiled map of characters, in the file.
    var characterMap = 0..<0
    var addsPrefix = true
    var removesExtraSpaces = true
    var marksSpaces = true
  }

  /// The file's bytes.
  let bytes: [UInt8]
  /// The file's path.
  let path: String?
  /// The tokens, by their ids.
  private(set) var pieces: [Piece] = []
  private(set) var trainer = Trainer()
  private(set) var normalizer = Normalizer()
  /// The normalisation of decoded text.
  private(set) var denormalizer = Normalizer()
  /// The additions from other files, as JSON; empty if there are none.
  private(set) var additions = 0..<0

  // Memory for merges is bounded by the length of all pieces.
  private static let pieceByteCountLimit = 1_024
  private static let userDefinedByteCountLimit = 256
  private static let piecesByteCountLimit = 8 << 20

  /// Reads a file.
  ///
  /// - Throws: `tokenizer.invalid`, `tokenizer.unsupported`, with an offset.
  init(_ source: TokenizerSource) throws(Refusal) {
    bytes = source.bytes
    path = source.file
    var reader = ProtobufReader(bytes, file: path)
    var once = FieldsOnce()
    var textByteCount = 0
    while let field = try reader.next() {
      switch field.number {
      case 1:
        let piece = try Self.piece(reader, field)
        textByteCount += piece.text.count
        pieces.append(piece)
        if textByteCount > Self.piecesByteCountLimit {
          throw unsupported(
            at: field.offset,
            found: "pieces of more than \(counted(Self.piecesByteCountLimit, "byte"))",
            expected: "fewer")
        }
      case 2:
        try once.check(field, reader)
        trainer = try Self.trainer(reader, field)
      case 3:
        try once.check(field, reader)
        normalizer = try Self.normalizer(reader, field)
      case 5:
        try once.check(field, reader)
        denormalizer = try Self.normalizer(reader, field)
      case SentencePieceAdditions.field:
        try once.check(field, reader)
        additions = try reader.range(field)
      default: break
      }
    }
  }

  /// The text of a piece.
  func text(_ piece: Piece) -> String { String(decoding: bytes[piece.text], as: UTF8.self) }

  /// A refusal of a contradiction.
  func invalid(at offset: Int? = nil, found: String, expected: String) -> Refusal {
    Refusal(
      .tokenizerInvalid, file: path, at: offset.map { .offset($0) }, found: found,
      expected: expected)
  }

  /// A refusal of an unsupported feature.
  func unsupported(at offset: Int? = nil, found: String, expected: String) -> Refusal {
    Refusal(
      .tokenizerUnsupported, file: path, at: offset.map { .offset($0) }, found: found,
      expected: expected)
  }

  // MARK: Messages

  private static func piece(
    _ reader: ProtobufReader, _ field: ProtobufReader.Field
  ) throws(Refusal) -> Piece {
    var message = ProtobufReader(reader.bytes, in: try reader.range(field), file: reader.file)
    var once = FieldsOnce()
    var piece = Piece(offset: field.offset)
    while let field = try message.next() {
      switch field.number {
      case 1:
        try once.check(field, reader)
        piece.text = try message.text(field)
      case 2:
        try once.check(field, reader)
        piece.score = try message.float(field)
      case 3:
        try once.check(field, reader)
        guard let kind = Kind(rawValue: try message.small(field)) else {
          throw message.refusal(
            at: field.offset, found: "an unknown type of piece", expected: "1 to 6")
        }
        piece.kind = kind
      default: break
      }
    }
    let limit =
      piece.kind == .userDefined ? userDefinedByteCountLimit : pieceByteCountLimit
    guard 1...limit ~= piece.text.count else {
      throw reader.refusal(
        at: field.offset, found: "a piece of \(counted(piece.text.count, "byte"))",
        expected: "1 to \(limit)")
    }
    return piece
  }

  private static func trainer(
    _ reader: ProtobufReader, _ field: ProtobufReader.Field
  ) throws(Refusal) -> Trainer {
    var message = ProtobufReader(reader.bytes, in: try reader.range(field), file: reader.file)
    var once = FieldsOnce()
    var trainer = Trainer()
    while let field = try message.next() {
      switch field.number {
      case 3: trainer.modelType = try message.small(field)
      case 24: trainer.marksWordEnds = try message.boolean(field)
      case 35: trainer.usesByteFallback = try message.boolean(field)
      case 44: trainer.unknownSurface = Array(message.bytes[try message.text(field)])
      case 46: trainer.beginPiece = Array(message.bytes[try message.text(field)])
      case 47: trainer.endPiece = Array(message.bytes[try message.text(field)])
      default: continue
      }
      try once.check(field, reader)
    }
    return trainer
  }

  private static func normalizer(
    _ reader: ProtobufReader, _ field: ProtobufReader.Field
  ) throws(Refusal) -> Normalizer {
    var message = ProtobufReader(reader.bytes, in: try reader.range(field), file: reader.file)
    var once = FieldsOnce()
    var normalizer = Normalizer()
    while let field = try message.next() {
      switch field.number {
      case 2: normalizer.characterMap = try message.range(field)
      case 3: normalizer.addsPrefix = try message.boolean(field)
      case 4: normalizer.removesExtraSpaces = try message.boolean(field)
      case 5: normalizer.marksSpaces = try message.boolean(field)
      default: continue
      }
      try once.check(field, reader)
    }
    return normalizer
  }
}

/// Refuses a field that occurs twice: readers of protocol buffers differ on its meaning.
private struct FieldsOnce {
  private var seen: Set<Int> = []

  mutating func check(
    _ field: ProtobufReader.Field, _ reader: ProtobufReader
  ) throws(Refusal) {
    guard seen.insert(field.number).inserted else {
      throw reader.refusal(
        at: field.offset, found: "field \(field.number) again", expected: "each field once")
    }
  }
}
