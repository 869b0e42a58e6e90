import SextantBytes
import SextantStore

/// A tensor of an architecture, under its canonical name.
package struct WeightSpec: Sendable, Equatable {
  /// The allowed type conversions of a tensor.
  package enum Kind: Sendable, Equatable {
    /// A matrix of a product, [out, in], or an embedding [V, D]: may be stored in fewer bits.
    case matrix
    /// The matrices of all experts, [experts, out, in]: may be stored in fewer bits.
    case experts
    /// Small tensors: they keep their precision.
    case vector
  }

  /// The canonical name, such as `blocks.0.mixer.in_proj.weight`.
  package let name: String
  /// The shape. Dimensions of 1 in a checkpoint's shape are dropped before comparing.
  package let shape: [Int]
  /// The allowed type conversions.
  package let kind: Kind

  /// Describes a tensor.
  package init(_ name: String, _ shape: [Int], _ kind: Kind = .vector) {
    self.name = name
    self.shape = shape
    self.kind = kind
  }
}

/// The two tensors that are one tensor in models with tied embeddings.
package struct TiedPair: Sendable {
  /// That of every architecture.
  package static let usual = TiedPair(
    embedding: "embedding.weight", head: "head.weight", flag: "tie_embeddings")

  /// The canonical name of the embedding, [V, D].
  package let embedding: String
  /// The canonical name of the output head, [V, D]; absent if they are tied.
  package let head: String
  /// The key of the canonical configuration that declares whether they are tied.
  package let flag: String
}

/// The values of a configuration that follow from a checkpoint's tensors if its `config.json` does
/// not contain them.
package struct CheckpointShapes: Sendable {
  /// The shapes by name.
  package let shapes: [ExactString: [Int]]

  /// Collects shapes.
  package init(_ shapes: [(name: String, shape: [Int])]) {
    self.shapes = Dictionary(
      shapes.map { (ExactString($0.name), $0.shape) }, uniquingKeysWith: { first, _ in first })
  }

  /// The shape of the first of these tensors that is there.
  package func shape(ofAny names: [String]) -> [Int]? {
    names.lazy.compactMap { shapes[ExactString($0)] }.first
  }

  /// Whether the tensor is there.
  package func contains(_ name: String) -> Bool { shapes[ExactString(name)] != nil }

  /// Whether the tensors follow a dialect.
  package func follow(_ dialect: Dialect) -> Bool { dialect.fits(contains) }
}

extension Architecture {
  /// None.
  package static var inertKeys: Set<String> { [] }

  /// None: keras-hub does not have the architecture.
  package static var kerasHubClasses: [KerasHubClass] { [] }

  /// Whether a configuration is a description of one of the architecture's classes by Keras.
  static func isOfKerasHub(_ config: JSONNode) -> Bool {
    KerasHub.described(by: config, among: kerasHubClasses) != nil
  }

  /// Whether the checkpoint of a model of keras-hub has no output head.
  static func lacksKerasHubHead(_ checkpoint: CheckpointShapes) -> Bool {
    !dialects.contains { dialect in
      dialect.name.hasPrefix(Dialect.kerasHub) && checkpoint.follow(dialect)
        && checkpoint.contains(dialect.source(tiedPair.head).name)
    }
  }

  /// None: llama.cpp does not have the architecture.
  package static var ggufTables: [GGUFTable] { [] }

  /// Whether a configuration names one of some models: by its type, or else by a class.
  static func isNamed(_ config: JSONNode, types: Set<String>, classes: Set<String>) -> Bool {
    guard case .object(let object) = config.value else { return false }
    if case .string(let type)? = object["model_type"] { return types.contains(type) }
    guard [nil, .null].contains(object["model_type"]),
      case .array(let names)? = object["architectures"]
    else { return false }
    return names.contains { name in
      if case .string(let name) = name { classes.contains(name) } else { false }
    }
  }

  /// The refusal of a value that another program's format has no place for.
  static func inexpressible(_ found: String, expected: String) -> Refusal {
    Refusal(.exportInexpressible, found: found, expected: expected)
  }

  /// The configuration, for architectures whose checkpoints never come without one.
  ///
  /// - Throws: `model.config` if there is none.
  static func required(_ config: JSONNode?) throws(Refusal) -> JSONNode {
    guard let config else {
      throw Refusal(
        .modelConfiguration, found: "no config.json in the folder of the weights",
        expected: "the configuration of a \(name) model", remedy: "Name it with `configuration`.")
    }
    try ConfigurationKeys.checkComputation(config)
    return config
  }
}

/// A family of models: its configuration, its published namings, and the blocks that it consists of.
///
/// One architecture is one file in `Architectures/` and one word in `Architectures.all`.
package protocol Architecture {
  /// The sizes and switches of a model.
  associatedtype Configuration: ModelConfiguration

  /// The name in stores and artifacts.
  static var name: String { get }

  /// Whether a published `config.json` describes a model of this architecture.
  static func recognises(_ config: JSONNode) -> Bool

  /// Members of published configurations that cannot change the model's output, in addition to
  /// `ConfigurationKeys.inert`.
  static var inertKeys: Set<String> { get }

  /// The configuration that a published one means, checked; the same for every dialect.
  ///
  /// - Parameters:
  ///   - config: the published configuration; nil for checkpoints that come without one.
  ///   - checkpoint: the names and shapes of the checkpoint's tensors.
  /// - Throws: `model.config`, also if there is none and the architecture needs one.
  static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration

  /// The published namings.
  static var dialects: [Dialect] { get }

  /// The classes of keras-hub whose models are of this architecture.
  static var kerasHubClasses: [KerasHubClass] { get }

  /// The descriptions of models in GGUF files, if llama.cpp has the architecture. llama.cpp may have
  /// several names for models of one architecture: the first that fits a model is written.
  static var ggufTables: [GGUFTable] { get }

  /// The `config.json` of a configuration, in the form that the readers of a dialect
  /// expect: `configuration(from:checkpoint:)` converts it back.
  ///
  /// - Throws: `export.inexpressible` for features that those readers do not support.
  static func published(
    _ configuration: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject

  /// The model: it asks `weights` for its tensors.
  static func network(_ configuration: Configuration, _ weights: WeightSource) -> Network
}

extension Architecture {
  /// The embedding and the output head, which a checkpoint may tie.
  package static var tiedPair: TiedPair { .usual }

  /// The tensors of a model with this canonical configuration.
  ///
  /// - Throws: `model.config`.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    weights(of: try Configuration(canonical: configuration))
  }

  /// The `config.json` of a canonical configuration, in the form that the readers of a dialect
  /// expect.
  ///
  /// - Throws: `model.config`, `export.inexpressible`.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    try published(Configuration(canonical: configuration), dialect: dialect)
  }

  /// A model that runs from an open store.
  ///
  /// - Throws: `model.config`, `model.tensor-missing`, `model.shape`, `model.dtype`.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let configuration = try Configuration(canonical: store.configuration)
    let weights = try WeightSource(store, weights(of: configuration))
    return NetworkModel(network(configuration, weights), of: Self.self, store)
  }

  private static func weights(of configuration: Configuration) -> [WeightSpec] {
    let source = WeightSource()
    _ = network(configuration, source)
    return source.specs
  }
}
