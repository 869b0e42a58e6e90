import Glibc
import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Import and export of control vectors of llama.cpp and related tools.
@Suite struct ControlVectorTests {
  private let folder = TemporaryFolder()

  private static let model = ModelReference(
    architecture: "mamba", identity: SHA256.digest(Array("model".utf8)), weights: "source",
    width: 4,
    layerCount: 5, tokenizer: nil)

  private func direction(_ block: Int) -> Tensor {
    Tensor([Float(block), 1, -2, 0.5], shape: [4])
  }

  private func vector(
    _ blocks: [Int], operation: SteeringVector.Operation = .add, extra: SiteReference? = nil
  ) -> SteeringVector {
    var vectors = blocks.map { block in
      (
        site: SiteReference(name: "blocks.\(block).output", shape: [4], axes: ["channel"]),
        value: direction(block)
      )
    }
    if let extra { vectors.append((extra, Tensor(zeros: extra.shape))) }
    return SteeringVector(
      model: Self.model, vectors: vectors, operation: operation,
      training: .init(method: "mean", positions: .last, data: JSONObject([("sha256", "0")])),
      statistics: JSONObject())
  }

  /// A file in the form of another tool.
  private func file(
    _ directions: [Int], values: [(String, GGUFNewValue)] = [], width: Int = 4
  ) throws -> String {
    var writer = GGUFWriter()
    writer.set("general.architecture", .string("controlvector"))
    for (key, value) in values { writer.set(key, value) }
    for number in directions {
      try writer.add(
        "direction.\(number)",
        Tensor((0..<width).map { Float(number * 10 + $0) }, shape: [width]))
    }
    let path = folder.path("\(directions)-\(values.count)-\(width).gguf")
    try writer.publish(to: path, replacing: true)
    return path
  }

  // MARK: Out

  @Test func aVectorComesBackFromGGUFAsItWas() throws {
    let path = folder.path("v.gguf")
    try vector([1, 2, 4]).writeControlVector(to: path, modelHint: "mamba")
    let back = try ControlVectorFile(reading: path)
      .steeringVector(for: Self.model, convention: nil)
    #expect(
      back.vectors.map(\.site.name) == ["blocks.1.output", "blocks.2.output", "blocks.4.output"])
    for (block, (_, value)) in zip([1, 2, 4], back.vectors) { #expect(value == direction(block)) }
    #expect(back.operation == .add && back.positions == PositionSelection([.all]))
    #expect(back.training.method == "mean")
    // The artifact is valid.
    try back.artifact.write(to: folder.path("v.steer.safetensors"))
    _ = try SteeringVector(reading: folder.path("v.steer.safetensors"))
  }

  /// An exported file records its model. Other tools may put any text into the same field.
  @Test func aFileOfAnotherModelIsRefused() throws {
    let path = folder.path("v.gguf")
    try vector([1, 2, 4]).writeControlVector(to: path, modelHint: "mamba")
    var other = Self.model
    other.identity = SHA256.digest([99])
    let file = try ControlVectorFile(reading: path)
    expectRefusal(.artifactModelDigest) { try file.steeringVector(for: other, convention: nil) }
    let taken = try file.steeringVector(for: other, convention: nil, allowsModelMismatch: true)
    #expect(taken.model == other)
    let free = try self.file([1], values: [("general.base_model.0.version", .string("v0.1"))])
    _ = try ControlVectorFile(reading: free).steeringVector(for: other, convention: .repeng)
  }

