/// SentencePiece's normalisation: characters are replaced by a map, spaces are trimmed and joined
/// on request, one is put before the text, and all are written as "▁".
struct SentencePieceNormalizer: Sendable {
  /// The map of characters, if there is one.
  var map: CharacterMap?
  /// Texts that the map leaves alone.
  var kept: ByteTrie
  /// Whether a space is put before a text.
  var addsPrefix: Bool
  /// Whether spaces at both ends are removed, and runs of them joined.
  var removesExtraSpaces: Bool
  /// What a space becomes.
  var marker: [UInt8]

  private static let space = UInt8(ascii: " ")

  /// The normalised text.
  func normalize(_ bytes: [UInt8]) -> [UInt8] {
    var position = 0
    if removesExtraSpaces {
      while position < bytes.count {
        let (text, end) = next(bytes, from: position)
        guard text.elementsEqual([Self.space]) else { break }
        position = end
      }
    }
    guard position < bytes.count else { return [] }

    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + bytes.count / 2)
    if addsPrefix { result += marker }
    var followsSpace = removesExtraSpaces
    while position < bytes.count {
      var (text, end) = next(bytes, from: position)
      if followsSpace { text = text.drop { $0 == Self.space } }
      for byte in text {
        if byte == Self.space { result += marker } else { result.append(byte) }
      }
      if removesExtraSpaces, let last = text.last { followsSpace = last == Self.space }
      position = end
    }
    if removesExtraSpaces {
      while result.count >= marker.count, result.suffix(marker.count).elementsEqual(marker) {
        result.removeLast(marker.count)
      }
    }
    return result
  }

  /// What stands for the next part of the text, and where that part ends.
  private func next(
    _ bytes: [UInt8], from position: Int
  ) -> (text: ArraySlice<UInt8>, end: Int) {
    if let (_, end) = kept.longest(in: bytes, from: position, to: bytes.count) {
      return (bytes[position..<end], end)
    }
    if let map, let (replacement, end) = map.longest(in: bytes, from: position) {
      return (replacement, end)
    }
    let end = position + bytes.scalar(at: position).byteCount
    return (bytes[position..<end], end)
  }
}
