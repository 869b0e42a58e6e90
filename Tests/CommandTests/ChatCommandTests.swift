import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// `sextant chat`, and texts as messages in other commands.
@Suite struct ChatCommandTests {
  private let work = Workspace()
  private var model: String { Workspace.model }

  private func path(_ name: String) -> String { work.folder.path(name) }

  /// A session with these lines on standard input.
  @discardableResult
  private func chat(
    _ lines: String..., options: [String] = [], status: Int32 = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) -> CommandRun {
    let run = CommandRun.sextant(
      ["chat", "-m", model, "--chat-template", "plain", "-n", "8", "--temp", "0"] + options,
      input: lines.map { $0 + "\n" }.joined())
    #expect(run.end == .exited(status), "\(run.errors)", sourceLocation: sourceLocation)
    return run
  }

  @Test func aSessionAnswersEachLineAndSavesTheConversation() throws {
    let (messages, state) = (path("talk.json"), path("talk.state.safetensors"))
    let run = chat(
      "I saw it", "", "Why?", "/undo", "And now?", "/save \(messages)", "/save \(state)")
    let saved = try JSONNode(parsing: bytes(of: messages), code: .jsonInvalid, file: nil)
    let texts = try saved.member("messages").elements().map { try $0.text("content") }
    #expect(texts.count == 4 && texts[0] == "I saw it" && texts[2] == "And now?")
    // The answers are those of the library's own order, the one that was taken back among them.
    #expect(run.output.contains(texts[1]) && run.output.hasSuffix(texts[3] + "\n"))
    let same = chat("I saw it", "And now?")
    #expect(same.output == "\(texts[1])\n\(texts[3])\n")
    #expect(try SavedState(Artifact(reading: state)).position > 8)
    let again = chat("x", "/save \(messages)", status: 73)
    #expect(again.errors.contains("another name") && !again.errors.contains("--force"))
  }

  @Test func steeringStartsInASession() {
    let plain = chat("I saw it", "Why?")
    let steered = chat("I saw it", "/steer \(Workspace.vector):4", "Why?", "/clear", "So?")
    let (first, second) = (
      plain.output.split(separator: "\n"), steered.output.split(separator: "\n")
    )
    #expect(first.first == second.first)
    #expect(steered.errors.contains("strength 4"))
    #expect(steered.errors.split(separator: "\n").count == 1)
  }

  /// Options that choose where artifacts act stay for those that are added later.
  @Test func artifactsAreTakenAwayAlsoIfOptionsChooseWhereTheyAct() {
    let options = ["--layers", "3", "--positions", "all", "--apply", "\(Workspace.vector):4"]
    let plain = chat("I saw it")
    let run = chat("/clear", "I saw it", "/steer  \(Workspace.vector):4", "Why?", options: options)
    #expect(run.output.split(separator: "\n").first == plain.output.split(separator: "\n").first)
    #expect(run.errors.contains("strength 4"))
    #expect(chat("/steer :2", status: 64).errors.contains("FILE:STRENGTH"))
  }

  @Test func whatIsNoCommandIsRefused() {
    for line in [
      "/what", "/undo", "/quit now", "/steer", "/save \(path("x.safetensors"))",
      "/steer \(Workspace.vector):40=2",
    ] {
      let run = chat(line, status: 64)
      #expect(run.errors.contains("[usage.option]") && !run.errors.contains("--help"))
    }
    chat("/help", "/quit", "/what")
    chat("/steer \(path("missing"))", status: 66)
    let run = CommandRun.sextant(["chat", "-m", model], input: "Hello\n")
    #expect(run.end == .exited(65) && run.errors.contains("[chat.template]"))
    #expect(run.errors.contains("--chat-template: chatml"))
  }

  @Test func aPromptIsAMessage() throws {
    let options = ["-m", model, "-n", "8", "--temp", "0", "--json"]
    func tokens(_ arguments: [String]) throws -> [Int] {
      let run = CommandRun.sextant(["generate"] + options + arguments)
      #expect(run.end == .exited(0), "\(run.errors)")
      return try run.json().member("prompt_tokens").integers()
    }
    let chat = ["--chat", "--chat-template", "plain"]
    #expect(
      try tokens(["-p", "Hi"] + chat) == tokens(["-p", "User: Hi\n\nAssistant:"]))
    #expect(
      try tokens(["-p", "Hi", "--system", "Be kind."] + chat)
        == tokens(["-p", "Be kind.\n\nUser: Hi\n\nAssistant:"]))
    let file = work.folder.write(
      Array(
        #"{"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}]}"#
          .utf8), to: "talks.jsonl")
    let plain = CommandRun.sextant(["generate"] + options + ["--prompts", file])
    #expect(plain.end == .exited(65) && plain.errors.contains("with --chat."))
    let run = CommandRun.sextant(["generate"] + options + ["--prompts", file] + chat)
    let expected = try tokens(["-p", "User: A\n\nAssistant: B\n\nUser: C\n\nAssistant:"])
    let texts = try run.json().member("texts").elements()
    #expect(try texts.map { try $0.member("prompt_tokens").integers() } == [expected])
    sextant(
      "capture", "-m", model, "-p", "Hi", "--chat", "--chat-template", "plain", "--sites", "logits",
      "-o", path("c.safetensors"))
  }

  @Test func aVectorIsLearnedFromMessages() throws {
    func train(_ options: [String], to name: String) -> CommandRun {
      CommandRun.sextant(
        ["steer", "train", "-m", model, "--pairs", Workspace.pairs, "-o", path(name)] + options)
    }
    let chat = ["--chat", "--chat-template", "plain"]
    #expect(train(chat, to: "a").end == .exited(0))
    #expect(train(chat, to: "b").end == .exited(0))
    #expect(train([], to: "c").end == .exited(0))
    #expect(try bytes(of: path("a")) == bytes(of: path("b")))
    #expect(try bytes(of: path("a")) != bytes(of: path("c")))
    let vector = try Artifact(reading: path("a"))
    guard case .object(let data)? = vector.manifest.details["data"] else {
      Issue.record("no data")
      return
    }
    #expect(
      data["chat"]
        == ["template": "plain", "system": nil, "thinking": nil, "date": nil] as JSONValue)
    sextant("generate", "-m", model, "-p", "Hi", "--apply", path("a"), "-n", "2")
    // Training again reads the texts as messages, too.
    sextant("verify", path("a"), "--retrain", "-m", model, "--pairs", Workspace.pairs)
  }

  @Test func optionsWithoutEffectAreRefused() {
    let base = ["-m", model, "-p", "Hi"]
    for arguments in [
      ["generate", "--system", "x"], ["generate", "--thinking", "on"],
      ["generate", "--chat-template", "plain"],
      ["generate", "--chat", "--chat-template", "plain", "--no-bos"],
      ["generate", "--chat", "--chat-template", "plain", "--load-state", "s"],
      ["generate", "--chat", "--chat-template", "plain", "--thinking", "off"],
      ["generate", "--chat", "--chat-template", "plain", "--chat-date", "2025-03-09"],
      ["generate", "--chat", "--chat-template", "plain", "--chat-date", "2025-03-32"],
      ["generate", "--chat", "--chat-template", "plain", "--thinking", "maybe"],
    ] {
      let run = CommandRun.sextant(arguments + base)
      #expect(run.end == .exited(64), "\(arguments): \(run.errors)")
    }
    let run = CommandRun.sextant([
      "steer", "train", "-m", model, "--pairs", Workspace.pairs, "-o", path("v"), "--chat",
      "--template", "plain",
    ])
    #expect(run.end == .exited(64) && run.errors.contains("--template"))
  }
}
