import ArgumentParser
import Sextant
import SextantBytes

/// How a conversation is written for the model.
struct ChatArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Instructions for the model, before the first message.", valueName: "instructions"))
  var system: String?

  @Option(
    help: ArgumentHelp(
      """
      The chat template: its name, such as chatml, llama3 or plain, or a file with one. Default: \
      the model's own.
      """,
      valueName: "name|file"))
  var chatTemplate: String?

  @Option(
    help: ArgumentHelp(
      "Whether the model thinks before it answers, for templates with a switch for it.",
      valueName: "on|off"))
  var thinking: Switch?

  @Option(
    help: ArgumentHelp(
      "Today's date, for templates that contain it. Default: the clock's.",
      valueName: "yyyy-mm-dd"))
  var chatDate: ChatSettings.Date?

  /// Whether a switch is on.
  enum Switch: String, ExpressibleByArgument, CaseIterable { case on, off }

  /// The settings for a model.
  func settings(_ open: LoadedModel) throws(Refusal) -> ChatSettings {
    try open.chatSettings(
      template: chatTemplate, system: system, thinking: thinking.map { $0 == .on }, date: chatDate)
  }

  /// The options that were given.
  var given: [(name: String, isGiven: Bool)] {
    [
      ("--system", system != nil), ("--chat-template", chatTemplate != nil),
      ("--thinking", thinking != nil), ("--chat-date", chatDate != nil),
    ]
  }

  /// The files that may be read.
  var inputs: [String] { [chatTemplate].compactMap { $0 } }
}

/// Texts as messages of the user in a conversation.
struct ChatPromptArguments: ParsableArguments {
  @Flag(
    help: """
      Each text is a message of the user: the model reads it as its chat template writes it, up to \
      the place of the answer.
      """)
  var chat = false

  @OptionGroup var options: ChatArguments

  func validate() throws {
    if !chat { try refuseGiven(options.given, "needs --chat") }
  }

  /// The model, which reads texts as messages if that is asked for.
  func apply(to open: LoadedModel) throws(Refusal) -> LoadedModel {
    chat ? try open.chatting(options.settings(open)) : open
  }

  /// Refuses options that a template takes the place of.
  func checkAlone(_ others: [(name: String, isGiven: Bool)]) throws {
    if chat { try refuseGiven(others, "has no effect with --chat") }
  }

  /// The files that may be read.
  var inputs: [String] { options.inputs }
}

extension ChatSettings.Date: ExpressibleByArgument {
  /// Reads `2025-03-09`.
  public init?(argument: String) { self.init(argument) }
}
