/// SentencePiece's normalisation: characters are replaced by a map, spaces are trimmed and joined
/// on request, one is put before the text, and all are written as "▁".
struct SentencePieceNormalizer: Sendable {
  /// The map of characters, if there is one.
  var map: CharacterMap?
  /// Texts that the map leaves alone.
  var kept: LongestMatches
  /// Whether a space is put before a text.
  var addsPrefix: Bool
  /// Whether spaces at both ends are removed, and runs of them joined.
  var removesExtraSpaces: Bool
  /// The replacement of a space.
  var marker: [UInt8]

  private static let space = UInt8(ascii: " ")

  /// The normalised text.
  ///
  /// - Parameter addsPrefix: whether a space is put before this text.
  func normalize(_ bytes: [UInt8], addsPrefix: Bool) -> [UInt8] {
    var steps = 0
    return normalize(bytes, addsPrefix: addsPrefix, steps: &steps)
  }

  /// The same, and adds the bytes that were looked at to `steps`.
  func normalize(_ bytes: [UInt8], addsPrefix: Bool, steps: inout Int) -> [UInt8] {
    var kept = LongestMatches.Reader(self.kept, bytes)
    defer { steps += kept.steps }
    var position = 0
    if removesExtraSpaces {
      while position < bytes.count {
        let (text, end) = next(bytes, from: position, &kept, &steps)
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
      var (text, end) = next(bytes, from: position, &kept, &steps)
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

  /// The replacement of the next part of the text, and the end of that part.
  private func next(
    _ bytes: [UInt8], from position: Int, _ kept: inout LongestMatches.Reader, _ steps: inout Int
  ) -> (text: ArraySlice<UInt8>, end: Int) {
    if let (_, end) = kept.match(at: position) { return (bytes[position..<end], end) }
    if let map, let (replacement, end) = map.longest(in: bytes, from: position, steps: &steps) {
      return (replacement, end)
    }
    let end = position + bytes.scalar(at: position).byteCount
    return (bytes[position..<end], end)
  }
}
