import Glibc
import SextantBytes

/// The way in which a model reads conversations: its chat template.
///
/// Published templates are programs in the language Jinja. Nothing of one is executed here: its text is
/// recognised by its digest, and a form of our own writes the same bytes as `apply_chat_template` of
/// transformers. Any other text is refused.
public struct ChatTemplate: Sendable, Equatable {
  let form: ChatForm
  /// The texts of the tokens that begin and end a text; nil if none is known.
  let bos: String?
  let eos: String?

  init(_ form: ChatForm, bos: String?, eos: String?) {
    (self.form, self.bos, self.eos) = (form, bos, eos)
  }

  /// The name of the form, or the path of its file.
  public var name: String { form.name }

  /// Whether thinking can be switched on and off.
  public var hasThinkingSwitch: Bool {
    form.hasThinkingSwitch
  }

  /// Texts at which an answer ends, for forms whose turns end without a token.
  package var stops: [String] { form.stops }

  /// Whether the text of a conversation contains today's date.
  package var isDated: Bool { form.texts.contains { $0.contains("{year}") } }

  /// The names to choose from.
  package static var names: [String] { ChatForm.named.map(\.name) }

  /// The name of the form that renders as a published template does; nil if the template is unknown.
  package static func name(ofPublished text: String) -> String? {
    ChatForm.published[digest(ofPublished: text).description]
  }

  /// The digest by which a published template is known: of its text with line feeds as line ends and without
  /// the last one, which Jinja reads in the same way.
  package static func digest(ofPublished text: String) -> Digest {
    var bytes: [UInt8] = []
    var endedWithReturn = false
    for byte in text.utf8 {
      let isReturn = byte == UInt8(ascii: "\r")
      if byte != UInt8(ascii: "\n") || !endedWithReturn {
        bytes.append(isReturn ? UInt8(ascii: "\n") : byte)
      }
      endedWithReturn = isReturn
    }
    if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    return SHA256.digest(bytes)
  }

  /// Writes a conversation as the model reads it.
  ///
  /// - Parameters:
  ///   - answers: whether the text ends where the model's answer begins.
  ///   - thinking: whether the model thinks before it answers; nil for the template's own default.
  ///   - date: today, for templates that tell it to the model; nil for the clock's.
  /// - Throws: `chat.messages` for messages that the template has no place for; `chat.template` if it needs a
  ///   token that the tokenizer does not name; `usage.option` for a switch that it does not have.
  public func render(
    _ messages: [ChatMessage], answers: Bool = true, thinking: Bool? = nil,
    date: ChatSettings.Date? = nil
  ) throws(Refusal) -> ChatTemplate.Text {
    try form.render(
      messages, answers: answers, thinking: thinking,
      ChatValues(bos: bos, eos: eos, date: date ?? .today))
  }

  /// The ids of tokens that end an answer: the first special token after one.
  package func endOfTurnIDs(_ tokenizer: any Tokenizer) -> [Int] {
    let date = ChatSettings.Date.today
    let after = ChatValues(bos: bos, eos: eos, date: date).filled(form.assistant.suffix)
    let special = tokenizer.specialTokenIDs
    return tokenizer.encode(after, literally: []).first { special.contains($0) }.map { [$0] } ?? []
  }
}

extension ChatSettings.Date {
  /// The clock's day, in local time.
  public static var today: ChatSettings.Date {
    var now = time(nil)
    var parts = tm()
    localtime_r(&now, &parts)
    return ChatSettings.Date(
      year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday))
      ?? .epoch
  }
}
