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
        found:
          "a \(model.architecture) of width \(model.width) with \(counted(model.layerCount, "block"))",
        expected: "a \(architecture) of width \(width) with \(counted(layerCount, "block"))")
    }
    if allowingOther { return }
    guard identity == model.identity else {
      throw Refusal(
        .artifactModelDigest, file: file, at: .pointer("/model/identity"),
        found: "model \(model.identity)", expected: "model \(identity)")
    }
    guard tokenizer == nil || model.tokenizer == nil || tokenizer == model.tokenizer else {
      throw Refusal(
        .artifactTokenizerDigest, file: file, at: .pointer("/model/tokenizer"),
        found: model.tokenizer?.description ?? "none",
        expected: tokenizer?.description ?? "none")
    }
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
