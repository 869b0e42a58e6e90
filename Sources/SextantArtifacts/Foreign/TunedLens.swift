import Glibc
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor

// The folders of the tuned-lens package. Its translator i reads the input of block i: for 0 the
// embedding, otherwise the output of block i - 1. The output of the last block is read without a
// translator.

extension Lens {
  private static let configurationName = "config.json"
  private static let parametersName = "params.pt"
  private static let kind = "linear_tuned_lens"
  /// The member that records the model's identity, which the package ignores.
  private static let identityKey = "sextant_model"

  /// The sites that such a folder has translators for, in its order.
  private static func tunedLensSites(_ model: ModelReference) -> [SiteReference] {
    (0..<model.layerCount).map { index in
      SiteReference(
        index == 0 ? .embedding : .output(block: index - 1), shape: [model.width],
        axes: ["channel"])
    }
  }

  // MARK: In

  /// Whether a path names such a folder.
  package static func isTunedLens(_ path: String) -> Bool {
    CheckpointSource.isFolder(path)
      && [configurationName, parametersName].allSatisfy {
        unsafe access("\(path)/\($0)", R_OK) == 0
      }
  }

  /// Reads a folder for a model.
  ///
  /// - Parameter allowsModelMismatch: accept a folder that records the identity of another model.
  /// - Throws: `foreign.layout`, `foreign.layer` for another number of blocks, `artifact.width`,
  ///   `artifact.model-digest` for a folder that was exported from a lens of another model;
  ///   `json.*`, `pth.*`, `file.*`.
  public init(
    tunedLens folder: String, for model: ModelReference, allowsModelMismatch: Bool = false
  ) throws(Refusal) {
    let path = "\(folder)/\(Self.configurationName)"
    let config = try JSONNode(
      parsing: InputFile(path).readAll(limit: 1 << 20), code: .foreignLayout, file: path)
    if let type = try config.optionalMember("lens_type"), type.value != .string(Self.kind) {
      throw type.refusal(expected: "\"\(Self.kind)\"")
    }
    let (width, count) = try (
      config.member("d_model").integer(), config.member("num_hidden_layers").integer()
    )
    guard width == model.width else {
      throw Refusal(
        .artifactWidth, file: path, at: .pointer("/d_model"), found: "\(width)",
        expected: "\(model.width), the width of the model")
    }
    guard count == model.layerCount else {
      throw Refusal(
        .foreignLayer, file: path, at: .pointer("/num_hidden_layers"), found: "\(count)",
        expected: "\(model.layerCount), as the model has")
    }
    try model.check(
      recorded: config.optionalMember(Self.identityKey)?.string(),
      allowingOther: allowsModelMismatch, file: path, at: .pointer("/\(Self.identityKey)"))
    let file = try PyTorchFile("\(folder)/\(Self.parametersName)")
    let hasBias = try config.optionalMember("bias")?.boolean() ?? true
    guard file.tensors.count == count * (hasBias ? 2 : 1) else {
      throw Refusal(
        .foreignLayout, file: file.path, found: counted(file.tensors.count, "tensor"),
        expected: "a weight\(hasBias ? " and a bias" : "") for each of \(counted(count, "block"))")
    }
    var digest = SHA256()
    var translators: [(site: SiteReference, translator: Translator)] = []
    for (index, site) in Self.tunedLensSites(model).enumerated() {
      let weight = try Self.read("\(index).weight", [width, width], from: file, &digest)
      let bias =
        hasBias
        ? try Self.read("\(index).bias", [width], from: file, &digest) : Tensor(zeros: [width])
      translators.append((site, Translator(weight: weight, bias: bias)))
    }
    try file.checkUnchanged()
    let name = try config.optionalMember("base_model_name_or_path")?.value
    let hash = try config.optionalMember("unembed_hash")?.value
    self.init(
      model: model, translators: translators,
      training: Training(
        method: "imported", options: JSONObject(),
        data: JSONObject([
          ("format", "tuned-lens"), ("sha256", .string(digest.finalize().description)),
          ("base_model", name ?? .null), ("unembed_hash", hash ?? .null),
        ])))
  }

  private static func read(
    _ name: String, _ shape: [Int], from file: PyTorchFile, _ digest: inout SHA256
  ) throws(Refusal) -> Tensor {
    guard let entry = file.tensor(named: name), entry.shape == shape else {
      throw Refusal(
        .foreignLayout, file: file.path, at: .tensor(name),
        found: file.tensor(named: name).map { "\($0.shape)" } ?? "no such tensor",
        expected: "\(shape)")
    }
    let bytes = try file.bytes(of: entry)
    digest.update(bytes[...])
    let stored = unsafe bytes.withUnsafeBytes {
      unsafe Tensor(copying: $0, dataType: entry.dataType, shape: shape)
    }
    guard let value = stored?.converted(to: .f32) else {
      throw Refusal(
        .modelDataType, file: file.path, at: .tensor(name), found: entry.dataType.rawValue,
        expected: "F32, BF16, F16 or F64")
    }
    return value
  }

  // MARK: Out

  /// Writes a folder as the tuned-lens package loads it; `config.json` comes last, so that a folder that
  /// has it is complete.
  ///
  /// The package's `unembed_hash` is a hash of the printed unembedding. It is left out, and the
  /// model's identity is recorded instead.
  ///
  /// - Throws: `export.inexpressible` for a lens without a translator of the embedding and of every
  ///   block's output except the last; `file.*`, `disk.*`.
  public func writeTunedLens(to folder: String, replacing: Bool = false) throws(Refusal) {
    var writer = PyTorchWriter()
    let sites = Self.tunedLensSites(model)
    for (index, site) in sites.enumerated() {
      guard let translator = translator(site.name) else {
        throw Refusal(
          .exportInexpressible, file: file, at: .tensor(site.name), found: "no translator",
          expected: "one for the embedding and for the output of every block except the last")
      }
      writer.add("\(index).weight", translator.weight)
      writer.add("\(index).bias", translator.bias)
    }
    let known = Set(sites.map(\.name))
    for (site, translator) in translators where !known.contains(site.name) {
      // The logit lens, as in the package.
      if translator == Translator(identity: model.width) { continue }
      throw Refusal(
        .exportInexpressible, file: file, at: .tensor(site.name), found: "a translator",
        expected: "no translator: the package reads the last block's output without one")
    }
    let config: JSONValue = [
      Self.identityKey: .string(model.identity.description),
      "base_model_name_or_path": .string(model.architecture),
      "d_model": .integer(Int64(model.width)),
      "num_hidden_layers": .integer(Int64(model.layerCount)), "bias": true,
      "base_model_revision": .null, "unembed_hash": .null, "lens_type": .string(Self.kind),
    ]
    guard unsafe mkdir(folder, 0o777) == 0 || CheckpointSource.isFolder(folder) else {
      throw Refusal(
        .fileCreate, file: folder, found: unsafe String(cString: strerror(errno)),
        expected: "a folder, or a path for a new one")
    }
    let configuration = "\(folder)/\(Self.configurationName)"
    _ = try FilePublisher(configuration, replacing: replacing)
    try writer.publish(to: "\(folder)/\(Self.parametersName)", replacing: replacing)
    try FilePublisher.publish(config.canonicalBytes, to: configuration, replacing: replacing)
  }
}