  @Test func theMetadataIsWhatOtherToolsAskFor() throws {
    let path = folder.path("v.gguf")
    try vector([1, 3]).writeControlVector(to: path, modelHint: "mamba")
    let file = try GGUFFile(path)
    #expect(file.values["general.architecture"] == .string("controlvector"))
    #expect(file.values["controlvector.model_hint"] == .string("mamba"))
    #expect(file.values["controlvector.layer_count"] == .integer(2))
    #expect(file.values["glp.mode"] == .string("add"))
    #expect(file.values["glp.hook_point"] == .string("residual_stream_post_layer"))
    #expect(
      file.values["general.base_model.0.version"] == .string(Self.model.identity.description))
    // llama.cpp rejects a file with any other tensor.
    #expect(file.tensors.map(\.name) == ["direction.1", "direction.3"])
    let bytes = try file.tensors.flatMap { try file.bytes(of: $0) }
    #expect(file.values["glp.content_sha256"] == .string(SHA256.digest(bytes).description))
  }

  @Test func theSameVectorGivesTheSameBytes() throws {
    for name in ["a.gguf", "b.gguf"] {
      try vector([2, 1]).writeControlVector(to: folder.path(name), modelHint: "mamba")
    }
    let files = try ["a.gguf", "b.gguf"].map {
      try InputFile(folder.path($0)).readAll(limit: 1 << 20)
    }
    #expect(files[0] == files[1])
  }

  @Test func whatLlamaCppCannotExpressIsRefused() {
    func refuse(_ vector: SteeringVector, blocks: LayerSelection? = nil) -> Refusal? {
      expectRefusal(.exportInexpressible) {
        try vector.writeControlVector(
          to: folder.path("no.gguf"), blocks: blocks, modelHint: "mamba")
      }
    }
    #expect(refuse(vector([0, 1]))?.remedy.contains("`layers` 1-4") == true)
    #expect(refuse(vector([1], operation: .project))?.found.contains("project") == true)
    #expect(refuse(vector([1], operation: .addPreservingNorm)) != nil)
    let state = SiteReference(name: "blocks.1.state.ssm", shape: [2], axes: ["state"])
    #expect(refuse(vector([1], extra: state))?.place == .tensor("blocks.1.state.ssm"))
    let part = SiteReference(name: "blocks.1.mixer", shape: [4], axes: ["channel"])
    #expect(refuse(vector([1], extra: part)) != nil)
    #expect(
      refuse(vector([1, 2]), blocks: LayerSelection(3...4))?.found.contains("no vector") == true)
    #expect(access(folder.path("no.gguf"), F_OK) != 0)
  }

  @Test func blockZeroCanBeLeftOut() throws {
    try vector([0, 1, 2]).writeControlVector(
      to: folder.path("v.gguf"), blocks: LayerSelection(1...4), modelHint: "mamba")
    #expect(try GGUFFile(folder.path("v.gguf")).tensors.count == 2)
  }

  // MARK: In

  @Test(arguments: [
    (LayerConvention.repeng, [1, 2, 4]), (.llamaApply, [1, 2, 4]), (.glp, [1, 2, 4]),
    (.llamaGenerator, [0, 1, 3]), (.jukofyork, [0, 1, 3]),
  ])
  func numbersLandOnTheBlocksOfTheirTool(convention: LayerConvention, blocks: [Int]) throws {
    let vector = try ControlVectorFile(reading: file([1, 2, 4]))
      .steeringVector(for: Self.model, convention: convention)
    #expect(vector.vectors.map(\.site.name) == blocks.map { "blocks.\($0).output" })
    #expect(vector.vectors.map { $0.value.values[0] } == [10, 20, 40])
    #expect(vector.training.data["layer_convention"] == .string(convention.rawValue))
  }

  /// The files of the two generators contain the same direction of one block under different
  /// numbers.
  @Test func filesOfTwoToolsOfTheSameDirectionLandOnTheSameBlock() throws {
    let repeng = try ControlVectorFile(
      reading: file([2], values: [("controlvector.model_hint", .string("mamba"))]))
    let generator = try ControlVectorFile(
      reading: file([3], values: [("controlvector.layer_count", .int32(4))]))
    let sites = [
      try repeng.steeringVector(for: Self.model, convention: .repeng),
      try generator.steeringVector(for: Self.model, convention: .llamaGenerator),
    ].map { $0.vectors.map(\.site.name) }
    #expect(sites == [["blocks.2.output"], ["blocks.2.output"]])
  }

  @Test func aFileThatDoesNotSayItsConventionIsRefused() throws {
    let path = try file([1, 2])
    let refusal = expectRefusal(.foreignConvention) {
      try ControlVectorFile(reading: path).steeringVector(for: Self.model, convention: nil)
    }
    #expect(refusal?.file == path)
  }

  @Test func gLPSaysItsConventionAndOperation() throws {
    let values: [(String, GGUFNewValue)] = [
      ("glp.mode", .string("project")), ("glp.spec_version", .uint32(1)),
    ]
    let vector = try ControlVectorFile(reading: file([3], values: values))
      .steeringVector(for: Self.model, convention: nil)
    #expect(vector.operation == .project)
    #expect(vector.vectors.map(\.site.name) == ["blocks.3.output"])
  }

  @Test(arguments: [
    ("glp.mode", GGUFNewValue.string("rotate")), ("glp.spec_version", .uint32(9)),
    ("glp.rank", .uint32(2)), ("glp.hook_point", .string("ffn_out_pre_residual")),
    ("glp.layer_scales", .string("1:2")), ("glp.layer_ids_zero_based", .boolean(false)),
  ])
  func gLPThatWouldBeMisreadIsRefused(key: String, value: GGUFNewValue) throws {
    let path = try file([1], values: [(key, value)])
    expectRefusal(.foreignOperation) { try ControlVectorFile(reading: path) }
  }

  @Test func layersAndWidthsThatTheModelDoesNotHaveAreRefused() throws {
    func refuse(_ code: Refusal.Code, _ path: String, _ convention: LayerConvention) {
      expectRefusal(code) {
        try ControlVectorFile(reading: path).steeringVector(for: Self.model, convention: convention)
      }
    }
    refuse(.foreignLayer, try file([5]), .repeng)
    refuse(.foreignLayer, try file([6]), .llamaGenerator)
    refuse(.foreignLayer, try file([0]), .llamaGenerator)
    refuse(.artifactWidth, try file([1], width: 3), .repeng)
    let block = try ControlVectorFile(reading: file([5]))
      .steeringVector(for: Self.model, convention: .llamaGenerator)
    #expect(block.vectors.map(\.site.name) == ["blocks.4.output"])
  }

  @Test(arguments: ["direction.1.0", "direction.x", "direction.01", "token_embd.weight"])
  func tensorsThatLlamaCppWouldMisreadAreRefused(name: String) throws {
    var writer = GGUFWriter()
    try writer.add(name, Tensor([1, 2, 3, 4], shape: [4]))
    let path = folder.path("bad.gguf")
    try writer.publish(to: path, replacing: true)
    expectRefusal(.foreignLayout) { try ControlVectorFile(reading: path) }
  }

  @Test func directionsOfOtherShapesAreRefused() throws {
    for (a, b) in [([4], [3]), ([2, 2], [4])] {
      var writer = GGUFWriter()
      try writer.add("direction.1", Tensor(zeros: a))
      try writer.add("direction.2", Tensor(zeros: b))
      let path = folder.path("bad.gguf")
      try writer.publish(to: path, replacing: true)
      expectRefusal(.foreignLayout) { try ControlVectorFile(reading: path) }
    }
  }

  // MARK: Bare vectors

  @Test func aBareVectorIsReadFromEveryContainer() throws {
    let value = direction(3)
    var torch = PyTorchWriter()
    torch.add("v", value)
    try torch.publish(to: folder.path("v.pt"))
    var numpy = NumPyWriter()
    numpy.add("v", value.reshaped([1, 4]))
    try numpy.publish(to: folder.path("v.npz"))
    var safetensors = SafetensorsWriter()
    safetensors.add("v", value)
    try safetensors.publish(to: folder.path("v.safetensors"))
    for name in ["v.pt", "v.npz", "v.safetensors"] {
      let vector = try SteeringVector(bareVector: folder.path(name), block: 3, for: Self.model)
      #expect(vector.vectors.map(\.site.name) == ["blocks.3.output"])
      #expect(vector.vectors.first?.value == value)
      expectRefusal(.foreignLayer) {
        try SteeringVector(bareVector: folder.path(name), block: 5, for: Self.model)
      }
    }
    numpy.add("w", value)
    try numpy.publish(to: folder.path("two.npz"))
    expectRefusal(.foreignLayout) {
      try SteeringVector(bareVector: folder.path("two.npz"), block: 0, for: Self.model)
    }
  }

  @Test func tensorsOfAnArtifactAreWrittenForOtherPrograms() throws {
    let artifact = vector([0, 2]).artifact
    for name in ["t.npz", "t.pt"] {
      #expect(try artifact.writeTensors(to: folder.path(name)) == 2)
      let file = try CheckpointSource.open(folder.path(name)).checkpoint
      #expect(file.tensors.map(\.name) == ["blocks.0.output", "blocks.2.output"])
      let bytes = try file.bytes(of: file.tensors[1])
      #expect(direction(2).withUnsafeBytes { Array($0) } == bytes)
    }
  }
}
