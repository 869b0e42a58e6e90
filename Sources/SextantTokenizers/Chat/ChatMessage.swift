import SextantBytes

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
  /// Who a message is from.
  public enum Role: String, Sendable, CaseIterable {
    /// Instructions for the model.
    case system
    /// The person.
    case user
    /// The model.
    case assistant
  }

  /// Who it is from.
  public var role: Role
  /// Its text.
  public var content: String

  /// A message of a role.
  public init(_ role: Role, _ content: String) {
    (self.role, self.content) = (role, content)
  }

  /// Instructions for the model.
  public static func system(_ content: String) -> Self { Self(.system, content) }
  /// A message of the person.
  public static func user(_ content: String) -> Self { Self(.user, content) }
  /// An answer of the model.
  public static func assistant(_ content: String) -> Self { Self(.assistant, content) }
}

extension ChatMessage {
  /// Reads an array of objects with `role` and `content`, as chat data sets and chat interfaces have it.
  ///
  /// The content is a text, or a list of parts `{"type": "text", "text": …}`, whose texts are joined.
  ///
  /// - Throws: the code of the node for anything else: calls of tools, images and other roles are not
  ///   rendered, so that a message that has them is refused.
  package static func read(_ node: JSONNode) throws(Refusal) -> [ChatMessage] {
    var messages: [ChatMessage] = []
    for element in try node.elements() { messages.append(try ChatMessage(element)) }
    guard !messages.isEmpty else { throw node.refusal(expected: "at least one message") }
    return messages
  }

  private init(_ node: JSONNode) throws(Refusal) {
    let role = try node.member("role")
    guard let known = Role(rawValue: try role.string()) else {
      throw role.refusal(
        expected: "one of \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    for (key, value) in try node.members()
    where key != "role" && key != "content" && value.value != .null {
      throw value.refusal(expected: "a message with \"role\" and \"content\" alone")
    }
    let content = try node.member("content")
    guard case .array = content.value else {
      self.init(known, try content.string())
      return
    }
    var text = ""
    for part in try content.elements() {
      let type = try part.member("type")
      guard try type.string() == "text" else { throw type.refusal(expected: "\"text\"") }
      text += try part.member("text").string()
    }
    self.init(known, text)
  }
}
