import SextantBytes
import SextantStore

extension ModelReference {
  init(_ node: JSONNode) throws(Refusal) {
    try node.allowOnly(["architecture", "identity", "layers", "tokenizer", "weights", "width"])
    self.init(
      architecture: try node.member("architecture").string(),
      identity: try node.member("identity").digest(),
      weights: try node.member("weights").string(),
      width: try node.member("width").integer(in: 1...(1 << 24)),
      layerCount: try node.member("layers").integer(in: 1...1000),
      tokenizer: try node.optionalMember("tokenizer")?.digest())
    guard !architecture.isEmpty, !weights.isEmpty else {
      throw node.refusal(found: "an empty name", expected: "architecture and weights")
    }
  }

  /// The reference as manifests spell it.
  package var json: JSONValue {
    .object(
      JSONObject([
        ("architecture", .string(architecture)), ("identity", .string(identity.description)),
        ("weights", .string(weights)), ("width", .integer(Int64(width))),
        ("layers", .integer(Int64(layerCount))),
        ("tokenizer", tokenizer.map { .string($0.description) } ?? .null),
      ]))
  }

  /// The architecture and the number of blocks, for people.
  private var form: String { "\(architecture), \(counted(layerCount, "block"))" }

  /// Refuses a model that is not the one recorded.
  ///
  /// - Parameters:
  ///   - model: the model to use the artifact with.
  ///   - allowingOther: accept another model or tokenizer of the same width and depth.
  ///   - file: the artifact's path.
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width`.
  package func check(
    against model: ModelReference, allowingOther: Bool, file: String?
  ) throws(Refusal) {
    guard width == model.width, layerCount == model.layerCount else {
      throw Refusal(
        .artifactWidth, file: file, at: .pointer("/model"),
        found: "a width of \(model.width) (\(model.form))", expected: "\(width) (\(form))")
    }
    if allowingOther { return }
    guard identity == model.identity else {
      throw Refusal(
        .artifactModelDigest, file: file, at: .pointer("/model/identity"),
        found: "model \(model.identity) (\(model.form))",
        expected: "model \(identity) (\(form))")
    }
    guard tokenizer == nil || model.tokenizer == nil || tokenizer == model.tokenizer else {
      throw Refusal(
        .artifactTokenizerDigest, file: file, at: .pointer("/model/tokenizer"),
        found: model.tokenizer?.description ?? "none",
        expected: tokenizer?.description ?? "none")
    }
  }
}

extension ModelReference {
  /// Refuses a model whose weights are stored in another type than those that the artifact was made
  /// from: what is computed from the two differs.
  ///
  /// - Throws: `artifact.model-digest`.
  package func checkWeights(of model: ModelReference, file: String?) throws(Refusal) {
    guard weights == model.weights else {
      throw Refusal(
        .artifactModelDigest, file: file, at: .pointer("/model/weights"),
        found: "weights stored as \(model.weights)", expected: "weights stored as \(weights)",
        remedy: "Use the file of the model that it was made with.")
    }
  }
}

extension ModelReference {
  /// Refuses a file of another tool's format that records the identity of another model, as Sextant's
  /// exports do. Other tools may use the same field for something else, which is passed over.
  ///
  /// - Throws: `artifact.model-digest`.
  func check(
    recorded text: String?, allowingOther: Bool, file: String, at place: Refusal.Place? = nil
  ) throws(Refusal) {
    guard !allowingOther, let recorded = text.flatMap({ Digest(hexadecimal: $0) }),
      recorded != identity
    else { return }
    throw Refusal(
      .artifactModelDigest, file: file, at: place, found: "model \(identity)",
      expected: "model \(recorded), as the file records")
  }
}

extension JSONNode {
  /// The value as a digest.
  func digest() throws(Refusal) -> Digest {
    guard let digest = Digest(hexadecimal: try string()) else {
      throw refusal(expected: "64 lower-case hexadecimal digits")
    }
    return digest
  }
}
