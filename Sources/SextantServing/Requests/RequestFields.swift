import SextantBytes

/// The routes whose bodies have fields.
package enum RequestRoute: String, Sendable, CaseIterable {
  case completions = "/v1/completions"
  case chat = "/v1/chat/completions"
  case llama = "/completion"
  case tokenize = "/tokenize"
  case detokenize = "/detokenize"
}

/// One field of request bodies: `formats/serving.md` contains the same table, and every reading of a field
/// goes through it.
package struct RequestField: Sendable {
  /// The values that a field may have.
  package enum Kind: Sendable, Equatable {
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    case boolean
    /// A string of at most this number of bytes.
    case string(Int)
    /// A value that has a page section of its own.
    case value(String)
    /// Accepted for other servers' clients, without effect.
    case nothing
    /// Refused unless it asks for nothing.
    case refused(String)
  }

  /// The name.
  package let name: String
  /// The values.
  package let kind: Kind
  /// Where it is allowed, with the default there; null for no default.
  package let defaults: [RequestRoute: JSONValue]
  /// What it does.
  package let meaning: String

  private init(
    _ name: String, _ kind: Kind, _ defaults: [RequestRoute: JSONValue], _ meaning: String
  ) {
    (self.name, self.kind, self.defaults, self.meaning) = (name, kind, defaults, meaning)
  }

  private init(
    _ name: String, _ kind: Kind, _ routes: [RequestRoute], _ standard: JSONValue = .null,
    _ meaning: String
  ) {
    self.init(
      name, kind, Dictionary(uniqueKeysWithValues: routes.map { ($0, standard) }), meaning)
  }

  private static let texts: [RequestRoute] = [.completions, .chat, .llama]
  private static let openAI: [RequestRoute] = [.completions, .chat]

  /// All fields.
  package static let all: [RequestField] = [
    RequestField(
      "model", .string(4096), RequestRoute.allCases, .null,
      "the model's name, or `MODEL+ARTIFACT:STRENGTH`"),
    RequestField(
      "prompt", .value("a string, ids, or a list of these"), [.completions, .llama, .tokenize],
      .null, "what is continued; `/completion` and `/tokenize` take one prompt"),
    RequestField(
      "messages", .value("a list of messages"), [.chat], .null, "the conversation so far"),
    RequestField(
      "max_tokens", .integer(0...100_000), [.completions: 16, .chat: 512],
      "tokens to generate at most"),
    RequestField(
      "max_completion_tokens", .integer(0...100_000), [.chat], .null, "the same as `max_tokens`"),
    RequestField(
      "n_predict", .integer(-1...100_000), [.llama], -1,
      "tokens to generate at most; -1 for the largest number"),
    RequestField("n", .integer(1...16), openAI, 1, "texts for each prompt"),
    RequestField("best_of", .integer(1...16), [.completions], .null, "at most `n`"),
    RequestField("echo", .boolean, [.completions], false, "the answer begins with the prompt"),
    RequestField(
      "context_tokens", .value("an integer from 1 on, or one for each prompt"), [.completions],
      .null,
      "see Scored texts: the tokens of the prompt after which steering takes the others for generated ones"
    ),
    RequestField("stream", .boolean, texts, false, "the answer is a stream of events"),
    RequestField(
      "stream_options", .value("an object"), openAI, .null,
      "`include_usage`: a last chunk tells the number of tokens"),
    RequestField(
      "logprobs", .value("an integer from 0 to 20; true or false in chats"), openAI, .null,
      "log-probabilities of the tokens, and of the most probable ones"),
    RequestField(
      "top_logprobs", .integer(0...20), [.chat], 0, "most probable tokens at each place"),
    RequestField("n_probs", .integer(0...20), [.llama], 0, "most probable tokens at each place"),
    RequestField(
      "temperature", .number(0...100), [.completions: 1, .chat: 1, .llama: 0.8],
      "0 for the most probable token"),
    RequestField(
      "top_p", .number(0...1), [.completions: 1, .chat: 1, .llama: 0.95],
      "the share of the probability that is kept"),
    RequestField(
      "top_k", .integer(-1...1_000_000), [.completions: 0, .chat: 0, .llama: 40],
      "the number of tokens that are kept; 0 or -1 for all"),
    RequestField(
      "min_p", .number(0...1), [.completions: 0, .chat: 0, .llama: 0.05],
      "the share of the largest probability that a token needs"),
    RequestField(
      "presence_penalty", .number(-2...2), texts, 0, "subtracted for tokens that were generated"),
    RequestField(
      "frequency_penalty", .number(-2...2), texts, 0,
      "subtracted for each time that a token was generated"),
    RequestField(
      "repetition_penalty", .number(0.01...100), openAI, 1,
      "divides the logits of tokens in the text"),
    RequestField("repeat_penalty", .number(0.01...100), [.llama], 1, "as `repetition_penalty`"),
    RequestField(
      "logit_bias", .value("an object from ids to numbers from -100 to 100"), texts, .null,
      "added to the logits; `/completion` takes a list of pairs, too"),
    RequestField(
      "seed", .integer(Int.min...Int.max), texts, .null,
      "the same seed chooses the same tokens; `/completion` takes -1 for a random one"),
    RequestField(
      "stop", .value("a string, or at most 64 of at most 1024 bytes"), texts, .null,
      "texts that end the answer before them"),
    RequestField(
      "stop_token_ids", .value("at most 64 ids"), openAI, .null, "tokens that end the answer"),
    RequestField(
      "ignore_eos", .boolean, texts, false, "tokens that end a text do not end the answer"),
    RequestField(
      "min_tokens", .integer(0...100_000), openAI, 0, "tokens before which no token ends the answer"
    ),
    RequestField(
      "add_special_tokens", .boolean, [.completions: true, .tokenize: true],
      "whether the tokens that begin a text are put before it"),
    RequestField(
      "add_special", .boolean, [.tokenize], .null,
      "as `add_special_tokens`; the default of llama.cpp is false"),
    RequestField(
      "with_pieces", .boolean, [.tokenize], false, "tokens with their text"),
    RequestField(
      "content", .string(8 << 20), [.tokenize], .null, "the text, as llama.cpp names it"),
    RequestField(
      "tokens", .value("a list of ids"), [.detokenize], .null, "the ids"),
    RequestField(
      "chat_template_kwargs", .value("an object"), [.chat], .null,
      "`enable_thinking`, for templates with such a switch"),
    RequestField(
      "steering", .value("see Steering"), texts, .null, "what steers; `[]` for nothing"),
    RequestField(
      "sextant", .value("see Reports"), texts, .null, "what is reported of each token"),
    RequestField(
      "cache_prompt", .boolean, texts, true, "whether the prefix cache is used"),
    RequestField(
      "cache_salt", .string(256), texts, .null, "requests of another salt share no cache"),
    RequestField("user", .nothing, openAI, .null, ""),
    RequestField("metadata", .nothing, openAI, .null, ""),
    RequestField("store", .nothing, openAI, .null, ""),
    RequestField("tool_choice", .refused("`none` or `auto`"), [.chat], .null, ""),
    RequestField("parallel_tool_calls", .nothing, [.chat], .null, ""),
    RequestField("tools", .refused("an empty list"), [.chat], .null, ""),
    RequestField("functions", .refused("an empty list"), [.chat], .null, ""),
    RequestField(
      "response_format", .refused("`{\"type\": \"text\"}`"), [.chat, .completions], .null, ""),
    RequestField("suffix", .refused("an empty string"), [.completions], .null, ""),
  ]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  /// The field of that name, if the route has it.
  package static func named(_ name: String, _ route: RequestRoute) -> RequestField? {
    byName[name].flatMap { $0.defaults[route] == nil ? nil : $0 }
  }
}
