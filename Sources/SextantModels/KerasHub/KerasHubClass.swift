import SextantBytes

/// A class of models of keras-hub, as the descriptions of its presets name it.
package struct KerasHubClass: Sendable, Equatable {
  /// The name of the class without a task, such as `LlamaBackbone`.
  package let name: String
  /// The Python module of the class.
  package let module: String
  /// Other names of the same class.
  let synonyms: [String]

  /// A class in a module of `keras_hub.src.models`.
  ///
  /// - Parameter stem: the name without `Backbone`.
  init(_ stem: String, module: String, synonyms: [String] = []) {
    name = stem + Self.ending
    self.module = "keras_hub.src.models.\(module)"
    self.synonyms = synonyms.map { $0 + Self.ending }
  }

  private static let ending = "Backbone"

  /// The names of the class and of the class that generates text with it, such as `LlamaCausalLM`.
  package var names: [String] {
    ([name] + synonyms).flatMap { [$0, String($0.dropLast(Self.ending.count)) + "CausalLM"] }
  }

  /// The description of a model of this class, as `config.json` of a preset has it.
  package func description(_ members: JSONObject) -> JSONObject {
    JSONObject([
      ("module", .string(module)), ("class_name", .string(name)),
      ("config", .object(members)), ("registered_name", .string("keras_hub>\(name)")),
    ])
  }
}

/// The descriptions of models by Keras: `config.json` of a preset and of a `.keras` archive.
package enum KerasHub {
  private static let classKey = "class_name"

  /// The class that a description names; nil for a configuration of another form.
  package static func className(of config: JSONNode) -> String? {
    guard case .object(let object) = config.value, case .string(let name)? = object[classKey],
      case .object? = object["config"]
    else { return nil }
    return name
  }

  /// The class among `classes` that a description names.
  static func described(by config: JSONNode, among classes: [KerasHubClass]) -> KerasHubClass? {
    guard let name = className(of: config) else { return nil }
    return classes.first { $0.names.contains(name) }
  }

  /// The configuration of the backbone in a description: the whole, or the part of a model for a task.
  ///
  /// - Throws: the node's code.
  package static func backbone(_ config: JSONNode) throws(Refusal) -> JSONNode {
    _ = try config.member(classKey)
    let inner = try config.member("config")
    guard let backbone = try inner.optionalMember("backbone") else { return inner }
    return try backbone.member("config")
  }

  /// The name of a description's number type, such as `bfloat16`; nil if there is none, or several.
  static func dataType(_ backbone: JSONNode) throws(Refusal) -> String? {
    guard let member = try backbone.unnoted.optionalMember("dtype") else { return nil }
    if case .string(let name) = member.value { return name }
    guard case .object(let policy) = member.value, case .object(let config)? = policy["config"],
      case .string(let name)? = config["name"]
    else { return nil }
    return name
  }

  /// The policy of a number type, as descriptions have it.
  package static func policy(_ name: String) -> JSONValue {
    [
      "module": "keras", "class_name": "DTypePolicy", "config": ["name": .string(name)],
      "registered_name": .null,
    ]
  }

  /// The quantisations that a description declares for its layers, such as `int8` and `int4/128`.
  package static func quantisations(_ config: JSONNode) -> Set<String> {
    guard className(of: config) != nil else { return [] }
    var found: Set<String> = []
    func walk(_ value: JSONValue) {
      switch value {
      case .array(let elements): elements.forEach(walk)
      case .object(let object):
        if case .string(let name)? = object[classKey], name.hasSuffix("DTypePolicy"),
          case .object(let config)? = object["config"], case .string(let mode)? = config["mode"]
        {
          found.insert(mode)
        }
        object.members.forEach { walk($0.value) }
      default: break
      }
    }
    walk(config.value)
    return found
  }

  /// Members of Keras for any layer, in a description and in the configurations inside it, and those for
  /// training and for images.
  package static let inertKeys: Set<String> = Set(
    ["", "config.", "config.backbone.", "config.backbone.config."].flatMap { prefix in
      [
        "module", "class_name", "registered_name", "name", "trainable", "dtype", "dropout",
        "dropout_rate", "build_config", "compile_config", "preprocessor", "weights", "assets",
        "metadata", "image_size",
      ].map { prefix + $0 }
    })
}
