import SextantBytes

/// A pattern for names: `*` stands for any number of characters, `?` for one, and every other character for
/// itself. The whole name has to fit.
struct NamePattern: Sendable {
  /// The pattern as it was written.
  let text: String
  private let characters: [UInt8]

  init(_ text: String) {
    self.text = text
    characters = Array(text.utf8)
  }

  /// Whether a name fits. Takes at most the product of both lengths in steps.
  func matches(_ name: String) -> Bool {
    let name = Array(name.utf8)
    let (star, any) = (UInt8(ascii: "*"), UInt8(ascii: "?"))
    var (place, next) = (0, 0)
    // The position of the last star, and of the first byte of the name after the text that it
    // stands for.
    var last: (star: Int, end: Int)?
    while place < name.count {
      if next < characters.count, characters[next] == star {
        last = (next, place)
        next += 1
      } else if next < characters.count, characters[next] == any || characters[next] == name[place]
      {
        (place, next) = (place + 1, next + 1)
      } else if let (position, end) = last {
        last = (position, end + 1)
        (place, next) = (end + 1, position + 1)
      } else {
        return false
      }
    }
    return characters[next...].allSatisfy { $0 == star }
  }
}
