import Glibc
import Sextant
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantServing

/// Runs of the page: branches, changes of steering, forks, states.
@Suite struct RunTests {
  private static let prompt = "I watched this film last night and"

  /// The events of a run.
  private struct Told {
    var events: [(name: String, data: JSONNode)]

    func named(_ name: String, _ branch: String? = nil) throws -> [JSONNode] {
      try events.filter { event in
        guard event.name == name else { return false }
        return try branch == nil || event.data.at("branch") == .string(branch ?? "")
      }.map(\.data)
    }

    var run: String { get throws { try named("run")[0].member("run").string() } }
    func ids(_ branch: String) throws -> [Int] {
      try named("token", branch).map { try $0.member("id").integer() }
    }
    func text(_ branch: String) throws -> String {
      try named("token", branch).map { try $0.member("text").string() }.joined()
        + named("done", branch).map { try $0.member("text").string() }.joined()
    }
  }

  private func told(_ text: String) throws -> Told {
    Told(
      events: try text.split(separator: "\n\n").filter { $0.hasPrefix("event: ") }.map { event in
        let lines = event.split(separator: "\n")
        try #require(lines.count == 2 && lines[1].hasPrefix("data: "), "\(event)")
        return (
          String(lines[0].dropFirst(7)),
          try JSONNode(parsing: Array(lines[1].utf8.dropFirst(6)), code: .dataRecord, file: nil)
        )
      })
  }

  private func run(_ served: Served, _ body: String) async throws -> Told {
    let answer = await served.post("/sextant/v1/runs", body)
    try #require(answer.status == 200, "\(answer.text)")
    #expect(answer.header("content-type")?.hasPrefix("text/event-stream") == true)
    return try told(answer.text)
  }

  /// Gets a path with a query.
  private func get(_ served: Served, _ path: String) async -> Served.Answer {
    let parts = path.split(separator: "?", maxSplits: 1).map(String.init)
    return await served.send(
      ServingRequest(
        "GET", parts[0], query: parts.count > 1 ? parts[1] : "",
        headers: [("Host", "localhost:8080")]))
  }

  private func plain(_ count: Int, _ branches: String) -> String {
    #"{"prompt": "\#(Self.prompt)", "max_tokens": \#(count), "temperature": 0.8, "seed": 7, "branches": \#(branches)}"#
  }

  @Test func branchesWriteWhatCompletionsOfTheSameSeedWrite() async throws {
    let served = try Served()
    let told = try await run(
      served, plain(20, #"[{"name": "A", "steering": []}, {"name": "B", "steering": ["joy:0.6"]}]"#)
    )
    for (branch, steering) in [("A", "[]"), ("B", #""joy:0.6""#)] {
      let text = try await served.text(
        #"{"prompt": "\#(Self.prompt)", "max_tokens": 20, "temperature": 0.8, "seed": 7, "steering": \#(steering)}"#
      )
      #expect(try told.text(branch) == text)
      #expect(try told.ids(branch).count == 20)
      #expect(try told.named("done", branch)[0].at("completion_tokens") == 20)
      #expect(try told.named("done", branch)[0].at("reason") == "length")
    }
    #expect(try told.ids("A") != told.ids("B"))
    // Positions count from the first token of the text.
    let prompt = try told.named("prompt", "A")[0].member("tokens").elements().count
    #expect(
      try told.named("token", "A").map { try $0.member("position").integer() }
        == Array(prompt..<prompt + 20))
    // Steering says where it acted, and how far it moved the first prediction.
    #expect(try told.named("token", "B")[0].at("steered") != .null)
    #expect(try told.named("token", "A")[0].at("steered") == .null)
    let nats = try told.named("state", "B").compactMap { try $0.optionalMember("nats")?.number() }
    #expect(nats.allSatisfy { $0 > 0 } && !nats.isEmpty)
    #expect(try told.named("state", "B")[0].at("distance_to", "A") != .null)
  }

  @Test func figuresOfTokensAreThoseOfTheModel() async throws {
    let served = try Served()
    let told = try await run(
      served,
      #"{"prompt": "\#(Self.prompt)", "max_tokens": 5, "temperature": 0, "report": {"lens": "logit", "probes": ["truth"]}}"#
    )
    let tokens = try told.named("token", "A")
    let model = Served.model
    var ids = try model.ids(of: Self.prompt)
    for token in tokens {
      // Everything again, with the runner that knows nothing of batches.
      var state = model.model.initialState()
      let logits = try model.model.run(TokenBatch(ids), from: &state, logits: .last, tap: nil)
        .values
      let largest = try #require(logits.max())
      let exps = logits.map { exp2(Double($0 - largest) * 1.4426950408889634) }
      let sum = exps.reduce(0, +)
      let id = try token.member("id").integer()
      #expect(id == logits.firstIndex(of: largest))
      let logProbability = Double(logits[id] - largest) - log(sum)
      #expect(abs(try token.member("logprob").number() - logProbability) < 1e-3)
      let entropy = -exps.reduce(0.0) { $1 > 0 ? $0 + $1 / sum * log($1 / sum) : $0 }
      #expect(abs(try token.member("entropy").number() - entropy) < 2e-3 * max(1, entropy))
      // The lens of the last block is the model's own prediction, of this token.
      let last = try #require(try token.member("lens").elements().last).elements()
      #expect(last[0].value == .integer(Int64(model.description.layerCount - 1)))
      #expect(try last[1].elements()[0].elements()[0].integer() == id)
      #expect(
        try token.member("probes").elements()[0].elements()[0].string()
          == "truth#blocks.2.output.lr")
      ids.append(id)
    }
    // Each id of a list has its text once.
    let words = try tokens.flatMap { try $0.optionalMember("words")?.elements() ?? [] }
      .map { try $0.elements()[0].integer() }
    #expect(Set(words).count == words.count)
  }

