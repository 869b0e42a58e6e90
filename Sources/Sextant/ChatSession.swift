import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantTokenizers

/// A conversation at a prompt, line by line: a line is a message, or a command that begins with `/`.
package struct ChatSession {
  /// The commands, for people.
  package static let help = """
    /steer FILE[:STRENGTH]  steer from now on; the same file again changes its strength
    /probe FILE[#NAME]      show the scores of a probe after each answer
    /clear                  apply no artifacts any more
    /undo                   take back the last message and its answer
    /save FILE              save the messages (.json) or the state (.state.safetensors)
    /quit                   end the session
    A space before / makes the line a message.
    """

  private let open: LoadedModel
  private var talk: Conversation
  private let options: GenerationOptions
  private let applying: ApplyingOptions
  private var files: [AppliedFile] = []
  private var applied: AppliedArtifacts?

  /// Starts a session.
  ///
  /// - Parameters:
  ///   - options: how an answer is generated. Turn k, from 0, uses their seed plus k.
  ///   - files: the artifacts that act from the beginning; `applying`: the options for these and for those
  ///     that are added.
  /// - Throws: as `AppliedArtifacts`, and the errors of artifacts that do not fit the model.
  package init(
    _ open: LoadedModel, _ settings: ChatSettings, _ options: GenerationOptions,
    applying files: [AppliedFile], _ applying: ApplyingOptions
  ) throws(Refusal) {
    (self.open, self.options, self.applying) = (open, options, applying)
    talk = Conversation(open.model, try open.textTokenizer(), settings)
    // Options without any artifact are refused.
    try apply(files)
  }

  /// Notes on the artifacts, for people.
  package func notes() throws(Refusal) -> [String] {
    try applied.map { applied throws(Refusal) in try open.notes(on: applied) } ?? []
  }

  /// Answers a message, or carries out a command.
  ///
  /// - Parameters:
  ///   - emit: receives the text of the answer as it is generated.
  ///   - continues: asked before each token; false ends the answer there.
  /// - Returns: lines for people; nil at the end of the session.
  /// - Throws: the refusal of the line, which changes nothing.
  package mutating func take(
    _ line: String, emit: (String) -> Void, while continues: () -> Bool = { true }
  ) throws(Refusal) -> [String]? {
    guard line.hasPrefix("/") else {
      guard line.contains(where: { !$0.isWhitespace }) else { return [] }
      return try answer(line, emit, continues)
    }
    do throws(Refusal) {
      return try carryOut(line)
    } catch {
      var refusal = error
      if error.code == .usageOption { refusal.remedy = "/help lists the commands." }
      throw refusal
    }
  }

  private mutating func carryOut(_ line: String) throws(Refusal) -> [String]? {
    let words = line.split(separator: " ", maxSplits: 1).map {
      $0.trimmingPrefix { $0 == " " }
    }.map(String.init)
    let argument = words.count > 1 && !words[1].isEmpty ? words[1] : nil
    switch (words[0], argument) {
    case ("/quit", nil): return nil
    case ("/help", nil): return [Self.help]
    case ("/clear", nil):
      // Options then apply to artifacts that are added later.
      (files, applied, talk.interventions) = ([], nil, [])
    case ("/undo", nil):
      guard talk.undo() else {
        throw Self.refusal(found: "no turn", expected: "a turn to take back")
      }
    case ("/save", let path?): try save(path)
    case ("/steer", let file?): return try add(file, edits: true)
    case ("/probe", let file?): return try add(file, edits: false)
    default:
      // A known command without its argument, or with one that it has no use for.
      let usage = Self.help.split(separator: "\n").first {
        $0.split(separator: " ").first.map(String.init) == words[0]
      }
      throw Self.refusal(
        found: "\"\(printable(line, limit: 80))\"",
        expected: usage.map { "`\($0.split(separator: "  ")[0])`" } ?? "a message or a command")
    }
    return []
  }

  private static func refusal(found: String, expected: String) -> Refusal {
    Refusal(.usageOption, found: found, expected: expected)
  }

  private mutating func answer(
    _ message: String, _ emit: (String) -> Void, _ continues: () -> Bool
  ) throws(Refusal) -> [String] {
    var options = options
    options.sampling.seed &+= UInt64(talk.turnCount)
    var notes = TokenTrace(applied?.sources ?? [])
    let text = try talk.answer(
      message, options, emit: emit,
      telling: applied?.hasReports == true ? { notes.add($0) } : nil, while: continues)
    emit("\n")
    return (applied?.lines(text.edits) ?? []) + notes.lastReports
  }

  /// Adds an artifact, or changes the strength of one.
  private mutating func add(_ argument: String, edits: Bool) throws(Refusal) -> [String] {
    let file: AppliedFile
    do throws(Refusal) {
      file = try AppliedFile(written: argument)
    } catch {
      throw Self.refusal(found: error.found, expected: error.expected)
    }
    let artifact = try AppliedArtifact(file).artifact
    let kinds = edits ? [SteeringVector.name, ConceptEraser.name] : [Probe.name]
    guard kinds.contains(artifact.manifest.kind) else {
      throw Refusal(
        .artifactKind, file: artifact.file, at: .pointer("/kind"), found: artifact.manifest.kind,
        expected: kinds.joined(separator: " or "),
        remedy: "/steer takes vectors and erasers, /probe takes probes.")
    }
    try apply(files.filter { $0.path != file.path } + [file])
    return try notes()
  }

  /// Applies these artifacts from now on, if all of them fit.
  private mutating func apply(_ files: [AppliedFile]) throws(Refusal) {
    let applied = try AppliedArtifacts(files, applying)
    try talk.check(applied.interventions)
    (self.files, self.applied, talk.interventions) = (files, applied, applied.interventions)
  }

  private func save(_ path: String) throws(Refusal) {
    do throws(Refusal) {
      if path.hasSuffix(".json") {
        let text = JSONValue.object(messages).prettyText + "\n"
        try FilePublisher.publish(Array(text.utf8), to: path)
      } else if let state = talk.state {
        try state.saved(by: open.reference).artifact.write(to: path)
      } else {
        throw Self.refusal(found: "no state", expected: "an answer, whose state is saved")
      }
    } catch {
      var refusal = error
      if refusal.code == .fileExists { refusal.remedy = "Choose another name." }
      throw refusal
    }
  }

  /// The conversation as records of messages spell it.
  private var messages: JSONObject {
    let messages = talk.messages.map { message -> JSONValue in
      ["role": .string(message.role.rawValue), "content": .string(message.content)]
    }
    return JSONObject([("messages", .array(messages))])
  }
}
