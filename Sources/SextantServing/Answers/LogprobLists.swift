import SextantBytes
import SextantTokenizers

/// The log-probabilities of tokens in the two forms of OpenAI's API.
struct LogprobLists {
  private var texts: TokenTexts
  private let tokenizer: any Tokenizer
  private var tokens: [JSONValue] = []
  private var values: [JSONValue] = []
  private var tops: [JSONValue] = []
  private var offsets: [JSONValue] = []
  private var entries: [JSONValue] = []

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
    let own = isShown ? texts.append(token.id) : ("", [], texts.offset)
    let value = token.logProbability.map { JSONValue.number($0) } ?? .null
    tokens.append(.string(own.0))
    values.append(value)
    offsets.append(.integer(Int64(own.2)))
    tops.append(top(of: token, text: own.0))
    entries.append(
      [
        "token": .string(own.0), "logprob": value, "bytes": Self.bytes(own.1),
        "top_logprobs": .array(
          token.top.map { id, value in
            [
              "token": .string(TokenTexts.text(of: id, tokenizer)), "logprob": .number(value),
              "bytes": Self.bytes(tokenizer.bytes(of: id) ?? []),
            ]
          }),
      ])
  }

  /// An object from texts to log-probabilities. The token itself is always in it; of tokens with one text, the
  /// more probable one is.
  private func top(of token: ScoredToken, text: String) -> JSONValue {
    guard let value = token.logProbability else { return .null }
    var largest: [(text: String, value: Double)] = [(text, value)]
    for (id, value) in token.top {
      let other = id == token.id ? text : TokenTexts.text(of: id, tokenizer)
      if let place = largest.firstIndex(where: { ExactString($0.text) == ExactString(other) }) {
        largest[place].value = max(largest[place].value, value)
      } else {
        largest.append((other, value))
      }
    }
    return .object(JSONObject(largest.map { ($0.text, .number($0.value)) }))
  }

  private static func bytes(_ bytes: [UInt8]) -> JSONValue {
    .array(bytes.map { .integer(Int64($0)) })
  }

  /// The lists of a completion since the last call.
  mutating func takeCompletion() -> JSONValue {
    defer { (tokens, values, tops, offsets, entries) = ([], [], [], [], []) }
    return [
      "tokens": .array(tokens), "token_logprobs": .array(values), "top_logprobs": .array(tops),
      "text_offset": .array(offsets),
    ]
  }

  /// The list of a chat since the last call.
  mutating func takeChat() -> JSONValue {
    defer { (tokens, values, tops, offsets, entries) = ([], [], [], [], []) }
    return ["content": .array(entries), "refusal": .null]
  }
}