  @Test func aForkWithoutAChangeWritesTheSame() async throws {
    let served = try Served()
    let greedy =
      #"{"prompt": "\#(Self.prompt)", "max_tokens": 40, "temperature": 0, "branches": [{"name": "A", "steering": ["joy:0.3"]}]}"#
    let told = try await run(served, greedy)
    let ids = try told.ids("A")
    let first = try told.named("token", "A")[0].member("position").integer()
    // At a kept state, just before and after one, at the end of the prompt, and at the last token.
    for offset in [-1, 0, 14, 15, 16, 17, 30, 39] {
      let fork = try await run(
        served,
        #"{"from": {"run": "\#(try told.run)", "branch": "A", "position": \#(first + offset)}, "max_tokens": 12, "temperature": 0, "branches": [{"name": "A.1", "steering": ["joy:0.3"]}]}"#
      )
      let expected = Array(ids.dropFirst(offset + 1).prefix(12))
      #expect(Array(try fork.ids("A.1").prefix(expected.count)) == expected, "fork at \(offset)")
      #expect(try fork.named("prompt")[0].member("tokens").elements().isEmpty)
      #expect(try fork.named("token")[0].member("position").integer() == first + offset + 1)
    }
  }

  @Test func aForkTakesAnotherTokenATextOrOtherSteering() async throws {
    let served = try Served()
    let told = try await run(served, plain(20, #"[{"name": "A", "steering": []}]"#))
    let position = try told.named("token", "A")[4].member("position").integer()
    let from = #""from": {"run": "\#(try told.run)", "branch": "A", "position": \#(position)}"#
    let tokenizer = try Served.model.textTokenizer()
    let shown = try Served.model.ids(of: Self.prompt) + told.ids("A").prefix(5)
    let inserted = try tokenizer.encodeText(" terrible", continues: true)
    for (change, ids) in [(#""insert": " terrible""#, inserted), (#""token": 412"#, [412])] {
      let fork = try await run(
        served,
        #"{\#(from), \#(change), "max_tokens": 6, "temperature": 0, "branches": [{"name": "A.1", "steering": []}]}"#
      )
      #expect(
        try fork.named("prompt")[0].member("tokens").elements().map {
          try $0.elements()[0].integer()
        }
          == ids)
      let body = (shown + ids).map(String.init).joined(separator: ",")
      let text = try await served.text(
        #"{"prompt": [\#(body)], "max_tokens": 6, "temperature": 0}"#)
      #expect(try fork.text("A.1") == text)
    }
    let steered = try await run(
      served,
      #"{\#(from), "max_tokens": 6, "seed": 1, "branches": [{"name": "A.1", "steering": []}, {"name": "A.2", "steering": ["joy:2"]}]}"#
    )
    #expect(try steered.ids("A.1") != steered.ids("A.2"))
    // A fork can be forked.
    let again = try await run(
      served,
      #"{"from": {"run": "\#(try steered.run)", "branch": "A.2", "position": \#(position + 3)}, "max_tokens": 3, "branches": [{"name": "A.2.1"}]}"#
    )
    #expect(try again.ids("A.2.1").count == 3)
  }

  @Test func steeringChangesWhileTheTextIsWritten() async throws {
    let served = try Served { $0.bufferedPieces = 1 }
    let response = await served.service.respond(
      to: ServingRequest(
        "POST", "/sextant/v1/runs", headers: [("Host", "localhost:8080")],
        body: Array(plain(400, #"[{"name": "A", "steering": []}]"#).utf8)))
    guard case .pieces(let pieces) = response.body else {
      Issue.record("no stream")
      return
    }
    var bytes: [UInt8] = []
    for _ in 0..<3 { bytes += await pieces.next() ?? [] }
    let id = try told(String(decoding: bytes, as: UTF8.self)).run
    let patch = ServingRequest(
      "PATCH", "/sextant/v1/runs/\(id)",
      headers: [("Host", "localhost:8080"), ("Content-Type", "application/json")],
      body: Array(#"{"branch": "A", "steering": ["joy:1.5"]}"#.utf8))
    #expect(await served.send(patch).status == 200)
    while let piece = await pieces.next() { bytes += piece }
    let all = try told(String(decoding: bytes, as: UTF8.self))
    let steer = try #require(try all.named("steer", "A").first)
    let from = try steer.member("from").integer()
    #expect(try steer.at("steering", "0") == "joy:1.5")
    // The tokens from there on are steered, and no other.
    for token in try all.named("token", "A") {
      #expect(
        (try token.at("steered") != .null) == (try token.member("position").integer() >= from))
    }
    // The state at the end has read each token with the steering of its time.
    let count = try all.named("token", "A").count
    let last = try all.named("token", "A")[count - 1].member("position").integer()
    let branch = try served.service.runs.run(id).branch("A")
    let kept = try #require(branch.snapshot(after: last + 1))
    let (model, digest) = (Served.model.model, try Served.model.textTokenizer().digest)
    // Read again from the kept state before it.
    let before = try #require(
      (1...16).lazy.compactMap { branch.snapshot(after: last + 1 - $0) }.first)
    #expect(before.position < last + 1)
    #expect(try branch.state(after: last, model, tokenizer: digest).position == last)
    #expect(kept.position == last + 1)
    // After the end, a change is refused, and a fork is the way.
    #expect(try await served.send(patch).error.code == "branch_ended")
  }

  @Test func aStateThatIsReadAgainIsTheStateThatWasKept() async throws {
    let served = try Served()
    let told = try await run(
      served, plain(40, #"[{"name": "A", "steering": ["all:0.4", "inside:0.2"]}]"#))
    let branch = try served.service.runs.run(try told.run).branch("A")
    let (model, digest) = (Served.model.model, try Served.model.textTokenizer().digest)
    var checked = 0
    for count in branch.end + 1...branch.end + 40 {
      guard let kept = branch.snapshot(after: count) else { continue }
      // From the beginning of the text.
      var state = model.initialState()
      let tap = try Interventions(branch.steering.items).bind(
        to: BoundRun(
          model, tokenizer: digest, prompts: [branch.prompt], from: state, readingAfter: 40)
      ).tap
      _ = try model.run(
        TokenBatch(Array(branch.ids[..<count])), from: &state, logits: .none, tap: tap)
      #expect(state == kept, "after \(count) tokens")
      checked += 1
    }
    #expect(checked >= 3)
  }

  @Test func statesAreSavedComparedAndContinued() async throws {
    let folder = TemporaryFolder.shared.makeFolder("run-states")
    let served = try Served { $0.artifactsFolder = folder }
    let told = try await run(served, plain(20, #"[{"name": "A", "steering": []}]"#))
    let id = try told.run
    let first = try told.named("token", "A")[0].member("position").integer()
    let answer = await get(served, "/sextant/v1/runs/\(id)/state?branch=A&position=\(first + 8)")
    #expect(answer.status == 200)
    try FilePublisher.publish(
      answer.bytes, to: "\(folder)/middle.state.safetensors", replacing: true)
    let artifact = try Artifact(reading: "\(folder)/middle.state.safetensors")
    #expect(try SavedState(artifact).position == first + 9)
    // It fits, and continues as the branch did.
    let rows = try await served.post("/sextant/v1/artifacts", "{}").json.member("data").elements()
    #expect(try rows[0].at("name") == "middle" && rows[0].at("fits") == true)
    let ids = try told.ids("A")
    let greedy = try await run(
      served, #"{"prompt": [\#(ids[9])], "state": "middle", "max_tokens": 5, "temperature": 0}"#)
    let all = (try Served.model.ids(of: Self.prompt) + ids.prefix(10)).map(String.init)
      .joined(separator: ",")
    #expect(
      try greedy.text("A")
        == (try await served.text(#"{"prompt": [\#(all)], "max_tokens": 5, "temperature": 0}"#)))
    let same = try await get(served, "/sextant/v1/diff?a=\(id)/A/\(first)&b=\(id)/A/\(first)").json
    #expect(try same.member("distances").members().allSatisfy { try $0.node.number() == 0 })
    let other = try await get(served, "/sextant/v1/diff?a=\(id)/A/\(first)&b=\(id)/A/\(first + 5)")
      .json
    #expect(try other.member("distances").members().contains { try $0.node.number() > 0 })
  }

  @Test func aRunFromASavedStateCanBeForkedAndSaved() async throws {
    let folder = TemporaryFolder.shared.makeFolder("run-origins")
    let served = try Served { $0.artifactsFolder = folder }
    let told = try await run(served, plain(20, #"[{"name": "A", "steering": []}]"#))
    let state = await get(served, "/sextant/v1/runs/\(try told.run)/state?branch=A")
    try FilePublisher.publish(state.bytes, to: "\(folder)/end.state.safetensors", replacing: true)
    _ = await served.post("/sextant/v1/artifacts", "{}")
    let greedy = try await run(
      served,
      #"{"prompt": " The end", "state": "end", "max_tokens": 30, "temperature": 0, "ignore_eos": true, "branches": [{"name": "A"}]}"#
    )
    let id = try greedy.run
    let begin = try greedy.named("run")[0].member("start").integer()
    #expect(begin == (try Served.model.ids(of: Self.prompt).count + 20))
    let ids = try greedy.ids("A")
    let first = try greedy.named("token", "A")[0].member("position").integer()
    #expect(first > begin)
    for offset in [0, 14, 25] {
      let fork = try await run(
        served,
        #"{"from": {"run": "\#(id)", "branch": "A", "position": \#(first + offset)}, "max_tokens": 4, "temperature": 0, "branches": [{"name": "A.1"}]}"#
      )
      #expect(try fork.ids("A.1") == Array(ids[(offset + 1)...].prefix(4)))
    }
    let saved = await get(served, "/sextant/v1/runs/\(id)/state?branch=A&position=\(first + 3)")
    #expect(saved.status == 200)
    for position in [begin - 1, first + 30] {
      let path = "/sextant/v1/runs/\(id)/state?branch=A&position=\(position)"
      #expect(await get(served, path).status == 400)
      let fork = await served.post(
        "/sextant/v1/runs",
        #"{"from": {"run": "\#(id)", "branch": "A", "position": \#(position)}}"#)
      #expect(fork.status == 400)
    }
  }

  @Test func eachTokenTellsHowFarItsPredictionIsFromThatOfTheFirstBranch() async throws {
    let served = try Served()
    let told = try await run(
      served,
      #"{"prompt": "\#(Self.prompt)", "max_tokens": 6, "temperature": 0, "branches": [{"name": "A", "steering": []}, {"name": "B", "steering": ["joy:0.6"]}, {"name": "C", "steering": []}]}"#
    )
    let nats = { (branch: String) in
      try told.named("token", branch).map { token in
        try token.optionalMember("divergence_from")?.member("A").number()
      }
    }
    #expect(try nats("A").allSatisfy { $0 == nil })
    // The same steering, the same predictions.
    #expect(try nats("C") == Array(repeating: 0, count: 6))
    let model = Served.model
    let vector = try SteeringVector(reading: "\(Served.artifacts)/joy.steer.safetensors")
    let prompt = try model.ids(of: Self.prompt)
    for (number, own) in try nats("B").enumerated() {
      // Everything again, with the runner that knows nothing of batches.
      var rows: [LogProbabilities] = []
      for (branch, items) in [("A", [Intervention]()), ("B", [.steer(vector, strength: 0.6)])] {
        let ids = prompt + (try told.ids(branch).prefix(number))
        var state = model.model.initialState()
        let tap = try Interventions(items).bind(
          to: BoundRun(
            model.model, tokenizer: model.tokenizer?.digest, prompts: [prompt], from: state,
            readingAfter: 6)
        ).tap
        rows.append(
          LogProbabilities(
            try model.model.run(TokenBatch(ids), from: &state, logits: .last, tap: tap).values))
      }
      let right = rows[1].divergence(of: rows[0])
      #expect(abs(try #require(own) - right) < 5e-3 * max(right, 0.01), "token \(number)")
    }
    #expect(try told.named("state", "B").allSatisfy { try $0.at("nats") != .null })
    #expect(try told.named("state", "C").allSatisfy { try $0.at("nats") == .null })
  }

  @Test func aRunThatWaitsIsToldItsPlaceAndHowFarItsPromptIs() async throws {
    let served = try Served { $0.parallel = 1 }
    let held = try await served.hold()
    let ids = (0..<700).map { ($0 * 37 + 11) % 900 + 20 }
    let response = await served.service.respond(
      to: ServingRequest(
        "POST", "/sextant/v1/runs", headers: [("Host", "localhost:8080")],
        body: Array(
          #"{"prompt": \#(ids), "max_tokens": 2, "report": {"lens": "logit", "probes": ["truth"]}}"#
            .utf8)))
    guard case .pieces(let pieces) = response.body else {
      Issue.record("no stream")
      return
    }
    var text = ""
    while !text.contains("event: queue"), let piece = await pieces.next() {
      text += String(decoding: piece, as: UTF8.self)
    }
    for stream in held { stream.cancel() }
    while let piece = await pieces.next() { text += String(decoding: piece, as: UTF8.self) }
    let all = try told(text)
    #expect(try all.named("queue")[0].at("place") == 1)
    // A long prompt with reports is read in pieces, too.
    let prompts = try all.named("prompt", "A")
    let read = try prompts.map { try $0.member("read").integer() }
    #expect(read == [512, 700])
    #expect(try prompts.dropLast().allSatisfy { try $0.at("tokens") == [] })
    #expect(try prompts[1].member("tokens").elements().count == 700)
    #expect(try all.ids("A").count == 2)
  }

  @Test func anArtifactIsInspectedAndAHalfLifeMeasured() async throws {
    let served = try Served()
    let id = try await run(served, plain(30, #"[{"name": "A", "steering": []}]"#)).run
    let content = try await get(served, "/sextant/v1/artifacts/joy").json
    #expect(try content.at("kind") == "steering" && content.at("file") == "joy.steer.safetensors")
    #expect(try !content.member("tensors").elements().isEmpty)
    #expect(await get(served, "/sextant/v1/artifacts/nobody").status == 404)
    #expect(await get(served, "/sextant/v1/artifacts/..%2Fdemo").status == 404)
    #expect(await get(served, "/sextant/v1/artifacts/.demo").status == 400)
    let path = "/sextant/v1/half-life?run=\(id)&branch=A&artifact="
    let found = try await get(served, path + "inside").json
    let rows = try found.member("rows").elements()
    #expect(rows.count == Served.model.description.stateLayout.joined().count)
    #expect(try rows.allSatisfy { try $0.at("component") != .null && $0.at("layer") != .null })
    for (name, status) in [("joy", 422), ("truth", 422), ("nobody", 404), ("", 400)] {
      #expect(await get(served, path + name).status == status, "\(name)")
    }
    let short = try await run(served, #"{"prompt": "The", "max_tokens": 2}"#).run
    #expect(
      await get(served, "/sextant/v1/half-life?run=\(short)&branch=A&artifact=inside").status == 400
    )
    #expect(await served.post("/sextant/v1/half-life", "{}").status == 405)
    // The page shows how much is kept.
    _ = try await served.text(#"{"prompt": "The film", "max_tokens": 1}"#)
    let page = try await get(served, "/sextant/v1/page").json
    guard case .integer(let bytes) = try page.at("cache", "run_bytes") else {
      Issue.record("no bytes")
      return
    }
    #expect(bytes > 0)
  }

  @Test func aRunIsToldAgainAndRemoved() async throws {
    let served = try Served()
    let told = try await run(served, plain(5, #"[{"name": "A", "steering": []}]"#))
    let id = try told.run
    let again = try await get(served, "/sextant/v1/runs/\(id)").json
    let events = try again.member("events").elements()
    #expect(events.count == told.events.count)
    #expect(try again.at("live") == false)
    let removed = await served.send(
      ServingRequest("DELETE", "/sextant/v1/runs/\(id)", headers: [("Host", "localhost:8080")]))
    #expect(removed.status == 200)
    #expect(try await get(served, "/sextant/v1/runs/\(id)").error.code == "run_not_found")
  }

  @Test func oldRunsMakeRoom() async throws {
    let served = try Served()
    var ids: [String] = []
    for _ in 0..<RunShelf.limit + 2 {
      ids.append(try await run(served, #"{"prompt": "a", "max_tokens": 1}"#).run)
    }
    #expect(Set(ids).count == ids.count)
    #expect(await get(served, "/sextant/v1/runs/\(ids[1])").status == 404)
    #expect(await get(served, "/sextant/v1/runs/\(ids[2])").status == 200)
  }

  @Test func aReaderThatLeavesFreesItsRows() async throws {
    let served = try Served { $0.bufferedPieces = 2 }
    let response = await served.service.respond(
      to: ServingRequest(
        "POST", "/sextant/v1/runs", headers: [("Host", "localhost:8080")],
        body: Array(plain(4000, #"[{"name": "A"}, {"name": "B"}]"#).utf8)))
    guard case .pieces(let pieces) = response.body else {
      Issue.record("no stream")
      return
    }
    let opening = try told(String(decoding: await pieces.next() ?? [], as: UTF8.self))
    _ = await pieces.next()
    pieces.cancel()
    try await served.wait("all texts end") { $0.running == 0 }
    // What was written can be forked.
    let branch = try served.service.runs.run(try opening.run).branch("A")
    #expect(!branch.isLive)
    let fork = try await run(
      served,
      #"{"from": {"run": "\#(try opening.run)", "branch": "A", "position": \#(branch.ids.count - 1)}, "max_tokens": 2, "branches": [{"name": "A.1"}]}"#
    )
    #expect(try fork.ids("A.1").count == 2)
  }

  @Test(
    arguments: [
      (#"{}"#, 400, "usage.option", "prompt"),
      (
        #"{"prompt": "a", "from": {"run": "r1", "branch": "A", "position": 1}}"#, 400,
        "usage.option", "prompt"
      ),
      (#"{"prompt": "a", "insert": "b"}"#, 400, "usage.option", "insert"),
      (#"{"prompt": "a", "max_tokens": 100000}"#, 400, "usage.option", "max_tokens"),
      (#"{"prompt": "a", "temperature": -1}"#, 400, "usage.option", "temperature"),
      (#"{"prompt": "a", "colour": 1}"#, 400, "usage.option", nil),
      (#"{"prompt": "a", "branches": []}"#, 400, "usage.option", "branches"),
      (
        #"{"prompt": "a", "branches": [{"name": "A"}, {"name": "A"}]}"#, 400, "usage.option",
        "branches[1].name"
      ),
      (
        #"{"prompt": "a", "branches": [{"name": "../x"}]}"#, 400, "usage.option", "branches[0].name"
      ),
      (
        #"{"prompt": "a", "branches": [{"name": "A", "steering": ["nothing:2"]}]}"#, 404,
        "artifact_not_found", nil
      ),
      (
        #"{"prompt": "a", "branches": [{"name": "A", "steering": ["stranger:2"]}]}"#, 422,
        "artifact.model-digest", nil
      ),
      (#"{"prompt": "a", "state": "../../etc/passwd"}"#, 400, "usage.option", "state"),
      (#"{"from": {"run": "r999", "branch": "A", "position": 1}}"#, 404, "run_not_found", "run"),
      (#"{"prompt": [999999]}"#, 400, "model.token", "prompt[0]"),
      (#"[1]"#, 400, nil, nil),
      ("not JSON", 400, nil, nil),
    ] as [(String, Int, String?, String?)])
  func wrongRunsAreRefused(body: String, status: Int, code: String?, parameter: String?)
    async throws
  {
    let served = try Served()
    let answer = await served.post("/sextant/v1/runs", body)
    #expect(answer.status == status, "\(answer.text)")
    let error = try answer.error
    if let code { #expect(error.code == code) }
    if let parameter { #expect(error.parameter == parameter) }
  }

  @Test func wrongPlacesAreRefused() async throws {
    let served = try Served()
    let id = try await run(served, #"{"prompt": "The film", "max_tokens": 3}"#).run
    for path in [
      "/sextant/v1/runs/\(id)/state?branch=Z", "/sextant/v1/runs/\(id)/state?branch=A&position=x",
      "/sextant/v1/runs/\(id)/state?branch=A&position=-1",
      "/sextant/v1/runs/\(id)/state?position=99",
      "/sextant/v1/diff", "/sextant/v1/diff?a=\(id)/A/1",
      "/sextant/v1/diff?a=\(id)/A/1&b=\(id)/A/99",
      "/sextant/v1/runs/%2e%2e",
    ] {
      let answer = await get(served, path)
      #expect([400, 404].contains(answer.status), "\(path): \(answer.text)")
    }
    for position in ["-1", "5000", "1e300"] {
      let answer = await served.post(
        "/sextant/v1/runs", #"{"from": {"run": "\#(id)", "branch": "A", "position": \#(position)}}"#
      )
      #expect(answer.status == 400)
    }
    #expect(await get(served, "/sextant/v1/runs").status == 405)
    #expect(await served.post("/sextant/v1/page", "{}").status == 405)
  }

  @Test func thePageLearnsWhatIsServed() async throws {
    let served = try Served { $0.steering = ["joy:1"] }
    let page = try await get(served, "/sextant/v1/page").json
    #expect(try page.at("model", "name") == "demo")
    #expect(try page.at("default", "0") == "joy:1")
    let rows = try await get(served, "/sextant/v1/artifacts").json.member("data").elements()
    let joy = try #require(try rows.first { try $0.at("name") == "joy" })
    #expect(try joy.at("fits") == true && joy.at("operation") == "add")
  }

  @Test func theSpecificationListsTheFieldsAndTheEvents() async throws {
    let page = try PackageFiles.text("formats/runs.md")
    let parts = page.split(separator: "## ").map(String.init)
    let names = { (heading: String) -> Set<String> in
      let part = parts.first { $0.hasPrefix(heading) } ?? ""
      return Set(
        part.split(separator: "\n").filter { $0.hasPrefix("| `") }.map {
          String($0.dropFirst(3).prefix { $0 != "`" })
        })
    }
    #expect(names("Fields of a run") == RunRequest.members)
    let served = try Served()
    let told = try await run(served, plain(3, #"[{"name": "A"}]"#))
    #expect(Set(told.events.map(\.name)).isSubset(of: names("Events")))
  }
}
