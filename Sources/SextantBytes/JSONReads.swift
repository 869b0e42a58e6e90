import SextantLocks

/// The members of a JSON document that were read, so that the other members can be named.
package final class JSONReads: Sendable {
  private let pointers = Lock<Set<String>>([])

  /// Nothing was read yet.
  package init() {}

  /// Records that the member at a JSON pointer was read.
  func note(_ pointer: String) {
    pointers.withLock { _ = $0.insert(pointer) }
  }

  /// Whether the member at a JSON pointer was read.
  func contains(_ pointer: String) -> Bool {
    pointers.withLock { $0.contains(pointer) }
  }
}

extension JSONNode {
  /// The same place, whose members can be read without a record.
  package var unnoted: JSONNode { JSONNode(value, code: code, file: file, pointer: pointer) }

  /// Marks all members of the object `key` as known, although nothing reads them.
  package func noteAll(of key: String) throws(Refusal) {
    guard let node = try optionalMember(key), case .object(let object) = node.value else { return }
    for (key, _) in object.members { try node.noteAll(of: key) }
  }

  /// The members that nothing has read, in their order, with dots between the keys of nested
  /// objects. Null, empty arrays and empty objects have no content and are left out.
  ///
  /// - Parameter known: members to leave out, spelled in the same way.
  package func unreadMembers(except known: Set<String>) -> [String] {
    unreadMembers(known, prefix: "")
  }

  private func unreadMembers(_ known: Set<String>, prefix: String) -> [String] {
    guard let reads, case .object(let object) = value else { return [] }
    return object.members.flatMap { key, value -> [String] in
      let node = child(key, value)
      if reads.contains(node.pointer) {
        return node.unreadMembers(known, prefix: "\(prefix)\(key).")
      }
      let saysNothing = [.null, [], .object(JSONObject())].contains(value)
      return saysNothing || known.contains(prefix + key) ? [] : [prefix + key]
    }
  }
}
