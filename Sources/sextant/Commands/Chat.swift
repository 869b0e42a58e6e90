import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantGeneration

/// A conversation with a model in the terminal.
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Talk with a model, steered or not.",
    discussion: """
      Each line of standard input is a message, and the answer is written to standard output while \
      it is generated. A line that begins with / is a command; /help lists them. The state goes on \
      from turn to turn, so that only new text is read, unless the template writes earlier turns in \
      another way. Ctrl-C ends an answer, and not the session. \
      If standard input is no terminal, the first refusal ends the session. Turn k, from 0, uses the \
      seed plus k.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup(title: "Conversation") var chat: ChatArguments

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp("The largest number of tokens in an answer.", valueName: "count"))
  var count = 512

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Steering") var steering: SteeringArguments
  @OptionGroup var ending: EndingArguments

  func validate() throws { try Numbers.check(atLeast: 1, [("-n", count)]) }

  func run() throws {
    let open = try model.open()
    let settings = try chat.settings(open)
    let options = try GenerationOptions(
      count, sampling, ending, stops: settings.template.stops)
    var session = ChatSession(
      open, Conversation(open.model, try open.textTokenizer(), settings), steering, options)
    try session.load()
    let isTerminal = StandardStreams.inputIsTerminal
    while true {
      if isTerminal { StandardStreams.writeError("> ") }
      guard let line = readLine() else { break }
      do throws(Refusal) {
        guard try session.take(line) else { return }
      } catch {
        guard isTerminal else { throw error }
        StandardStreams.printError("Error: \(error.withOptions)")
      }
    }
    if isTerminal { StandardStreams.write("\n") }
  }
}

/// Answers the lines of a session.
private struct ChatSession {
  private let open: LoadedModel
  private var talk: Conversation
  private var steering: SteeringArguments
  private let options: GenerationOptions
  private var applied: AppliedArtifacts?
  private static let help = """
    /steer FILE[:STRENGTH]  steer from now on; the same file again changes its strength
    /probe FILE[#NAME]      show the scores of a probe after each answer
    /clear                  apply no artifacts any more
    /undo                   take back the last message and its answer
    /save FILE              save the messages (.json) or the state (.state.safetensors)
    /quit                   end the session
    A space before / makes the line a message.
    """

  init(
    _ open: LoadedModel, _ talk: Conversation, _ steering: SteeringArguments,
    _ options: GenerationOptions
  ) {
    (self.open, self.talk, self.steering, self.options) = (open, talk, steering, options)
  }

  /// Reads the artifacts.
  mutating func load() throws(Refusal) {
    let applied = try steering.load(for: open)
    (self.applied, talk.interventions) = (applied, applied.interventions)
  }

  /// Answers a message, or carries out a command.
  ///
  /// - Returns: whether the session continues.
  mutating func take(_ line: String) throws(Refusal) -> Bool {
    guard line.hasPrefix("/") else {
      if line.contains(where: { !$0.isWhitespace }) { try answer(line) }
      return true
    }
    let words = line.split(separator: " ", maxSplits: 1).map {
      $0.trimmingPrefix { $0 == " " }
    }.map(String.init)
    let argument = words.count > 1 ? words[1] : nil
    switch (words[0], argument) {
    case ("/quit", nil): return false
    case ("/help", nil): StandardStreams.printError(Self.help)
    case ("/clear", nil): clear()
    case ("/undo", nil): try undo()
    case ("/save", let path?): try save(path)
    case ("/steer", let file?), ("/probe", let file?): try add(file)
    default:
      throw Refusal(
        .usageOption, found: "\"\(printable(line, limit: 80))\"", expected: "a command of /help")
    }
    return true
  }

  private mutating func answer(_ line: String) throws(Refusal) {
    var options = options
    options.sampling.seed &+= UInt64(talk.turnCount)
    var notes = TokenTrace(applied?.sources ?? [])
    let reports = applied?.hasReports == true
    let (message, talks) = (line, talk)
    let (text, after) = try Interruption.marking { isMarked throws(Refusal) in
      var talk = talks
      let text = try talk.answer(
        message, options, emit: { StandardStreams.writeGenerated($0) },
        telling: reports ? { notes.add($0) } : nil, while: { !isMarked() })
      return (text, talk)
    }
    talk = after
    StandardStreams.write("\n")
    for line in applied?.lines(text.edits) ?? [] {
      StandardStreams.printError(line)
    }
    if reports, let last = notes.lines.last {
      StandardStreams.printError(JSONValue.object(last).canonicalText)
    }
  }

  private mutating func undo() throws(Refusal) {
    guard talk.undo() else {
      throw Refusal(.usageOption, found: "no turn", expected: "a turn to take back")
    }
  }

  /// Adds an artifact, or changes the strength of one.
  private mutating func add(_ argument: String) throws(Refusal) {
    guard let file = AppliedFile(argument: argument) else {
      throw Refusal(
        .usageOption, found: "\"\(printable(argument, limit: 80))\"",
        expected: "FILE or FILE:STRENGTH")
    }
    try apply(steering.apply.filter { $0.path != file.path } + [file])
  }

  /// Applies no artifacts any more. Options of the command then apply to those that are added later.
  private mutating func clear() {
    steering.apply = []
    (applied, talk.interventions) = (nil, [])
  }

  /// Applies these artifacts from now on; after a refusal, those of before.
  private mutating func apply(_ files: [AppliedFile]) throws(Refusal) {
    let before = steering.apply
    steering.apply = files
    do throws(Refusal) {
      try load()
    } catch {
      steering.apply = before
      throw error
    }
  }

  private func save(_ path: String) throws(Refusal) {
    if path.hasSuffix(".json") {
      let messages = talk.messages.map { message -> JSONValue in
        ["role": .string(message.role.rawValue), "content": .string(message.content)]
      }
      let text = JSONValue.object(JSONObject([("messages", .array(messages))])).prettyText
      try FilePublisher.publish(Array((text + "\n").utf8), to: path)
      return
    }
    guard let state = talk.state else {
      throw Refusal(.usageOption, found: "no turn", expected: "a turn, whose state is saved")
    }
    try state.saved(by: open.reference).artifact.write(to: path)
  }
}
