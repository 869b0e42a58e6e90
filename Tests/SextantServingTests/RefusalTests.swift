import SextantBytes
import Testing

@testable import SextantServing

/// Wrong requests get a status and an error body that tells the field.
@Suite struct RefusalTests {
  let served: Served

  init() throws { served = try Served() }

  /// A body, and the status, code and field of its refusal.
  struct Case: Sendable, CustomTestStringConvertible {
    let path: String
    let body: String
    let status: Int
    let code: String
    let parameter: String?

    init(_ path: String, _ body: String, _ status: Int, _ code: String, _ parameter: String? = nil)
    {
      (self.path, self.body, self.status) = (path, body, status)
      (self.code, self.parameter) = (code, parameter)
    }

    var testDescription: String { "\(path) \(body.prefix(80))" }
  }

  private static let completions = "/v1/completions"
  private static let chat = "/v1/chat/completions"

  static let cases = [
    Case(completions, "{", 400, "json.invalid"),
    Case(completions, "[]", 400, "json.not-object"),
    Case(completions, #"{"prompt": "a", "prompt": "b"}"#, 400, "json.duplicate-key"),
    Case(
      completions, #"{"prompt": "a", "x": \#(String(repeating: "[", count: 40))"#, 400, "json.depth"
    ),
    Case(completions, "{\"prompt\": \"\u{FF}\u{00}\"}", 400, "json.invalid"),
    Case(completions, #"{"prompt": 5}"#, 400, "usage.option", "prompt"),
    Case(completions, #"{"prompt": "a", "n": 1000000000}"#, 400, "usage.option", "n"),
    Case(completions, #"{"prompt": "a", "n": 1.5}"#, 400, "usage.option", "n"),
    Case(completions, #"{"prompt": "a", "max_tokens": -1}"#, 400, "usage.option", "max_tokens"),
    Case(completions, #"{"prompt": "a", "logprobs": 21}"#, 400, "usage.option", "logprobs"),
    Case(completions, #"{"prompt": "a", "temperature": NaN}"#, 400, "usage.option", "temperature"),
    Case(completions, #"{"prompt": "a", "temperature": "1"}"#, 400, "usage.option", "temperature"),
    Case(completions, #"{"prompt": [1, 99999999]}"#, 400, "model.token", "prompt[1]"),
    Case(completions, #"{"prompt": [[1, -1]]}"#, 400, "model.token", "prompt[0][1]"),
    Case(completions, #"{"prompt": [[1], "a"]}"#, 400, "usage.option", "prompt[1]"),
    Case(completions, #"{"prompt": "a", "best_of": 2}"#, 400, "usage.option", "best_of"),
    Case(completions, #"{"prompt": "a", "suffix": "b"}"#, 400, "usage.option", "suffix"),
    Case(completions, #"{"prompt": "a", "stop": [1]}"#, 400, "usage.option", "stop[0]"),
    Case(
      completions, #"{"prompt": "a", "logit_bias": {"x": 1}}"#, 400, "model.token", "logit_bias"),
    Case(completions, #"{"prompt": "a", "model": "gpt-4"}"#, 404, "model_not_found", "model"),
    Case(
      completions, #"{"prompt": "a", "model": "demo+nobody:2"}"#, 404, "artifact_not_found", "model"
    ),
    Case(completions, #"{"prompt": "a", "steering": "joy:two"}"#, 400, "usage.option", "steering"),
    Case(completions, #"{"prompt": "a", "steering": ""}"#, 400, "usage.option", "steering"),
    Case(
      completions, #"{"prompt": "a", "steering": ["joy", ":2"]}"#, 400, "usage.option",
      "steering[1]"),
    Case(completions, #"{"prompt": "a", "steering": true}"#, 400, "usage.option", "steering"),
    Case(
      completions, #"{"prompt": "a", "steering": "joy:1e30"}"#, 422, "model.nonfinite", "steering"),
    Case(
      completions, #"{"prompt": "a", "steering": ["joy:1", "../joy:2"]}"#, 400, "usage.option",
      "steering[1]"),
    Case(completions, #"{"prompt": "a", "steering": "truth"}"#, 422, "artifact.kind", "steering"),
    Case(
      completions, #"{"prompt": "a", "steering": "stranger:1"}"#, 422, "artifact.model-digest",
      "steering"),
    Case(
      completions, #"{"prompt": "a", "steering": {"vectors": [{"source": "joy", "strength": 2}]}}"#,
      400,
      "usage.option", "steering.vectors[0].strength"),
    Case(
      completions, #"{"prompt": "a", "steering": {"vectors": [{"source": "joy", "scale": "2"}]}}"#,
      400,
      "usage.option", "steering.vectors[0].scale"),
    Case(
      completions, #"{"prompt": "a", "steering": {"vectors": [{"source": "/etc/passwd"}]}}"#, 400,
      "usage.option", "steering.vectors[0].source"),
    Case(
      completions,
      #"{"prompt": "a", "steering": {"vectors": [{"source": "joy", "positions": "100"}]}, "max_tokens": 3}"#,
      422, "usage.nothing-steered", "steering"),
    Case(
      completions, #"{"prompt": "a", "sextant": {"lenses": true}}"#, 400, "usage.option",
      "sextant.lenses"),
    Case(
      completions, #"{"prompt": "a", "sextant": {"lens": "nobody"}}"#, 404, "artifact_not_found",
      "sextant.lens"),
    Case(chat, "{}", 400, "usage.option", "messages"),
    Case(chat, #"{"messages": []}"#, 400, "usage.option", "messages"),
    Case(
      chat, #"{"messages": [{"role": "tool", "content": "a"}]}"#, 400, "usage.option",
      "messages[0].role"),
    Case(
      chat,
      #"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}"#,
      400,
      "usage.option", "messages[0].content[0].type"),
    Case(
      chat, #"{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}"#, 400,
      "usage.option", "tools"),
    Case(
      chat, #"{"messages": [{"role": "user", "content": "a"}], "tool_choice": "required"}"#, 400,
      "usage.option", "tool_choice"),
    Case(
      chat,
      #"{"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}"#,
      400, "usage.option", "response_format"),
    Case(
      chat, #"{"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2}"#, 400,
      "usage.option",
      "top_logprobs"),
    Case(
      chat, #"{"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": {"x": 1}}"#,
      400,
      "usage.option", "chat_template_kwargs.x"),
    Case("/tokenize", "{}", 400, "usage.option", "prompt"),
    Case("/detokenize", #"{"tokens": [-5]}"#, 400, "model.token", "tokens[0]"),
    Case("/completion", #"{"prompt": ["a", "b"]}"#, 400, "usage.option", "prompt"),
    Case("/nowhere", "{}", 404, "not_found"),
    Case("/health", "{}", 405, "method_not_allowed"),
  ]

  @Test(arguments: cases)
  func aWrongRequestIsRefusedAtItsField(_ own: Case) async throws {
    let answer = await served.post(own.path, own.body)
    #expect(answer.status == own.status, "\(answer.text)")
    #expect(try answer.error.code == own.code, "\(answer.text)")
    #expect(try answer.error.parameter == own.parameter, "\(answer.text)")
    // No path of a file is told.
    #expect(!answer.text.contains(Served.artifacts) && !answer.text.contains("/tmp"))
    #expect(try answer.json.at("error", "message") != .null)
  }

  @Test func fieldsThatAskForNothingAreAccepted() async throws {
    let answer = await served.post(
      "/v1/chat/completions",
      """
      {"messages": [{"role": "developer", "content": "s", "name": "x"}, {"role": "user", "content": [{"type": "text", "text": "a"}]}],
      "max_completion_tokens": 1, "tools": [], "tool_choice": "auto", "response_format": {"type": "text"},
      "parallel_tool_calls": true, "store": false, "metadata": {"a": "b"}, "user": "u"}
      """)
    #expect(answer.status == 200, "\(answer.text)")
    #expect(try answer.json.at("sextant", "ignored") == .null)
  }
}
