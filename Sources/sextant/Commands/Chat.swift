import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration
import SextantTerminal

/// A conversation with a model in the terminal.
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Talk with a model, steered or not.",
    discussion: """
      Each line of standard input is a message, and the answer is written to standard output while \
      it is generated. A line that begins with / is a command; /help lists them. The state goes on \
      from turn to turn, so that only new text is read, unless the template writes earlier turns in \
      another way. Ctrl-C ends an answer, and not the session; /quit or Ctrl-D ends it. \
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
    var session = try ChatSession(
      open, settings, GenerationOptions(count, sampling, ending, stops: settings.template.stops),
      applying: steering.apply, steering.options())
    try session.notes().forEach(StandardStreams.printNote)
    let isTerminal = StandardStreams.inputIsTerminal
    while true {
      if isTerminal { StandardStreams.writeError("> ") }
      guard let line = isTerminal ? Interruption.declining({ readLine() }) : readLine() else {
        break
      }
      do throws(Refusal) {
        let lines = try Interruption.marking { isMarked throws(Refusal) in
          try session.take(
            line, emit: { StandardStreams.writeGenerated($0) }, while: { !isMarked() })
        }
        guard let lines else { return }
        lines.forEach(StandardStreams.printError)
      } catch {
        guard isTerminal else { throw error }
        StandardStreams.printError("Error: \(error.withOptions)")
      }
    }
    if isTerminal { StandardStreams.write("\n") }
  }
}
