import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor

/// Which block a number in another tool's file means: the same names count blocks in two ways. A
/// vector that is applied one block off still steers, with less effect.
package enum LayerConvention: String, Sendable, CaseIterable {
  /// `direction.N` was measured at the output of block N, as repeng writes it.
  case repeng
  /// `direction.N` was measured at the output of block N - 1, as llama.cpp's generator writes it.
  case llamaGenerator = "llama-generator"
  /// As `llama-generator`: the files of jukofyork's control-vectors.
  case jukofyork
  /// `direction.N` is added to the output of block N, as llama.cpp does with any file.
  case llamaApply = "llama-apply"
  /// As `llama-apply`: specified by GLP.
  case glp

  /// The block of a number; nil if there is none.
  func block(of number: Int) -> Int? {
    switch self {
    case .repeng, .llamaApply, .glp: number
    case .llamaGenerator, .jukofyork: number > 0 ? number - 1 : nil
    }
  }

  /// The words for messages.
  package static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

/// A GGUF control vector: one direction for each of some layers. Specification:
/// `formats/control-vector.md`.
package struct ControlVectorFile: Sendable {
  /// The directions by the numbers that the file has for them, [D] each, in their order.
  package let directions: [(number: Int, value: Tensor)]
  /// The operation, if the file declares it (`glp.mode`).
  package let mode: String?
  /// The model's name in the file, in the terms of its tool.
  package let modelHint: String?
  /// The identity of the model, as Sextant's exports record it; other tools may put another version
  /// there.
  private let recordedModel: String?
  /// The method, if the file records it.
  package let method: String?
  /// Whether the file declares that it follows GLP, which has the meaning of `llama-apply`.
  package let isGLP: Bool
  /// The digest of the whole file.
  package let digest: Digest
  private let path: String

  private static let prefix = "direction."
  /// The key at which Sextant records the model's identity.
  static let identityKey = "general.base_model.0.version"
  private static let byteLimit = 1 << 30

  /// Reads a file.
  ///
  /// - Throws: `foreign.layout` for one that llama.cpp's loader would reject or silently misread,
  ///   `foreign.operation` for a GLP file of another mode, hook or version; `file.*`, `gguf.*`.
  package init(reading path: String) throws(Refusal) {
    let file = try GGUFFile(path)
    self.path = path
    digest = SHA256.digest(try InputFile(path).readAll(limit: Self.byteLimit))
    func text(_ key: String) -> String? {
      if case .string(let value)? = file.values[key] { return value }
      return nil
    }
    isGLP = file.values.keys.contains { $0.hasPrefix("glp.") }
    mode = text("glp.mode")
    modelHint = text("controlvector.model_hint")
    recordedModel = text(Self.identityKey)
    method = text("glp.method") ?? text("controlvector.method")
    try Self.checkGLP(file)
    var directions: [(number: Int, value: Tensor)] = []
    for tensor in file.tensors {
      guard let number = Self.number(of: tensor.name), tensor.shape.count == 1,
        tensor.dataType == .f32, tensor.encoding == nil
      else {
        throw Refusal(
          .foreignLayout, file: path, at: .tensor(tensor.name),
          found: "\(tensor.encoding ?? tensor.dataType.rawValue) \(tensor.shape)",
          expected: "direction.<number>, a vector of F32")
      }
      let bytes = try file.bytes(of: tensor)
      let value = unsafe bytes.withUnsafeBytes {
        unsafe Tensor(copying: $0, dataType: .f32, shape: tensor.shape)
      }
      if let value { directions.append((number, value)) }
    }
    try file.checkUnchanged()
    self.directions = directions.sorted { $0.number < $1.number }
    let widths = Set(directions.map { $0.value.count })
    guard widths.count == 1 else {
      throw Refusal(
        .foreignLayout, file: path,
        found: widths.isEmpty ? "no direction" : "vectors of \(widths.sorted()) numbers",
        expected: "directions of equal length")
    }
  }

  private static func number(of name: String) -> Int? {
    guard name.hasPrefix(prefix) else { return nil }
    let digits = name.dropFirst(prefix.count)
    guard let number = Int(digits), String(number) == digits, number >= 0 else { return nil }
    return number
  }

  private static func checkGLP(_ file: GGUFFile) throws(Refusal) {
    func refuse(_ key: String, _ expected: String) -> Refusal {
      Refusal(
        .foreignOperation, file: file.path,
        found: "\(key) \(file.values[key]?.description ?? "")", expected: expected)
    }
    let allowed: [(key: String, values: [GGUFValue], expected: String)] = [
      ("glp.mode", [.string("add"), .string("project")], "add or project"),
      ("glp.spec_version", [.integer(1), .integer(2)], "1 or 2"),
      ("glp.rank", [.integer(1)], "1"),
      ("glp.hook_point", [.string("residual_stream_post_layer")], "residual_stream_post_layer"),
      ("glp.layer_ids_zero_based", [.boolean(true)], "true"),
    ]
    for (key, values, expected) in allowed {
      guard let value = file.values[key], !values.contains(value) else { continue }
      throw refuse(key, expected)
    }
    for key in ["glp.dir_scales", "glp.layer_scales"] where file.values[key] != nil {
      throw refuse(key, "directions without scales of their own")
    }
  }

  // MARK: As a steering vector

  /// The vector for a model.
  ///
  /// - Parameters:
  ///   - model: the model that it was made for: widths and layers must fit.
  ///   - convention: how the file counts layers; nil if the file declares it.
  ///   - allowsModelMismatch: accept a file that records the identity of another model.
  /// - Throws: `artifact.model-digest` for a file that was exported from a vector of another model,
  ///   `foreign.layer-convention` if neither declares it, `foreign.layer`, `artifact.width`.
  package func steeringVector(
    for model: ModelReference, convention: LayerConvention?, allowsModelMismatch: Bool = false
  ) throws(Refusal) -> SteeringVector {
    try model.check(recorded: recordedModel, allowingOther: allowsModelMismatch, file: path)
    guard let convention = convention ?? (isGLP ? .glp : nil) else {
      throw Refusal(
        .foreignConvention, file: path,
        found: "direction.\(directions.first?.number ?? 1) and others",
        expected: "`layerConvention`, one of \(LayerConvention.names)")
    }
    var vectors: [(site: SiteReference, value: Tensor)] = []
    for (number, value) in directions {
      guard let block = convention.block(of: number), block < model.layerCount else {
        throw Refusal(
          .foreignLayer, file: path, at: .tensor("direction.\(number)"),
          found: "layer \(number), counted as \(convention.rawValue)",
          expected: "one of the blocks 0 to \(model.layerCount - 1)")
      }
      vectors.append(try SteeringVector.residual(block, value, of: model, file: path))
    }
    return SteeringVector(
      model: model, vectors: vectors, operation: mode == "project" ? .project : .add,
      positions: PositionSelection([.all]),
      training: .init(
        method: method ?? "imported", positions: .last,
        data: JSONObject([
          ("format", "gguf-control-vector"), ("sha256", .string(digest.description)),
          ("layer_convention", .string(convention.rawValue)),
          ("model_hint", modelHint.map { .string($0) } ?? .null),
        ])), statistics: JSONObject())
  }
}

extension SteeringVector {
  /// A block's vector, of the model's width.
  ///
  /// - Throws: `artifact.width`.
  static func residual(
    _ block: Int, _ value: Tensor, of model: ModelReference, file: String
  ) throws(Refusal) -> (site: SiteReference, value: Tensor) {
    guard value.count == model.width else {
      throw Refusal(
        .artifactWidth, file: file, found: counted(value.count, "number"),
        expected: "\(model.width), the width of the model")
    }
    let site = SiteReference(
      .output(block: block), shape: [model.width], axes: ["channel"])
    return (site, value.reshaped([model.width]))
  }
}
