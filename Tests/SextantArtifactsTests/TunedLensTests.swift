import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Import and export of folders of the tuned-lens package.
@Suite struct TunedLensTests {
  private let folder = TemporaryFolder()

  private static let model = ModelReference(
    architecture: "mamba", identity: SHA256.digest(Array("model".utf8)), weights: "source",
    width: 2,
    layerCount: 3, tokenizer: nil)

  private func translator(_ number: Int) -> Translator {
    Translator(
      weight: Tensor([Float(number), 1, -1, 0.5], shape: [2, 2]),
      bias: Tensor([Float(number), -2], shape: [2]))
  }

  private func lens(_ sites: [String]) -> Lens {
    Lens(
      model: Self.model,
      translators: sites.enumerated().map { number, name in
        (SiteReference(name: name, shape: [2], axes: ["channel"]), translator(number))
      }, training: .init(method: "tuned", options: JSONObject(), data: JSONObject()))
  }

  private static let sites = ["embedding", "blocks.0.output", "blocks.1.output"]

  @Test func aLensComesBackAsItWas() throws {
    let path = folder.path("lens")
    try lens(Self.sites).writeTunedLens(to: path)
    #expect(Lens.isTunedLens(path) && !Lens.isTunedLens(folder.path))
    let back = try Lens(tunedLens: path, for: Self.model)
    #expect(back.translators.map(\.site.name) == Self.sites)
    for number in 0..<3 { #expect(back.translators[number].translator == translator(number)) }
    #expect(back.training.method == "imported")
    try back.artifact.write(to: folder.path("l.lens.safetensors"))
    _ = try Lens(reading: folder.path("l.lens.safetensors"))
  }

  @Test func aFolderOfAnotherModelIsRefused() throws {
    let path = folder.path("lens")
    try lens(Self.sites).writeTunedLens(to: path)
    var other = Self.model
    other.identity = SHA256.digest([99])
    let refusal = expectRefusal(.artifactModelDigest) { try Lens(tunedLens: path, for: other) }
    #expect(refusal?.place == .pointer("/sextant_model"))
    #expect(try Lens(tunedLens: path, for: other, allowsModelMismatch: true).model == other)
  }

  /// The package's translator i reads the input of block i.
  @Test func numbersCountFromTheEmbedding() throws {
    let path = folder.path("lens")
    try lens(Self.sites).writeTunedLens(to: path)
    let file = try PyTorchFile("\(path)/params.pt")
    #expect(
      file.tensors.map(\.name)
        == ["0.bias", "0.weight", "1.bias", "1.weight", "2.bias", "2.weight"])
    let weight = try #require(file.tensor(named: "1.weight"))
    #expect(
      try file.bytes(of: weight) == translator(1).weight.withUnsafeBytes { Array($0) })
    let config = try JSONNode(
      parsing: InputFile("\(path)/config.json").readAll(limit: 1 << 16), code: .jsonInvalid,
      file: path)
    #expect(try config.member("d_model").integer() == 2)
    #expect(try config.member("num_hidden_layers").integer() == 3)
    #expect(try config.member("lens_type").string() == "linear_tuned_lens")
  }

  @Test func lensesThatThePackageCannotHoldAreRefused() throws {
    func refuse(_ lens: Lens) {
      expectRefusal(.exportInexpressible) { try lens.writeTunedLens(to: folder.path("no")) }
    }
    refuse(lens(["blocks.0.output", "blocks.1.output"]))
    refuse(lens(["embedding", "blocks.1.output"]))
    refuse(lens(Self.sites + ["blocks.2.output"]))
    // The package has a last translator that changes nothing.
    let last = Lens(
      model: Self.model,
      translators: lens(Self.sites).translators + [
        (
          SiteReference(name: "blocks.2.output", shape: [2], axes: ["channel"]),
          Translator(identity: 2)
        )
      ], training: .init(method: "ridge", options: JSONObject(), data: JSONObject()))
    try last.writeTunedLens(to: folder.path("yes"))
    expectRefusal(.fileExists) { try last.writeTunedLens(to: folder.path("yes")) }
    try last.writeTunedLens(to: folder.path("yes"), replacing: true)
  }

  @Test(arguments: [
    (#"{"d_model":3,"num_hidden_layers":3}"#, Refusal.Code.artifactWidth),
    (#"{"d_model":2,"num_hidden_layers":4}"#, .foreignLayer),
    (#"{"d_model":2}"#, .foreignLayout),
    (#"{"d_model":2,"num_hidden_layers":3,"lens_type":"mlp"}"#, .foreignLayout),
    (#"{"d_model":2,"num_hidden_layers":3,"bias":false}"#, .foreignLayout),
  ])
  func foldersThatDoNotFitAreRefused(config: String, code: Refusal.Code) throws {
    let path = folder.path("lens")
    try lens(Self.sites).writeTunedLens(to: path)
    folder.write(config, to: "lens/config.json")
    expectRefusal(code) { try Lens(tunedLens: path, for: Self.model) }
  }

  @Test func aLensWithoutBiasesReadsWithZeros() throws {
    folder.makeFolder("lens")
    folder.write(#"{"d_model":2,"num_hidden_layers":3,"bias":false}"#, to: "lens/config.json")
    var writer = PyTorchWriter()
    for number in 0..<3 { writer.add("\(number).weight", translator(number).weight) }
    try writer.publish(to: folder.path("lens/params.pt"))
    let back = try Lens(tunedLens: folder.path("lens"), for: Self.model)
    #expect(back.translators[2].translator.bias == Tensor(zeros: [2]))
  }
}
