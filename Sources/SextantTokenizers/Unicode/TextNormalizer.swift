/// The normalisation of a text before it is split, step by step.
struct TextNormalizer: Sendable {
  /// One step.
  enum Step: Sendable, Equatable {
    /// Normalisation form C.
    case nfc
    /// Puts the space marker before a text.
    case prependMarker
    /// Writes the space marker for every space.
    case markSpaces
  }

  /// The steps, in their order.
  var steps: [Step] = []

  /// The normalised text; nil if it is that already.
  func normalize(_ bytes: [UInt8]) -> [UInt8]? {
    var result: [UInt8]?
    for step in steps {
      let current = result ?? bytes
      switch step {
      case .nfc: if let composed = NFC.normalize(current) { result = composed }
      case .prependMarker: if !current.isEmpty { result = SpaceMarker.bytes + current }
      case .markSpaces: if let marked = SpaceMarker.mark(current[...]) { result = marked }
      }
    }
    return result
  }
}

/// The character U+2581, "▁", which represents a space in the tokens of SentencePiece.
enum SpaceMarker {
  /// The character.
  static let string = "\u{2581}"
  /// Its bytes.
  static let bytes: [UInt8] = Array(string.utf8)

  /// The text with the marker for every space; nil if there is none.
  static func mark(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let space = UInt8(ascii: " ")
    guard text.contains(space) else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 2)
    for byte in text {
      if byte == space { result.append(contentsOf: bytes) } else { result.append(byte) }
    }
    return result
  }

  /// The text with a space for every marker.
  static func unmark(_ text: some Collection<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var rest = text[...]
    while let byte = rest.first {
      if byte == bytes[0], rest.starts(with: bytes) {
        result.append(UInt8(ascii: " "))
        rest = rest.dropFirst(bytes.count)
      } else {
        result.append(byte)
        rest = rest.dropFirst()
      }
    }
    return result
  }
}
