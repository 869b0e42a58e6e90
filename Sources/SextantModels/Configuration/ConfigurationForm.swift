import SextantBytes

/// The configuration of an architecture: its sizes and switches.
package protocol ModelConfiguration: Equatable, Sendable {
  /// Reads the canonical form, which stores and artifacts have.
  ///
  /// - Throws: `model.config`.
  init(canonical object: JSONObject) throws(Refusal)

  /// The canonical form.
  var json: JSONObject { get }
}

/// A configuration whose canonical form is a list of members.
package protocol FormedConfiguration: ModelConfiguration {
  /// A configuration to be filled in.
  init()

  /// The members of the canonical form.
  static var canonicalForm: ConfigurationForm<Self> { get }

  /// Refuses numbers that do not fit together.
  ///
  /// - Parameter node: their place, for the refusal.
  func check(_ node: JSONNode) throws(Refusal)
}

extension FormedConfiguration {
  /// The canonical form.
  package var json: JSONObject { Self.canonicalForm.json(of: self) }

  /// Reads the canonical form.
  ///
  /// - Throws: `model.config`.
  package init(canonical object: JSONObject) throws(Refusal) {
    let node = JSONNode(.object(object), code: .modelConfiguration, file: nil)
    self = try Self.read(node, as: Self.canonicalForm)
  }

  /// Reads a form, and checks the whole.
  ///
  /// - Throws: the node's code.
  static func read(
    _ node: JSONNode, as form: ConfigurationForm<Self>
  ) throws(Refusal) -> Self {
    var configuration = Self()
    try form.read(node, into: &configuration)
    try configuration.check(node)
    return configuration
  }
}

/// The members of one configuration format: keys, the places of their values, and the meaning of
/// absent ones. The same lines read and write it.
package struct ConfigurationForm<C> {
  /// One key, or some that belong together.
  struct Member {
    let read: (JSONNode, inout C) throws(Refusal) -> Void
    let write: (C) -> [(String, JSONValue)]
  }

  /// In the order in which they are read: a default may use the values above it.
  let members: [Member]

  init(_ members: [Member]) { self.members = members }

  /// - Throws: the node's code.
  func read(_ node: JSONNode, into configuration: inout C) throws(Refusal) {
    for member in members { try member.read(node, &configuration) }
  }

  func json(of configuration: C) -> JSONObject {
    JSONObject(members.flatMap { $0.write(configuration) })
  }
}

extension ConfigurationForm.Member {
  /// An integer; required, unless there is a default.
  ///
  /// - Parameter automatic: a word that stands for the default.
  static func integer(
    _ key: String, _ path: WritableKeyPath<C, Int>, in range: ClosedRange<Int>,
    automatic: JSONValue? = nil, default: ((C) -> Int)? = nil
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      let member = try `default` == nil ? node.member(key) : node.optionalMember(key)
      if let member, member.value != automatic {
        configuration[keyPath: path] = try member.integer(supported: range)
      } else if let value = `default`?(configuration) {
        configuration[keyPath: path] = value
      }
    } write: {
      [(key, .integer(Int64($0[keyPath: path])))]
    }
  }

  /// An integer that a model need not have.
  ///
  /// - Parameter usual: the one that counts if the key is absent.
  static func integer(
    _ key: String, _ path: WritableKeyPath<C, Int?>, in range: ClosedRange<Int>,
    usual: Int? = nil
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] =
        try node.optionalMember(key)?.integer(supported: range) ?? usual
    } write: {
      [(key, $0[keyPath: path].map { .integer(Int64($0)) } ?? .null)]
    }
  }

  /// A number; required, unless there is a default.
  static func number(
    _ key: String, _ path: WritableKeyPath<C, Double>, default: Double? = nil
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      let member = try `default` == nil ? node.member(key) : node.optionalMember(key)
      configuration[keyPath: path] = try member?.number() ?? `default` ?? 0
    } write: {
      [(key, .number($0[keyPath: path]))]
    }
  }

  /// A number that a model need not have.
  static func number(_ key: String, _ path: WritableKeyPath<C, Double?>) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] = try node.optionalMember(key)?.number()
    } write: {
      [(key, $0[keyPath: path].map { .number($0) } ?? .null)]
    }
  }

  /// A switch; required, unless there is a default.
  static func flag(
    _ key: String, _ path: WritableKeyPath<C, Bool>, default: Bool? = nil
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      let member = try `default` == nil ? node.member(key) : node.optionalMember(key)
      configuration[keyPath: path] = try member?.boolean() ?? `default` ?? false
    } write: {
      [(key, .boolean($0[keyPath: path]))]
    }
  }

  /// A key with the one value that is supported: it is always written, and must agree if it is
  /// there.
  static func fixed(_ key: String, _ value: JSONValue) -> Self {
    Self { node, _ throws(Refusal) in
      try node.require(key, toBe: value)
    } write: { _ in
      [(key, value)]
    }
  }

  /// The values that other programs expect, and that are not read.
  static func written(_ key: String, _ value: JSONValue) -> Self {
    Self { _, _ in
    } write: { _ in
      [(key, value)]
    }
  }

  /// A value that other programs expect, and that follows from others.
  static func written(_ key: String, _ value: @escaping (C) -> JSONValue) -> Self {
    Self { _, _ in
    } write: {
      [(key, value($0))]
    }
  }

  /// A member that has another key in some files. The first of the other keys that a file has
  /// counts, and else `key`, which is written.
  static func spelled(
    _ key: String, or others: String..., as member: (_ key: String) -> Self
  ) -> Self {
    let usual = member(key)
    let spellings = others.map { (key: $0, member: member($0)) }
    return Self { node, configuration throws(Refusal) in
      for (key, member) in spellings where try node.unnoted.optionalMember(key) != nil {
        return try member.read(node, &configuration)
      }
      try usual.read(node, &configuration)
    } write: {
      usual.write($0)
    }
  }

  /// A value of its own kind.
  static func custom(
    read: @escaping (JSONNode, inout C) throws(Refusal) -> Void,
    write: @escaping (C) -> [(String, JSONValue)]
  ) -> Self {
    Self(read: read, write: write)
  }

  /// An object inside the object.
  ///
  /// - Parameter isOptional: whether an absent one is read as an empty one.
  static func object(_ key: String, isOptional: Bool = false, _ members: [Self]) -> Self {
    let form = ConfigurationForm(members)
    return Self { node, configuration throws(Refusal) in
      let inner = try isOptional ? node.optionalMember(key) : node.member(key)
      let empty = JSONNode(.object(JSONObject()), code: .modelConfiguration, file: node.file)
      try form.read(inner ?? empty, into: &configuration)
    } write: {
      [(key, .object(form.json(of: $0)))]
    }
  }

  /// The rows of an embedding whose vocabulary is padded to a multiple, as mamba_ssm does.
  static func paddedVocabulary(
    _ path: WritableKeyPath<C, Int>, in range: ClosedRange<Int>
  ) -> Self {
    let (sizeKey, multipleKey) = ("vocab_size", "pad_vocab_size_multiple")
    return Self { node, configuration throws(Refusal) in
      let size = try node.member(sizeKey).integer(in: range)
      let multiple = try node.optionalMember(multipleKey)?.integer(in: range) ?? 8
      configuration[keyPath: path] = (size + multiple - 1) / multiple * multiple
    } write: {
      [(sizeKey, .integer(Int64($0[keyPath: path]))), (multipleKey, .integer(1))]
    }
  }
}
