import Glibc
import Sextant
import SextantBytes
import SextantGeneration
import SextantTerminal
import SextantTestSupport
import Testing

/// The lines of `sextant chat`: messages, and commands that begin with `/`.
@Suite struct ChatSessionTests {
  private let vector = Demo.file("chat.steer.safetensors")
  private let probes = Demo.file("chat.probe.safetensors")

  init() throws {
    let model = try Demo.model()
    try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model).write(
      to: vector, replacing: true)
    try Probe.train(
      on: SelectedRecords(Demo.examples), for: model, layers: 2...3, methods: [.meanDifference]
    ).write(to: probes, replacing: true)
  }

  private func session(_ files: [String] = []) throws -> ChatSession {
    let model = try Demo.model()
    let options = GenerationOptions(
      tokenCount: 3, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    return try ChatSession(
      model, model.chatSettings(template: "plain"), options,
      applying: files.compactMap { AppliedFile(argument: $0) }, ApplyingOptions())
  }

  /// The scores alone are shown, one line for each file.
  @Test func aProbeShowsItsScoresAfterEachAnswer() throws {
    var session = try session()
    var text = ""
    let added = try session.take("/probe \(probes)", emit: { text += $0 })
    #expect(added == [])
    let lines = try session.take("I saw it.", emit: { text += $0 }) ?? []
    #expect(text.hasSuffix("\n") && lines.count == 1)
    let line = try #require(lines.first)
    let scores = line.split(separator: ": ").dropFirst().joined().split(separator: ", ")
      .compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
    #expect(line.hasPrefix("chat.probe.safetensors: ") && scores.count == 2)
    #expect(!line.contains("{"))
    let cleared = try session.take("/clear", emit: { _ in })
    #expect(cleared == [])
    let plain = try session.take("Why?", emit: { _ in })
    #expect(plain == [])
  }

  /// What cannot act is refused when it is named, and nothing changes.
  @Test func artifactsAreCheckedAtOnce() throws {
    var session = try session()
    for (line, code) in [
      ("/probe \(probes)#nope", Refusal.Code.artifactEmpty), ("/probe \(vector)", .artifactKind),
      ("/steer \(probes)", .artifactKind), ("/steer \(vector):x", .usageOption),
      ("/steer \(vector):9=2", .usageOption),
    ] {
      let refusal = expectRefusal(code) { try session.take(line, emit: { _ in }) }
      #expect(refusal?.remedy.contains("--") == false, "\(line)")
    }
    let unsteered = try session.take("I saw it.", emit: { _ in })
    #expect(unsteered == [])
    expectRefusal(.artifactEmpty) { try self.session(["\(probes)#nope"]) }
    // A strength of nats is searched for with the message.
    _ = try session.take("/steer \(vector):0.1nats", emit: { _ in })
    let lines = try session.take("Why?", emit: { _ in })
    #expect(lines?.first?.contains("found at") == true)
  }

  @Test func theSessionEndsWithACommandAlone() throws {
    var session = try session()
    let blank = try session.take(" ", emit: { _ in })
    #expect(blank == [])
    let help = try session.take("/help", emit: { _ in })
    #expect(help == [ChatSession.help])
    let end = try session.take("/quit", emit: { _ in })
    #expect(end == nil)
    let refusal = expectRefusal(.usageOption) { try session.take("/undo", emit: { _ in }) }
    #expect(refusal?.remedy == "/help lists the commands.")
  }

  @Test func aCommandWithoutItsArgumentIsAnsweredWithItsForm() throws {
    var session = try session()
    for (line, expected) in [
      ("/steer", "`/steer FILE[:STRENGTH]`"), ("/save  ", "`/save FILE`"), ("/undo 2", "`/undo`"),
      ("/other", "a message or a command"), ("/", "a message or a command"),
    ] {
      let refusal = expectRefusal(.usageOption) { try session.take(line, emit: { _ in }) }
      #expect(refusal?.expected == expected, "\(line)")
    }
  }

  /// At the prompt, Ctrl-C ends neither the session nor the wait for a line.
  @Test func aSignalAtThePromptEndsNothing() {
    let line = Interruption.declining {
      raise(SIGINT)
      return "a line"
    }
    #expect(line == "a line")
  }
}
