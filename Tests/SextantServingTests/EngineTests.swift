import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantServing

/// The order in which requests ended.
private actor Order {
  private(set) var names: [String] = []

  func add(_ name: String) { names.append(name) }
}

/// The engine: many texts at once, and readers that leave, wait or come too late.
@Suite struct EngineTests {
  /// Eight different requests: greedy and sampled, steered and plain, scored and with several samples.
  private static let bodies = [
    #"{"prompt": "The film opens on a quiet street", "temperature": 0, "max_tokens": 9, "logprobs": 3}"#,
    #"{"prompt": "The", "temperature": 0.9, "seed": 3, "max_tokens": 14}"#,
    #"{"prompt": "I thought this movie was", "temperature": 0.8, "seed": 4, "steering": "joy:0.5", "max_tokens": 11}"#,
    #"{"prompt": ["A dog", "Nobody knows what she said that day"], "echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0}"#,
    #"{"prompt": "\#(String(repeating: "and then he went to the old town, ", count: 14))", "temperature": 0, "max_tokens": 5, "logprobs": 1}"#,
    #"{"prompt": "Nobody", "n": 3, "seed": 11, "temperature": 1, "max_tokens": 7}"#,
    #"{"prompt": "The end of it all", "steering": {"vectors": [{"source": "inside", "scale": 0.2}]}, "temperature": 0, "max_tokens": 8}"#,
    #"{"prompt": "She said that", "temperature": 0, "max_tokens": 6, "sextant": {"probes": ["truth"], "lens": "logit", "edits": true}, "steering": "all:0.3"}"#,
  ]

  /// The choices and reports of an answer, without what differs from one answer to the next.
  private func outcome(_ answer: Served.Answer) throws -> String {
    try #require(answer.status == 200, "\(answer.text)")
    let report = try answer.json.at("sextant", "choices").canonicalText
    return try answer.json.at("choices").canonicalText + report
  }

