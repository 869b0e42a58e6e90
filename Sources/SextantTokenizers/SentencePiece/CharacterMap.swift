import SextantBytes

/// SentencePiece's compiled normalisation rules: a double-array trie (the layout of Darts-clone)
/// from texts to their replacements.
///
/// The blob is the trie's byte count (32 bits, little endian), the trie's units, and the
/// replacements, each ended by a NUL.
struct CharacterMap: Sendable {
  private let units: [UInt32]
  private let replacements: [UInt8]

  // The longest replacement of NFKC has 33 bytes; without a limit a text could grow without one.
  private static let replacementByteCountLimit = 128
  // A hostile trie may have cycles, in which a search would run to the end of the text.
  private static let keyByteCountLimit = 256

  /// The fault of a blob.
  struct Mistake: Error {
    /// The value that was found.
    var found: String
  }

  /// Reads a blob and checks that every replacement is there, short and UTF-8.
  init(_ blob: ArraySlice<UInt8>) throws(Mistake) {
    guard blob.count > 4 else { throw Mistake(found: "a map of \(counted(blob.count, "byte"))") }
    let byteCount = Int(Self.integer(blob.prefix(4)))
    let rest = blob.dropFirst(4)
    guard byteCount % 4 == 0, byteCount > 0, byteCount < rest.count else {
      throw Mistake(found: "a map of \(counted(blob.count, "byte")) whose trie has \(byteCount)")
    }
    var units: [UInt32] = []
    units.reserveCapacity(byteCount / 4)
    let start = rest.startIndex
    for offset in stride(from: start, to: start + byteCount, by: 4) {
      units.append(Self.integer(rest[offset..<offset + 4]))
    }
    self.units = units
    replacements = Array(rest.dropFirst(byteCount))
    try check()
  }

  private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private func check() throws(Mistake) {
    guard String(validating: replacements, as: UTF8.self) != nil else {
      throw Mistake(found: "replacements that are not UTF-8")
    }
    for node in units.indices where !units[node].isValue && units[node].hasLeaf {
      guard let leaf = child(of: node, offset: 0) else { continue }
      let start = units[leaf].value
      guard units[leaf].isValue, start < replacements.count, replacements[start] & 0xC0 != 0x80,
        replacements[start...].prefix(Self.replacementByteCountLimit + 1).contains(0)
      else { throw Mistake(found: "a replacement that is not there, or too long") }
    }
  }

  /// The replacement of the longest text that the map has and `bytes` continue with from `start`,
  /// and where that text ends.
  ///
  /// Adds the number of bytes that were read to `steps`: at most 256, for any map.
  func longest(
    in bytes: [UInt8], from start: Int, steps: inout Int
  ) -> (replacement: ArraySlice<UInt8>, end: Int)? {
    var longest: (leaf: Int, end: Int)?
    var node = 0
    var position = start
    let end = min(bytes.count, start + Self.keyByteCountLimit)
    while position < end {
      let byte = bytes[position]
      guard let next = child(of: node, offset: Int(byte)), units[next].label == UInt32(byte) else {
        break
      }
      node = next
      position += 1
      steps += 1
      // A text ends between characters; a hostile map's may not.
      if units[node].hasLeaf, position == bytes.count || bytes[position] & 0xC0 != 0x80,
        let leaf = child(of: node, offset: 0)
      {
        longest = (leaf, position)
      }
    }
    guard let longest else { return nil }
    return (replacements[units[longest.leaf].value...].prefix { $0 != 0 }, longest.end)
  }

  private func child(of node: Int, offset: Int) -> Int? {
    let child = node ^ units[node].offset ^ offset
    return child < units.count ? child : nil
  }
}

/// A unit of the double array.
extension UInt32 {
  /// Whether it contains a string's value instead of a node.
  fileprivate var isValue: Bool { self >> 31 == 1 }
  /// The value.
  fileprivate var value: Int { Int(self & 0x7FFF_FFFF) }
  /// Whether a string ends at the node.
  fileprivate var hasLeaf: Bool { self >> 8 & 1 == 1 }
  /// The byte that leads to the node; no byte if it is not a node.
  fileprivate var label: UInt32 { self & 0x8000_00FF }
  /// The value that is combined with a node's own index and a byte to find a child.
  fileprivate var offset: Int { Int(self >> 10) << Int((self & 0x200) >> 6) }
}
