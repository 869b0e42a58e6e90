import SextantBytes

extension ChatTemplate {
  /// The text of a conversation as a model reads it.
  ///
  /// The parts that the template wrote and the parts that came from messages are told apart: a message that
  /// spells out a control token is text, and never becomes that token.
  public struct Text: Sendable, Equatable {
    /// The whole text.
    public private(set) var text = ""
    /// The bytes of `text` that came from messages, in order.
    package private(set) var messageRanges: [Range<Int>] = []

    /// Adds text of the template.
    mutating func mark(_ part: String) { text += part }

    /// Adds text of a message.
    mutating func add(_ part: some StringProtocol) {
      guard !part.isEmpty else { return }
      let start = text.utf8.count
      text += part
      let end = text.utf8.count
      if let last = messageRanges.last, last.upperBound == start {
        messageRanges[messageRanges.count - 1] = last.lowerBound..<end
      } else {
        messageRanges.append(start..<end)
      }
    }

    /// The token ids of the text. No token is put before it: a template writes the one that begins a text
    /// itself, where its model wants one.
    public func ids(_ tokenizer: any Tokenizer) -> [Int] {
      tokenizer.encode(text, literally: messageRanges)
    }
  }
}
