import SextantBytes
import SextantTokenizers

/// The log-probabilities of tokens in the two forms of OpenAI's API.
struct LogprobLists {
  private var texts: TokenTexts
  private let tokenizer: any Tokenizer
  /// The tokens since the last list was taken.
  private var entries: [Entry] = []

  private struct Entry {
    let token: ScoredToken
    let text: String
    let bytes: [UInt8]
    let offset: Int
  }

  /// Lists of a text's tokens.
  ///
  /// - Parameter isWhole: whether the tokens begin the text that is shown.
  init(_ tokenizer: any Tokenizer, isWhole: Bool) {
    self.tokenizer = tokenizer
    texts = TokenTexts(tokenizer, continuing: !isWhole)
  }

  /// Adds a token.
  ///
  /// - Parameter isShown: false for a token that the server put before the text: it has no text.
  mutating func append(_ token: ScoredToken, isShown: Bool = true) {
    let (text, bytes, offset) = isShown ? texts.append(token.id) : ("", [], texts.offset)
    entries.append(Entry(token: token, text: text, bytes: bytes, offset: offset))
  }

  /// The lists of a completion since the last call.
  mutating func takeCompletion() -> JSONValue {
    defer { entries = [] }
    return [
      "tokens": .array(entries.map { .string($0.text) }),
      "token_logprobs": .array(entries.map { Self.number($0.token.logProbability) }),
      "top_logprobs": .array(entries.map(top)),
      "text_offset": .array(entries.map { .integer(Int64($0.offset)) }),
    ]
  }

  /// The list of a chat since the last call.
  mutating func takeChat() -> JSONValue {
    defer { entries = [] }
    return ["content": .array(entries.map(chat)), "refusal": .null]
  }

  /// An object from texts to log-probabilities. The token itself is always in it; of tokens with one text, the
  /// more probable one is.
  private func top(_ entry: Entry) -> JSONValue {
    guard let value = entry.token.logProbability else { return .null }
    var largest: [(text: String, value: Double)] = [(entry.text, value)]
    for (id, value) in entry.token.top {
      let other = id == entry.token.id ? entry.text : TokenTexts.text(of: id, tokenizer)
      if let place = largest.firstIndex(where: { ExactString($0.text) == ExactString(other) }) {
        largest[place].value = max(largest[place].value, value)
      } else {
        largest.append((other, value))
      }
    }
    return .object(JSONObject(largest.map { ($0.text, .number($0.value)) }))
  }

  private func chat(_ entry: Entry) -> JSONValue {
    [
      "token": .string(entry.text), "logprob": Self.number(entry.token.logProbability),
      "bytes": Self.list(entry.bytes),
      "top_logprobs": .array(
        entry.token.top.map { id, value in
          [
            "token": .string(TokenTexts.text(of: id, tokenizer)), "logprob": .number(value),
            "bytes": Self.list(tokenizer.bytes(of: id) ?? []),
          ]
        }),
    ]
  }

  private static func number(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }

  private static func list(_ bytes: [UInt8]) -> JSONValue {
    .array(bytes.map { .integer(Int64($0)) })
  }
}
