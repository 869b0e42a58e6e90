import SextantBytes

/// The letters that name the answers of a question.
package enum AnswerLetter {
  /// The letter of "(A)" or "A", with or without spaces around it. Any letter or digit stays itself:
  /// some questions have more than two answers.
  ///
  /// - Throws: the node's refusal for anything else.
  package static func read(_ node: JSONNode) throws(Refusal) -> String {
    var letters = try node.string().utf8.drop { $0 == UInt8(ascii: " ") }
    while letters.last == UInt8(ascii: " ") { letters.removeLast() }
    if letters.first == UInt8(ascii: "("), letters.last == UInt8(ascii: ")") {
      letters = letters.dropFirst().dropLast()
    }
    let isLetter = { (byte: UInt8) in
      (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte & 0xDF)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
    guard letters.count == 1, letters.allSatisfy(isLetter) else {
      throw node.refusal(expected: "a letter such as \"(A)\"")
    }
    return String(decoding: letters, as: UTF8.self)
  }
}
