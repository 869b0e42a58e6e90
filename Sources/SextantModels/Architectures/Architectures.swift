import SextantBytes
import SextantStore

/// The architectures that this build runs.
package enum Architectures {
  /// All of them; a new architecture adds one word here.
  package static var all: [any Architecture.Type] {
    [
      Mamba.self, Mamba2.self, RWKV4.self, RWKV5.self, RWKV6.self, RWKV7.self, Llama.self,
      GPTNeoX.self, BTLM.self, LFM2.self, NemotronH.self, Granite.self, FalconH1.self,
      Qwen.self, Qwen3.self, Gemma3.self, OLMo.self, Jamba.self,
    ]
  }

  /// The classes of keras-hub whose models are read.
  package static var kerasHubClasses: [KerasHubClass] { all.flatMap { $0.kerasHubClasses } }

  /// The names of all, for messages.
  package static var names: String { all.map { $0.name }.joined(separator: ", ") }

  /// The descriptions of models in GGUF files, with their architectures.
  package static var ggufTables: [(architecture: any Architecture.Type, table: GGUFTable)] {
    all.flatMap { architecture in architecture.ggufTables.map { (architecture, $0) } }
  }

  /// The architecture of that name.
  package static func named(_ name: String) -> (any Architecture.Type)? {
    all.first { $0.name == name }
  }

  /// The architecture that a user means by a word: its name here, or a `model_type`, one of the
  /// `architectures` or a class of Keras of published configurations, such as `gpt_neox`,
  /// `LlamaForCausalLM` or `LlamaBackbone`.
  ///
  /// - Returns: nil if none or several have the name.
  package static func meant(by word: String) -> (any Architecture.Type)? {
    if let exact = named(word) { return exact }
    let configurations = [
      JSONObject([("model_type", .string(word))]),
      JSONObject([("architectures", [.string(word)])]),
      JSONObject([("class_name", .string(word)), ("config", .object(JSONObject()))]),
    ].map { JSONNode(.object($0), code: .modelArchitecture, file: nil) }
    let matches = all.filter { configurations.contains(where: $0.recognises) }
    return matches.count == 1 ? matches.first : nil
  }

  /// The language model's configuration in the configuration of a model of several parts, such as
  /// one that also reads images: its member `text_config`.
  ///
  /// - Parameter config: a published configuration that no architecture recognises as a whole.
  /// - Returns: nil if there is no such part that an architecture recognises.
  package static func languageModel(in config: JSONNode) throws(Refusal) -> JSONNode? {
    guard case .object(let whole) = config.value, case .object(var members)? = whole[textKey],
      !all.contains(where: { $0.recognises(config) }),
      let part = try config.optionalMember(textKey), all.contains(where: { $0.recognises(part) })
    else { return nil }
    // Models of several parts may declare this for the whole. Transformers ties by the whole's value,
    // and writes the default of the part beside it.
    let tied = "tie_word_embeddings"
    if let outer = try config.optionalMember(tied) {
      _ = try part.optionalMember(tied)
      members[tied] = outer.value
    }
    // The type of the weights, too.
    for key in ["dtype", "torch_dtype"] where members[key] == nil {
      members[key] = whole[key]
    }
    return JSONNode(
      .object(members), code: config.code, file: config.file, pointer: part.pointer,
      reads: JSONReads())
  }

  /// The member with the configuration of the language model.
  private static let textKey = "text_config"

  /// The members of a configuration that describe the other parts of a model.
  package static func otherParts(of config: JSONNode) -> [String] {
    guard case .object(let object) = config.value else { return [] }
    let known = ConfigurationKeys.inert(in: config).union([textKey, "tie_word_embeddings"])
    return object.members.filter { key, value in
      !known.contains(key) && ![.null, [], .object(JSONObject())].contains(value)
    }.map(\.key)
  }

  /// The architecture of a checkpoint, from its configuration, or else from its tensors.
  ///
  /// A configuration that names no model (by `model_type` or `architectures`) may still set a value
  /// that the tensors leave open.
  ///
  /// - Parameter path: the checkpoint's path, for refusals.
  /// - Throws: `model.architecture` when none or several fit.
  package static func recognise(
    _ config: JSONNode?, checkpoint: CheckpointShapes, path: String
  ) throws(Refusal) -> any Architecture.Type {
    var matches = config.map { config in all.filter { $0.recognises(config) } } ?? []
    let type = try config?.optionalMember("model_type")
    let classes = try config?.optionalMember("architectures")
    if let config, matches.isEmpty, type == nil, let name = KerasHub.className(of: config) {
      throw Refusal(
        .modelArchitecture, file: config.file, at: .pointer("\(config.pointer)/class_name"),
        found: "the class \(name) of Keras",
        expected: "one of \(kerasHubClasses.map(\.name).joined(separator: ", ")), or a model for a "
          + "task with it, such as LlamaCausalLM",
        remedy: "Convert a model of one of these classes.")
    }
    if matches.isEmpty, type == nil, classes == nil {
      matches = all.filter { $0.dialects.contains { checkpoint.follow($0) } }
    }
    if matches.count == 1, let match = matches.first { return match }
    let several = matches.map { $0.name }.joined(separator: ", ")
    var found = "no name of an architecture, and names of tensors that fit several: \(several)"
    if matches.isEmpty, config != nil {
      if let name = try type?.string() {
        found = "\"\(name)\""
      } else {
        let names = try classes?.elements().map { node throws(Refusal) in try node.string() }
        found = "no model_type" + (names.map { ", and \($0.joined(separator: ", "))" } ?? "")
      }
    } else if matches.isEmpty {
      found = "no configuration, and tensors of no known naming"
    }
    throw Refusal(
      .modelArchitecture, file: config?.file ?? path,
      at: config.map { .pointer($0.pointer + "/model_type") }, found: found,
      expected: "one of \(names)",
      remedy: matches.isEmpty
        ? nil
        : "Name the architecture with `architecture`"
          + (config == nil ? ", or give the model's config.json with `configuration`." : "."))
  }

  /// Opens the model of a store.
  ///
  /// - Throws: `store.architecture` and the errors of the architecture's `open`.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    guard let architecture = named(store.architecture) else {
      throw Refusal(
        .storeArchitecture, file: store.path, found: store.architecture, expected: names)
    }
    do throws(Refusal) {
      return try architecture.open(store)
    } catch {
      throw error.inFile(store.path)
    }
  }
}
