import SextantBytes
import SextantTokenizers
import Testing

@testable import SextantServing

/// The routes beside the completions.
@Suite struct RouteTests {
  let served: Served
  let tokenizer: any Tokenizer

  init() throws {
    served = try Served { $0.presets = ["joy:2", "joy:2+all:-1"] }
    tokenizer = try Served.model.textTokenizer()
  }

  @Test func modelsAreTheModelAndItsPresets() async throws {
    let list = try await served.get("/v1/models").json
    let names = try list.member("data").elements().map { try $0.member("id").string() }
    #expect(names == ["demo", "demo+joy:2", "demo+joy:2+all:-1"])
    for name in [
      "demo", "demo+joy:2", "demo+joy:0.5", "demo%2Bjoy:2", "demo+joy:10%25", "demo+joy:+1",
    ] {
      #expect(await served.get("/v1/models/\(name)").status == 200, "\(name)")
    }
    for name in ["gpt-4", "demo+nobody:2", "demo+joy:two", "demo+", "demo+../x:1"] {
      let answer = await served.get("/v1/models/\(name)")
      #expect(answer.status == 404, "\(name)")
      #expect(try answer.error.code == "model_not_found")
    }
  }

  @Test func theTokenizerAnswersAsHarnessesNeedIt() async throws {
    let info = try await served.get("/tokenizer_info").json
    #expect(try info.at("eos_token") == "<|endoftext|>")
    let ids = tokenizer.encode("test").map { JSONValue.integer(Int64($0)) }
    let own = try await served.post(
      "/tokenize", #"{"prompt": "test", "add_special_tokens": false}"#
    ).json
    #expect(try own.at("tokens") == .array(ids) && own.at("count") == .integer(Int64(ids.count)))
    let llama = try await served.post("/tokenize", #"{"content": "test"}"#).json
    #expect(try llama.at("tokens") == .array(ids))
    let end = try await served.post(
      "/tokenize", #"{"prompt": "<|endoftext|>", "add_special_tokens": false}"#
    ).json
    #expect(try end.member("tokens").elements().count == 1)
    let text = try await served.post("/detokenize", #"{"tokens": \#(tokenizer.encode("test"))}"#)
      .json
    #expect(try text.at("prompt") == "test" && text.at("content") == "test")
    // Bytes that are no whole text come as numbers.
    let pieces = try await served.post("/tokenize", #"{"content": "a😀", "with_pieces": true}"#).json
    let rows = try pieces.member("tokens").elements()
    #expect(try rows[0].at("piece") == "a")
    let bytes = try rows.dropFirst().flatMap { row -> [JSONValue] in
      switch try row.at("piece") {
      case .array(let bytes): bytes
      case .string(let text): text.utf8.map { .integer(Int64($0)) }
      default: []
      }
    }
    #expect(bytes == "😀".utf8.map { .integer(Int64($0)) })
  }

  @Test func llamaCompletionsHaveTheirOwnForm() async throws {
    let body =
      #""prompt": "The film was", "n_predict": 6, "temperature": 0, "seed": -1, "n_probs": 2"#
    let whole = try await served.post("/completion", "{\(body)}").json
    let run = try Served.model.generate("The film was", count: 6, temperature: 0).text()
    #expect(try whole.at("content") == .string(run))
    #expect(try whole.at("stop_type") == "limit" && whole.at("tokens_predicted") == 6)
    #expect(try whole.member("completion_probabilities").elements().count == 6)
    let stream = await served.post("/completion", "{\(body), \"stream\": true}")
    #expect(!stream.text.contains("[DONE]"))
    let chunks = try stream.chunks
    let text = try chunks.map { try $0.member("content").string() }.joined()
    #expect(text == run)
    #expect(
      try chunks.map { try $0.member("stop").boolean() } == Array(repeating: false, count: 6) + [
        true
      ])
    let word = String(run.dropFirst(3).prefix(4))
    let stopped = try await served.post(
      "/completion",
      #"{"prompt": "The film was", "temperature": 0, "stop": [\#(JSONValue.string(word).canonicalText)]}"#
    ).json
    #expect(try stopped.at("stop_type") == "word", "\(stopped.value.canonicalText)")
    #expect(try stopped.at("stopping_word") == .string(word), "\(stopped.value.canonicalText)")
  }

  @Test func healthPropertiesAndFigures() async throws {
    #expect(try await served.get("/health").json.at("status") == "ok")
    #expect(try await served.get("/v1/health").json.at("status") == "ok")
    #expect(try await served.get("/props").json.at("total_slots") == 8)
    _ = try await served.text(#"{"prompt": "The", "max_tokens": 3}"#)
    let text = await served.get("/metrics").text
    #expect(text.contains("\nsextant_generated_tokens_total 3\n"))
    #expect(text.contains("# TYPE sextant_cache_bytes gauge"))
  }

  @Test func headIsAnsweredAsGetIs() async throws {
    let head = { (path: String) in
      await served.send(ServingRequest("HEAD", path, headers: [("Host", "localhost:8080")]))
    }
    for path in ["/health", "/v1/models", "/props", "/sextant/v1/page", "/v1/models/demo"] {
      let (own, other) = await (head(path), served.get(path))
      #expect(own.status == 200 && own.bytes == other.bytes, "\(path)")
      #expect(own.header("Content-Type") == other.header("Content-Type"))
    }
    for path in ["/v1/completions", "/sextant/v1/runs"] { #expect(await head(path).status == 405) }
    #expect(await head("/nothing").status == 404)
  }

  @Test func artifactsTellWhetherTheyFit() async throws {
    let list = try await served.get("/sextant/v1/artifacts").json.member("data").elements()
    let fits = try Dictionary(
      uniqueKeysWithValues: list.map { (try $0.member("name").string(), try $0.at("fits")) })
    #expect(fits["joy"] == true && fits["truth"] == true && fits["stranger"] == false)
    let stranger = try #require(list.first { try $0.at("name") == "stranger" })
    #expect(try stranger.at("error", "code") == "artifact.model-digest")
  }

  @Test func conversationsAreWrittenAsTheTemplateSays() async throws {
    let messages = #"[{"role": "user", "content": "How was the film?"}]"#
    let body = #""messages": \#(messages), "temperature": 0, "max_tokens": 8"#
    let whole = try await served.post("/v1/chat/completions", "{\(body)}").json
    #expect(try whole.at("object") == "chat.completion")
    #expect(try whole.at("choices", "0", "message", "role") == "assistant")
    let own = try await served.text(
      #"{"prompt": "User: How was the film?\n\nAssistant:", "temperature": 0, "max_tokens": 8, "stop": "\n\nUser:"}"#
    )
    #expect(try whole.at("choices", "0", "message", "content") == .string(own))
    // The demo model has no template of its own, and the answer says so.
    guard case .array(let warnings) = try whole.at("sextant", "warnings") else {
      Issue.record("no warning")
      return
    }
    #expect(warnings.count == 1)
    let stream = await served.post(
      "/v1/chat/completions",
      "{\(body), \"stream\": true, \"logprobs\": true, \"top_logprobs\": 2, \"stream_options\": {\"include_usage\": true}}"
    )
    let chunks = try stream.chunks
    #expect(try chunks[0].at("choices", "0", "delta", "role") == "assistant")
    let text = try chunks.dropLast().map { try $0.at("choices", "0", "delta", "content") }.map {
      value in
      if case .string(let text) = value { text } else { "" }
    }.joined()
    #expect(text == own)
    let entry = try #require(
      chunks.first { try $0.at("choices", "0", "logprobs", "content", "0", "token") != .null })
    let row = try entry.member("choices").elements()[0].member("logprobs").member("content")
      .elements()[0]
    #expect(try row.member("top_logprobs").elements().count == 2)
    guard case .string(let token) = try row.at("token") else { return }
    #expect(try row.at("bytes") == .array(token.utf8.map { .integer(Int64($0)) }))
    #expect(try chunks.last?.at("usage", "completion_tokens") == 8)
    #expect(try chunks.dropLast().last?.at("choices", "0", "finish_reason") == "length")
  }
}
