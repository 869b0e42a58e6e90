import SextantBytes

extension ScoredPieces {
  /// The bytes of a `tokenizer.model` with these pieces, which `Tokenizers.load` and the
  /// `sentencepiece` package read: equal pieces give equal bytes.
  package var model: [UInt8] {
    var file = ProtobufWriter()
    for piece in pieces {
      var message = ProtobufWriter()
      message.add(1, Array(piece.text.utf8))
      message.add(2, piece.score)
      if piece.kind != .normal { message.add(3, piece.kind.rawValue) }
      file.add(1, message.bytes)
    }
    file.add(2, trainer)
    file.add(3, normalizer)
    return file.bytes
  }

  /// `trainer_spec`: the kind of the model, and the pieces for the beginning, the end and unknown
  /// text.
  private var trainer: [UInt8] {
    var message = ProtobufWriter()
    message.add(3, 2)  // byte-pair encoding
    message.add(4, pieces.count)
    if fallsBackToBytes { message.add(35, 1) }
    let special = [(40, 45, unknownID), (41, 46, beginID), (42, 47, endID)]
    for case (let field, _, let id?) in special { message.add(field, id) }
    for case (_, let field, let id?) in special { message.add(field, Array(pieces[id].text.utf8)) }
    return message.bytes
  }

  /// `normalizer_spec`.
  private var normalizer: [UInt8] {
    var message = ProtobufWriter()
    message.add(1, Array((characterMap.isEmpty ? "identity" : "user_defined").utf8))
    if !characterMap.isEmpty { message.add(2, characterMap) }
    message.add(3, addsPrefix ? 1 : 0)
    message.add(4, removesExtraSpaces ? 1 : 0)
    message.add(5, 1)
    return message.bytes
  }
}

/// Writes the fields of a message in protocol buffers' wire format.
struct ProtobufWriter {
  /// The message.
  private(set) var bytes: [UInt8] = []

  /// A string, bytes or a message.
  mutating func add(_ field: Int, _ content: [UInt8]) {
    addNumber(field << 3 | 2)
    addNumber(content.count)
    bytes += content
  }

  /// A number that is not negative, or a truth value.
  mutating func add(_ field: Int, _ number: Int) {
    addNumber(field << 3)
    addNumber(number)
  }

  /// A number in single precision.
  mutating func add(_ field: Int, _ number: Float) {
    addNumber(field << 3 | 5)
    bytes += number.bitPattern.littleEndianBytes
  }

  private mutating func addNumber(_ number: Int) {
    var rest = UInt64(number)
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
