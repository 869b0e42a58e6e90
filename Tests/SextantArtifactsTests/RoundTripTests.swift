import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct RoundTripTests {
  private let folder = TemporaryFolder()

  private func read(_ bytes: [UInt8]) throws -> Artifact {
    try Artifact(reading: folder.write(bytes, to: "a.safetensors"))
  }

  @Test(arguments: Samples.names)
  func whatIsReadIsWhatWasWrittenAndWritesTheSameBytes(name: String) throws {
    let artifact = Samples.named(name)
    let path = folder.path("a.safetensors")
    try artifact.write(to: path)
    let found = try Artifact(reading: path)
    #expect(found == artifact)
    #expect(found.file == path)
    let bytes = try InputFile(path).readAll(limit: 1 << 20)
    #expect(try artifact.bytes() == bytes)
    #expect(try found.bytes() == bytes)
    try found.write(to: path, replacing: true)
    #expect(try InputFile(path).readAll(limit: 1 << 20) == bytes)
  }

  @Test(arguments: Samples.names)
  func unknownOptionalMembersAreKept(name: String) throws {
    var raw = try RawArtifact(Samples.named(name))
    raw.set("/a_note", to: ["nested": [1, 2.5, "é\n\u{1}"], "none": .null, "yes": true])
    let bytes = raw.file()
    let found = try read(bytes)
    #expect(found.manifest.details["a_note"] != nil)
    #expect(try RawArtifact(found).manifest == raw.manifest)
    #expect(try read(found.bytes()) == found)
  }

  @Test(arguments: Samples.names)
  func theOrderInTheFileDoesNotMatter(name: String) throws {
    let artifact = Samples.named(name)
    var raw = try RawArtifact(artifact)
    raw.tensors.reverse()
    let found = try read(raw.file())
    #expect(found == artifact)
    #expect(try found.bytes() == artifact.bytes())
    let reordered = Artifact(
      manifest: artifact.manifest, tensors: artifact.tensors.reversed())
    #expect(reordered == artifact)
    #expect(try reordered.bytes() == artifact.bytes())
  }

  @Test func otherProgramsAreNamedAsTheyNameThemselves() throws {
    var raw = try RawArtifact(Samples.steering)
    raw.set("/tool", to: ["name": "a script", "version": "2024-11"])
    let found = try read(raw.file())
    #expect(found.manifest.tool == Manifest.Tool(name: "a script", version: "2024-11"))
    #expect(try RawArtifact(found).manifest == raw.manifest)
  }

  @Test func tensorsAreFoundByTheBytesOfTheirNames() {
    let artifact = Artifact(
      manifest: Samples.steering.manifest,
      tensors: ["b", "a", "\u{E9}", "e\u{301}", ""].map { ($0, Tensor([1], shape: [1])) })
    #expect(artifact.tensors.map(\.name.utf8.count) == [0, 1, 1, 3, 2])
    for name in ["b", "a", "\u{E9}", "e\u{301}", ""] { #expect(artifact.tensor(name) != nil) }
    for name in ["c", "B", "aa", "e"] { #expect(artifact.tensor(name) == nil) }
  }

  @Test func aSteeringVectorIsReadBackAsItWas() throws {
    let artifact = try read(Samples.steering.bytes())
    let vector = try SteeringVector(artifact)
    #expect(vector.model == Samples.model)
    #expect(vector.vectors.map(\.site) == [Samples.residual, Samples.state])
    #expect(
      vector.vectors.map(\.value)
        == Samples.steering.manifest.sites.map {
          Samples.steering.tensor($0.name)
        })
    #expect(vector.operation == .add)
    #expect(vector.positions == .fromLast)
    #expect(vector.training.method == "mean" && vector.training.positions == .last)
    #expect(vector.training.data["pairs"] == 2 && vector.training.seed == nil)
    #expect(vector.file == artifact.file)
    #expect(vector.artifact == artifact)
    let seeded = SteeringVector(
      model: vector.model, vectors: vector.vectors,
      training: .init(method: "pca", positions: .last, data: JSONObject(), seed: 7),
      statistics: JSONObject())
    #expect(try SteeringVector(read(seeded.artifact.bytes())).training.seed == 7)
  }

  @Test func aStateIsReadBackAsItWas() throws {
    let saved = try SavedState(read(Samples.saved.bytes()))
    #expect(saved.batch == 2 && saved.position == 17 && saved.model == Samples.model)
    #expect(saved.components.map(\.site) == [Samples.state])
    #expect(saved.components.first?.value == Samples.saved.tensor(Samples.state.name))
    #expect(try SavedState(saved.artifact).artifact == Samples.saved)
  }

  @Test func aCaptureKeepsValuesThatAreNotFinite() throws {
    let values = Tensor(
      [.nan, .infinity, -0.0, 1] + [Float](repeating: 2, count: 8), shape: [3, 4])
    let artifact = Artifact(
      manifest: Samples.capture.manifest,
      tensors: Samples.capture.tensors.map {
        ($0.name, $0.name == "blocks.1.output" ? values : $0.value)
      })
    #expect(try read(artifact.bytes()) == artifact)
  }

  @Test func anArtifactIsToldFromOtherFiles() throws {
    let path = folder.path("a.safetensors")
    try Samples.steering.write(to: path)
    #expect(Artifact.isArtifact(try SafetensorsFile(path, stringLimit: Artifact.manifestLimit)))
    let other = folder.write(
      RawSafetensors.file([("w", "F32", [1], [0, 0, 0, 0])]), to: "b.safetensors")
    #expect(!Artifact.isArtifact(try SafetensorsFile(other)))
    expectRefusal(.artifactFormat) { try Artifact(reading: other) }
  }
}