  @Test func eightRequestsAtOnceGiveWhatEachGivesAlone() async throws {
    // Without the cache, so that all is computed.
    let alone = try Served { $0.cacheBytes = 0 }
    var expected: [String] = []
    for body in Self.bodies {
      expected.append(try outcome(await alone.post("/v1/completions", body)))
    }
    #expect(Set(expected).count == 8)
    for (parallel, order) in [(8, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [7, 3, 5, 1, 6, 0, 2, 4])] {
      let served = try Served {
        $0.cacheBytes = 0
        $0.parallel = parallel
      }
      let answers = try await withThrowingTaskGroup(of: (Int, String).self) { group in
        for place in order {
          group.addTask {
            (place, try outcome(await served.post("/v1/completions", Self.bodies[place])))
          }
        }
        return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
      }
      for place in order { #expect(answers[place] == expected[place], "request \(place)") }
    }
  }

  /// A request that runs until it is cancelled, even if the test gets no processor for minutes.
  private static let endless =
    #"{"prompt": ["A", "B", "C", "D", "E", "F"], "max_tokens": 100000, "n": 16, "ignore_eos": true}"#

  /// Waits until a text has started.
  private func start(_ served: Served) async throws {
    try await served.wait("a text starts") { $0.starts > 0 }
  }

  /// Waits until the engine has nothing to do.
  private func rest(_ served: Served) async throws {
    try await served.wait("all texts end") { $0.starts > 0 && $0.running == 0 }
  }

  @Test func aReaderMayLeaveAtAnyPlace() async throws {
    let served = try Served()
    let other = #"{"prompt": "The", "temperature": 0.9, "seed": 3, "max_tokens": 40}"#
    let expected = try await served.text(other)
    for pieces in [0, 1, 2, 5] {
      async let beside = served.text(other)
      let response = await served.service.respond(
        to: ServingRequest(
          "POST", "/v1/completions", headers: [(name: "Host", value: "localhost:8080")],
          body: Array(
            #"{"prompt": "The film", "max_tokens": 5000, "stream": true, "ignore_eos": true}"#.utf8)
        ))
      guard case .pieces(let stream) = response.body else {
        Issue.record("no stream")
        return
      }
      for _ in 0..<pieces { #expect(await stream.next() != nil) }
      stream.cancel()
      stream.cancel()
      #expect(await stream.next() == nil)
      #expect(try await beside == expected)
    }
    try await rest(served)
    #expect(served.service.engine.metrics.current.cancelled == 4)
    // Far fewer tokens were made than were asked for.
    #expect(served.service.engine.metrics.current.generatedTokens < 4 * 5000)
  }

  @Test func aRequestWhoseTaskIsCancelledEnds() async throws {
    let served = try Served { $0.parallel = 1 }
    // One runs, one waits.
    let tasks = (0..<2).map { _ in Task { await served.post("/v1/completions", Self.endless) } }
    try await start(served)
    for task in tasks.reversed() { task.cancel() }
    for task in tasks { #expect(await task.value.status == 499) }
    try await rest(served)
    #expect(try await served.text(#"{"prompt": "The", "max_tokens": 2}"#).isEmpty == false)
  }

  @Test func aSlowReaderRestsAndOthersGoOn() async throws {
    let served = try Served {
      $0.bufferedPieces = 4
      $0.parallel = 1
    }
    let body =
      #"{"prompt": "The film", "max_tokens": 60, "temperature": 0, "stream": true, "ignore_eos": true}"#
    let response = await served.service.respond(
      to: ServingRequest(
        "POST", "/v1/completions", headers: [(name: "Host", value: "localhost:8080")],
        body: Array(body.utf8)))
    guard case .pieces(let stream) = response.body else {
      Issue.record("no stream")
      return
    }
    // Nobody reads; the only row is given to others.
    let other = try await served.text(#"{"prompt": "The", "temperature": 0, "max_tokens": 30}"#)
    #expect(!other.isEmpty)
    #expect(served.service.engine.metrics.current.generatedTokens < 30 + 60)
    // When it reads again, it gets all of its text.
    var bytes: [UInt8] = []
    while let piece = await stream.next() { bytes += piece }
    let text = try Served.Answer(status: 200, headers: [], bytes: bytes).chunks.map {
      try $0.member("choices").elements()[0].member("text").string()
    }.joined()
    #expect(
      text
        == (try await served.text(
          #"{"prompt": "The film", "max_tokens": 60, "temperature": 0, "ignore_eos": true}"#)))
  }

  @Test func aReaderThatNeverReadsIsDropped() async throws {
    let served = try Served {
      $0.bufferedPieces = 4
      $0.secondsOfRest = 0.2
    }
    let response = await served.service.respond(
      to: ServingRequest(
        "POST", "/v1/completions", headers: [(name: "Host", value: "localhost:8080")],
        body: Array(
          #"{"prompt": "The", "max_tokens": 5000, "stream": true, "ignore_eos": true}"#.utf8)))
    guard case .pieces(let stream) = response.body else { return }
    try await rest(served)
    var text = ""
    while let piece = await stream.next() { text += String(decoding: piece, as: UTF8.self) }
    #expect(text.contains("slow_reader") && !text.contains("[DONE]"))
  }

  @Test func aFloodOfRequestsDoesNotKeepThePageWaiting() async throws {
    let served = try Served { $0.parallel = 1 }
    let ended = Order()
    @Sendable func send(
      _ name: String, _ count: Int, _ headers: [(name: String, value: String)] = []
    ) async {
      let body = #"{"prompt": "The", "max_tokens": \#(count), "ignore_eos": true}"#
      let answer = await served.send(
        ServingRequest(
          "POST", "/v1/completions",
          headers: [
            (name: "Host", value: "localhost:8080"),
            (name: "Content-Type", value: "application/json"),
          ] + headers, body: Array(body.utf8)))
      if answer.status == 200 { await ended.add(name) }
    }
    let held = try await served.hold()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<5 { group.addTask { await send("other", 4) } }
      try await served.wait("five requests wait") { $0.waiting == 5 }
      group.addTask { await send("page", 4, [(name: "Sec-Fetch-Site", value: "same-origin")]) }
      try await served.wait("the page waits, too") { $0.waiting == 6 }
      for stream in held { stream.cancel() }
      try await group.waitForAll()
    }
    let order = await ended.names
    #expect(order.count == 6)
    // It came last, and was the next one or the one after that.
    #expect(try #require(order.firstIndex(of: "page")) <= 1, "\(order)")
  }

  @Test func tooManyRequestsAreToldToComeBack() async throws {
    let served = try Served {
      $0.parallel = 1
      $0.queueLimit = 2
    }
    let body = #"{"prompt": "The film", "max_tokens": 1}"#
    let held = try await served.hold()
    let tasks = (0..<2).map { _ in Task { await served.post("/v1/completions", body) } }
    try await served.wait("two requests wait") { $0.waiting == 2 }
    let answer = await served.post("/v1/completions", body)
    #expect(answer.status == 429 && answer.header("Retry-After") == "2")
    #expect(try answer.error.code == "queue_full")
    // Health and the tokenizer answer all the same.
    #expect(await served.get("/health").status == 200)
    #expect(await served.post("/tokenize", #"{"prompt": "a"}"#).status == 200)
    for stream in held { stream.cancel() }
    for task in tasks { #expect(await task.value.status == 200) }
  }

  @Test func aRequestHasATimeLimit() async throws {
    let served = try Served { $0.secondsPerRequest = 0.2 }
    let answer = await served.post(
      "/v1/completions", #"{"prompt": "The film", "max_tokens": 100000, "ignore_eos": true}"#)
    #expect(answer.status == 503 && answer.header("x-should-retry") == "false")
    #expect(try answer.error.code == "deadline")
  }

  @Test func silenceIsFilled() async throws {
    let served = try Served {
      $0.secondsOfSilence = 0.05
      $0.parallel = 1
    }
    let held = try await served.hold()
    // This one waits for those that are held.
    let response = await served.service.respond(
      to: ServingRequest(
        "POST", "/v1/completions", headers: [(name: "Host", value: "localhost:8080")],
        body: Array(#"{"prompt": "The film", "max_tokens": 5, "stream": true}"#.utf8)))
    guard case .pieces(let stream) = response.body else {
      Issue.record("no stream")
      return
    }
    // Several at once if other tests keep the processors busy.
    #expect(String(decoding: await stream.next() ?? [], as: UTF8.self).hasPrefix(": ping\n\n"))
    stream.cancel()
    for stream in held { stream.cancel() }
    try await rest(served)
  }

  @Test func stoppingEndsEverything() async throws {
    let served = try Served()
    let short = Task {
      await served.post("/v1/completions", #"{"prompt": "The", "max_tokens": 30}"#)
    }
    try await start(served)
    await served.service.stop(within: 20)
    #expect(await short.value.status == 200)
    #expect(served.service.engine.isEnded)
    let late = await served.post("/v1/completions", #"{"prompt": "The"}"#)
    #expect(late.status == 503)
    #expect(try late.error.code == "shutting_down")
    let other = try Served()
    let long = Task {
      await other.post("/v1/completions", Self.endless)
    }
    try await start(other)
    await other.service.stop(within: 0.1)
    #expect(await long.value.status == 503)
    #expect(other.service.engine.isEnded)
  }
}
