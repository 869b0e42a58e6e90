import SextantBytes
import SextantStore
import SextantTensor

/// A lens in training: translators and the optimiser's state, so that training can continue.
///
/// Tensors: those of a lens, and for each of the optimiser's memories `<memory>.<site>.weight` and
/// `<memory>.<site>.bias`, all F32. Specification: `formats/lens-checkpoint.md`.
package struct LensCheckpoint: ArtifactKind, Sendable {
  /// `lens-checkpoint`.
  package static let name = "lens-checkpoint"
  /// 1.
  package static let version = 1
  /// Training would continue with NaN.
  package static let refusesNonfinite = true

  /// The model that the lens is of.
  package let model: ModelReference
  /// The sites, in the model's order.
  package let sites: [SiteReference]
  /// Steps that were taken.
  package let step: Int
  /// The options of the training, which must be the same to continue.
  package let options: JSONObject
  /// The data, which must be the same to continue.
  package let data: JSONObject
  /// The seed of the order in which the texts are read, which must be the same to continue; nil if
  /// that was not kept.
  package let seed: Int?
  /// The names of the optimiser's memories, such as `momentum`.
  package let memories: [String]
  /// Translators, then the memories in their order, each by site.
  package let values: [[Translator]]
  /// The loss of each site in the first step, in the order of the sites; empty if that was not
  /// kept.
  package let firstLosses: [Double]
  /// The file that it was read from, for refusals.
  package let file: String?

  /// A new checkpoint.
  package init(
    model: ModelReference, sites: [SiteReference], step: Int, options: JSONObject,
    data: JSONObject, seed: Int?, memories: [String], firstLosses: [Double] = [],
    values: [[Translator]]
  ) {
    self.seed = seed
    self.firstLosses = firstLosses
    self.model = model
    self.sites = sites
    self.step = step
    self.options = options
    self.data = data
    self.memories = memories
    self.values = values
    file = nil
  }

  /// The checkpoint that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  package init(_ artifact: Artifact) throws(Refusal) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    step = try node.member("step").integer(in: 0...(1 << 40))
    options = try node.member("options").object()
    data = try node.origin("data").object()
    seed = try node.optionalMember("seed")?.integer()
    var losses: [Double] = []
    if let node = try node.optionalMember("first_losses") {
      for element in try node.elements() { losses.append(try element.number()) }
      guard losses.count == artifact.manifest.sites.count else {
        throw node.refusal(expected: "a loss for each site")
      }
    }
    firstLosses = losses
    var memories: [String] = []
    for element in try node.member("memories").elements() {
      let name = try element.string()
      guard ["momentum", "mean", "square", "largest_square"].contains(name) else {
        throw element.refusal(expected: "a memory of an optimiser")
      }
      guard !memories.contains(name) else { throw element.refusal(expected: "each once") }
      memories.append(name)
    }
    self.memories = memories
    model = artifact.manifest.model
    sites = artifact.manifest.sites
    file = artifact.file
    let width = model.width
    let prefixes = [""] + memories.map { $0 + "." }
    try artifact.expectTensors(
      prefixes.flatMap { prefix in
        artifact.manifest.sites.flatMap {
          [
            ExpectedTensor(prefix + $0.name + ".weight", .f32, [width, width]),
            ExpectedTensor(prefix + $0.name + ".bias", .f32, [width]),
          ]
        }
      })
    values = prefixes.map { prefix in
      artifact.manifest.sites.compactMap { site in
        guard let weight = artifact.tensor(prefix + site.name + ".weight"),
          let bias = artifact.tensor(prefix + site.name + ".bias")
        else { return nil }
        return Translator(weight: weight, bias: bias)
      }
    }
  }

  /// Reads a checkpoint's file.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  package init(reading path: String) throws(Refusal) {
    try self.init(Artifact(reading: path))
  }

  /// The checkpoint as an artifact, ready to be written.
  package var artifact: Artifact {
    var details = JSONObject([
      ("step", .integer(Int64(step))), ("options", .object(options)), ("data", .object(data)),
      ("memories", .array(memories.map { .string($0) })),
    ])
    details["seed"] = seed.map { .integer(Int64($0)) }
    if !firstLosses.isEmpty {
      details["first_losses"] = .array(firstLosses.map { .number($0) })
    }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: sites, details: details)
    let prefixes = [""] + memories.map { $0 + "." }
    return Artifact(
      manifest: manifest,
      tensors: zip(prefixes, values).flatMap { prefix, translators in
        zip(sites, translators).flatMap { site, value in
          [
            (prefix + site.name + ".weight", value.weight),
            (prefix + site.name + ".bias", value.bias),
          ]
        }
      })
  }

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    _ = try LensCheckpoint(artifact)
  }
}
