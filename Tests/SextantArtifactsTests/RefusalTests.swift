import SextantArtifacts
import SextantBytes
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// A change to a manifest, and the refusal that must follow.
struct BadManifest: Sendable, CustomTestStringConvertible {
  var sample: String
  var pointer: String
  var value: JSONValue?
  var code: Refusal.Code
  var place: Refusal.Place?
  /// Whether the kind's JSON schema refuses it, too. A schema cannot compare a member with tensors
  /// or with other members.
  var isInSchema: Bool

  init(
    in sample: String = "steering", _ pointer: String, _ value: JSONValue?,
    _ code: Refusal.Code, at place: Refusal.Place? = nil, inSchema: Bool = true
  ) {
    self.sample = sample
    self.pointer = pointer
    self.value = value
    self.code = code
    self.place = place ?? .pointer(pointer)
    isInSchema = inSchema
  }

  var testDescription: String { "\(sample) \(pointer) = \(value?.canonicalText ?? "absent")" }

  static let root = Refusal.Place.pointer("")
  static let tensor = Refusal.Place.tensor("blocks.1.output")

  static let common = [
    BadManifest("/format", "sextant-model", .artifactFormat),
    BadManifest("/format", nil, .artifactSchema, at: root),
    BadManifest("/format", 3, .artifactSchema),
    BadManifest("/version", 2, .artifactVersion), BadManifest("/version", 0, .artifactVersion),
    BadManifest("/version", 1.0, .artifactSchema), BadManifest("/version", "1", .artifactSchema),
    BadManifest("/version", nil, .artifactSchema, at: root),
    BadManifest("/kind", "banana", .artifactKind), BadManifest("/kind", "", .artifactKind),
    BadManifest("/kind", nil, .artifactSchema, at: root),
    BadManifest("/kind", "state", .artifactVersion, at: .pointer("/kind_version")),
    BadManifest("/kind_version", 1, .artifactVersion),
    BadManifest("/kind_version", 3, .artifactVersion),
    BadManifest("/kind_version", .null, .artifactSchema, at: root),
    BadManifest("/requires", ["fancy"], .artifactRequiredFeature, at: .pointer("/requires/0")),
    BadManifest("/requires", [1], .artifactSchema, at: .pointer("/requires/0")),
    BadManifest("/requires", "fancy", .artifactSchema),
    BadManifest("/requires", nil, .artifactSchema, at: root),
    BadManifest("/model", nil, .artifactSchema, at: root),
    BadManifest("/model/architecture", "", .artifactSchema, at: .pointer("/model")),
    BadManifest("/model/weights", "", .artifactSchema, at: .pointer("/model")),
    BadManifest("/model/identity", "abc", .artifactSchema),
    BadManifest("/model/identity", .string(String(repeating: "A", count: 64)), .artifactSchema),
    BadManifest("/model/width", 0, .artifactSchema),
    BadManifest("/model/width", -4, .artifactSchema),
    BadManifest("/model/width", 4.5, .artifactSchema),
    BadManifest("/model/width", 16_777_217, .artifactSchema),
    BadManifest("/model/layers", 0, .artifactSchema),
    BadManifest("/model/layers", 1001, .artifactSchema),
    BadManifest("/model/layers", nil, .artifactSchema, at: .pointer("/model")),
    BadManifest("/model/tokenizer", "gpt-neox", .artifactSchema),
    BadManifest("/model/tokenizer", nil, .artifactSchema, at: root),
    BadManifest("/model/extra", 1, .artifactSchema, at: .pointer("/model")),
    BadManifest("/tool", nil, .artifactProvenance, at: root),
    BadManifest("/tool/version", nil, .artifactProvenance, at: .pointer("/tool")),
    BadManifest("/tool/version", "", .artifactProvenance),
    BadManifest("/tool/name", "", .artifactProvenance),
    BadManifest("/tool/name", 1, .artifactSchema),
    BadManifest("/tool/host", "x", .artifactSchema, at: .pointer("/tool")),
  ]

  static let sites = [
    BadManifest("/sites", nil, .artifactSchema, at: root),
    BadManifest("/sites", "blocks.1.output", .artifactSchema),
    BadManifest("/sites", [], .artifactEmpty),
    BadManifest("/sites/0", "blocks.1.output", .artifactSchema),
    BadManifest(
      "/sites/0/name", "blocks.3.output", .artifactSite, at: .pointer("/sites/0"), inSchema: false),
    BadManifest("/sites/0/name", "blocks.01.output", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "blocks.-1.output", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "blocks.1.state", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "blocks.1.", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "blocks.1.output.x", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "layers.1.output", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "hidden", .artifactSite, at: .pointer("/sites/0")),
    BadManifest("/sites/0/name", "", .artifactSite, at: .pointer("/sites/0")),
    BadManifest(
      "/sites/0/name", "blocks.2.state.ssm", .artifactSite, at: .pointer("/sites/1"),
      inSchema: false),
    BadManifest("/sites/0/shape", [5], .artifactWidth, at: .pointer("/sites/0"), inSchema: false),
    BadManifest(
      "/sites/0/shape", [2, 2], .artifactSchema, at: .pointer("/sites/0"), inSchema: false),
    BadManifest("/sites/0/shape", [0], .artifactSchema, at: .pointer("/sites/0/shape/0")),
    BadManifest("/sites/0/shape", [], .artifactSchema, at: .pointer("/sites/0")),
    BadManifest(
      "/sites/1/shape", [4_294_967_296, 4_294_967_296], .artifactSchema, at: .pointer("/sites/1"),
      inSchema: false),
    BadManifest("/sites/0/axes", [], .artifactSchema, at: .pointer("/sites/0")),
    BadManifest("/sites/0/axes", nil, .artifactSchema, at: .pointer("/sites/0")),
    BadManifest("/sites/0/layer", 1, .artifactSchema, at: .pointer("/sites/0")),
    BadManifest(
      "/sites/1/shape", [3, 2], .artifactSchema, at: .tensor("blocks.2.state.ssm"), inSchema: false),
  ]

  static let digest = JSONValue.string(String(repeating: "0", count: 64))

  static let tensors = [
    BadManifest("/tensors", nil, .artifactSchema, at: root),
    BadManifest("/tensors", [], .artifactSchema),
    BadManifest("/tensors/blocks.1.output", "0", .artifactSchema),
    BadManifest("/tensors/blocks.1.output", digest, .artifactDigest, at: tensor, inSchema: false),
    BadManifest("/tensors/blocks.1.output", nil, .artifactTensorExtra, at: tensor, inSchema: false),
    BadManifest(
      "/tensors/ghost", digest, .artifactTensorMissing, at: .tensor("ghost"), inSchema: false),
  ]

  static let steering = [
    BadManifest("/operation", nil, .artifactSchema, at: root),
    BadManifest("/operation", "multiply", .artifactSchema),
    BadManifest("/operation", "affine", .artifactSchema, at: root, inSchema: false),
    BadManifest("/targets", [], .artifactSchema),
    BadManifest("/dose", "3", .artifactSchema),
    BadManifest(in: "dosed", "/dose/layers", nil, .artifactSchema, at: .pointer("/dose")),
    BadManifest(in: "dosed", "/dose/layers", "2-", .artifactSchema),
    BadManifest(in: "dosed", "/dose/layers", "2-1", .artifactSchema, inSchema: false),
    BadManifest(in: "dosed", "/dose/sites", 3, .artifactSchema),
    BadManifest(in: "dosed", "/dose/strength", "1", .artifactSchema),
    BadManifest(in: "dosed", "/dose/strength", 0, .artifactSchema, inSchema: false),
    BadManifest(in: "dosed", "/dose/strength", 1e300, .artifactSchema, inSchema: false),
    BadManifest(in: "dosed", "/dose/strength", 0.1, .artifactSchema, inSchema: false),
    BadManifest(in: "dosed", "/dose/search", [1], .artifactSchema),
    BadManifest(
      "/targets", ["blocks.1.output": [1.0]], .artifactSchema,
      at: .pointer("/targets/blocks.1.output")),
    BadManifest(
      "/targets", ["blocks.0.output": [1.0, 2.0]], .artifactSchema,
      at: .pointer("/targets/blocks.0.output"), inSchema: false),
    BadManifest("/positions", "3:1", .artifactSchema, inSchema: false),
    BadManifest("/positions", "every-0", .artifactSchema),
    BadManifest("/method/parameters", 1, .artifactSchema),
    BadManifest("/positions", nil, .artifactSchema, at: root),
    BadManifest("/positions", "sometimes", .artifactSchema),
    BadManifest("/positions", "", .artifactSchema),
    BadManifest("/positions", "+1", .artifactSchema),
    BadManifest("/method", "mean", .artifactSchema),
    BadManifest("/method/name", nil, .artifactSchema, at: .pointer("/method")),
    BadManifest("/method/positions", "last-0", .artifactSchema),
    BadManifest("/data", nil, .artifactProvenance, at: root),
    BadManifest("/data", "pairs.jsonl", .artifactSchema),
    BadManifest("/seed", -1, .artifactSchema), BadManifest("/seed", "1", .artifactSchema),
    BadManifest("/statistics", [], .artifactSchema),
  ]

  static let otherKinds = [
    BadManifest(in: "moments", "/classes", nil, .artifactSchema, at: root),
    BadManifest(in: "moments", "/classes", [], .artifactEmpty),
    BadManifest(
      in: "moments", "/classes", ["positive", "positive"], .artifactClasses,
      at: .pointer("/classes/1")),
    BadManifest(in: "moments", "/classes/0", "a.b", .artifactClasses),
    BadManifest(in: "moments", "/classes/0", "", .artifactClasses),
    BadManifest(
      in: "moments", "/classes/0", "neutral", .artifactTensorMissing,
      at: .tensor("blocks.1.output.neutral.count"), inSchema: false),
    BadManifest(
      in: "moments", "/classes", ["positive"], .artifactTensorExtra,
      at: .tensor("blocks.1.output.negative.count"), inSchema: false),
    BadManifest(in: "moments", "/data", nil, .artifactProvenance, at: root),
    BadManifest(in: "moments", "/positions", nil, .artifactSchema, at: root),
    BadManifest(in: "moments", "/positions", "first", .artifactSchema),
    BadManifest(in: "state", "/batch", 0, .artifactSchema),
    BadManifest(in: "state", "/batch", nil, .artifactSchema, at: root),
    BadManifest(in: "state", "/batch", 1_048_577, .artifactSchema),
    BadManifest(
      in: "state", "/batch", 1_048_576, .artifactSchema, at: .tensor("blocks.2.state.ssm"),
      inSchema: false),
    BadManifest(in: "state", "/position", -1, .artifactSchema),
    BadManifest(in: "state", "/position", 9_223_372_036_854_775_807, .artifactSchema),
    BadManifest(in: "state", "/position", nil, .artifactSchema, at: root),
    BadManifest(
      in: "state", "/sites/1", ["name": "embedding", "shape": [4], "axes": ["channel"]],
      .artifactSite,
      at: .pointer("/sites/1")),
    BadManifest(in: "capture", "/prompts", 0, .artifactSchema),
    BadManifest(in: "capture", "/prompts", nil, .artifactSchema, at: root),
    BadManifest(
      in: "capture", "/prompts", 1, .artifactTensorExtra, at: .tensor("row.position"),
      inSchema: false),
    BadManifest(
      in: "capture", "/prompts", 3, .artifactSchema, at: .tensor("blocks.2.state.ssm"),
      inSchema: false),
    BadManifest(
      in: "capture of one prompt", "/prompts", 2, .artifactTensorMissing, at: .tensor("row.prompt"),
      inSchema: false),
  ]

  static let all = common + sites + tensors + steering + otherKinds + probes
}

@Suite struct RefusalTests {
  private let folder = TemporaryFolder()

  private func read(_ bytes: [UInt8]) throws -> Artifact {
    try Artifact(reading: folder.write(bytes, to: "a.safetensors"))
  }

  @Test(arguments: BadManifest.all)
  func manifests(bad: BadManifest) throws {
    var raw = try RawArtifact(Samples.named(bad.sample))
    raw.set(bad.pointer, to: bad.value)
    let refusal = expectRefusal(bad.code) { try read(raw.file()) }
    #expect(refusal?.place == bad.place)
    #expect(refusal?.file == folder.path("a.safetensors"))
  }

  @Test func containers() throws {
    let raw = try RawArtifact(Samples.steering)
    let tensors = raw.tensors
    let text = raw.manifest.canonicalText
    let digest = SHA256.digest(Array(text.utf8)).description
    for metadata in [
      [], [(Artifact.metadataKey, text)], [(Artifact.digestKey, digest)],
      [(Artifact.metadataKey, text), (Artifact.digestKey, digest), ("format", "pt")],
    ] {
      expectRefusal(.artifactFormat, "\(metadata.map(\.0))") {
        try read(RawSafetensors.file(tensors, metadata: metadata))
      }
    }
    for bad in ["", "0", digest.uppercased(), String(repeating: "0", count: 64)] {
      expectRefusal(.artifactDigest) { try read(raw.file(digest: bad)) }
    }
  }

  @Test(arguments: [
    ("", Refusal.Code.jsonInvalid), ("{", .jsonInvalid), ("[]", .jsonNotObject),
    ("{\"format\":1,\"format\":2}", .jsonDuplicateKey), ("{} x", .jsonTrailing),
  ])
  func textsThatAreNoManifest(text: String, code: Refusal.Code) throws {
    let raw = try RawArtifact(Samples.steering)
    expectRefusal(code) { try read(raw.file(manifest: text)) }
  }

  @Test func spellingsOtherThanTheCanonicalOne() throws {
    let raw = try RawArtifact(Samples.steering)
    let text = raw.manifest.canonicalText
    for spelling in [
      text + " ", " " + text, raw.manifest.prettyText,
      text.replacing("\"seed\":null", with: "\"seed\": null"),
      text.replacing("\"norm\":1.5", with: "\"norm\":1.50"),
      text.replacing("\"mean\"", with: "\"\\u006dean\""),
    ] {
      let refusal = expectRefusal(.artifactSchema) { try read(raw.file(manifest: spelling)) }
      #expect(refusal?.place == .pointer(""))
    }
  }

  /// Tensors that the manifest declares and that the kind does not have.
  @Test(arguments: [
    ("steering", "blocks.1.output", "F64", [2], Refusal.Code.artifactSchema),
    ("steering", "blocks.1.output", "I32", [4], .artifactSchema),
    ("steering", "blocks.1.output", "BF16", [8], .artifactSchema),
    ("steering", "blocks.1.output", "F32", [4, 1], .artifactSchema),
    ("steering", "blocks.1.output", "F32", [1, 4], .artifactSchema),
    ("steering", "blocks.2.state.ssm", "F32", [3, 2], .artifactSchema),
    ("steering", "blocks.2.state.ssm", "F32", [6], .artifactSchema),
    ("moments", "blocks.1.output.positive.mean", "F32", [8], .artifactSchema),
    ("moments", "blocks.1.output.positive.mean", "I64", [4], .artifactSchema),
    ("moments", "blocks.1.output.positive.scatter", "F64", [16], .artifactSchema),
    ("moments", "blocks.1.output.positive.count", "F64", [1], .artifactSchema),
    ("state", "blocks.2.state.ssm", "F32", [2, 6], .artifactSchema),
    ("state", "blocks.2.state.ssm", "F32", [12], .artifactSchema),
    ("capture", "tokens", "U64", [3], .artifactSchema),
    ("capture", "tokens", "F64", [3], .artifactSchema),
    ("capture", "tokens", "I64", [3, 1], .artifactSchema),
    ("capture", "row.prompt", "I64", [1, 3], .artifactSchema),
    ("capture", "blocks.1.output", "F32", [4, 3], .artifactSchema),
    ("capture", "blocks.2.state.ssm", "F32", [2, 3, 2], .artifactSchema),
  ])
  func typesAndShapes(
    sample: String, tensor: String, dataType: String, shape: [Int], code: Refusal.Code
  ) throws {
    var raw = try RawArtifact(Samples.named(sample))
    let place = try #require(raw.tensors.firstIndex { $0.name == tensor })
    raw.tensors[place].dataType = dataType
    raw.tensors[place].shape = shape
    let refusal = expectRefusal(code) { try read(raw.file()) }
    #expect(refusal?.place == .tensor(tensor) || sample == "capture")
  }

  @Test(arguments: Samples.names)
  func eachTensorIsNeededAndNoOtherIsAllowed(name: String) throws {
    let complete = try RawArtifact(Samples.named(name))
    for (place, tensor) in complete.tensors.enumerated() where complete.tensors.count > 1 {
      var raw = complete
      raw.tensors.remove(at: place)
      let refusal = expectRefusal(.artifactTensorMissing) { try read(raw.file()) }
      #expect(refusal?.place == .tensor(tensor.name))
      raw.redigest()
      if tensor.name.hasSuffix("scatter") || tensor.name.hasSuffix("squares") {
        _ = try read(raw.file())  // a spread is optional
        continue
      }
      expectRefusal(.artifactTensorMissing, "without \(tensor.name)") { try read(raw.file()) }
    }
    var raw = complete
    raw.tensors.append(("blocks.0.output", "F32", [4], [UInt8](repeating: 0, count: 16)))
    expectRefusal(.artifactTensorExtra) { try read(raw.file()) }
    raw.redigest()
    expectRefusal(.artifactTensorExtra) { try read(raw.file()) }
  }

  /// NaN and both infinities, first and last, in each tensor of the kinds that refuse them.
  @Test(arguments: ["steering", "moments", "state"])
  func valuesThatAreNotFinite(name: String) throws {
    let artifact = Samples.named(name)
    for (place, tensor) in artifact.tensors.enumerated() {
      for element in [0, tensor.value.count - 1] {
        for value in [Double.nan, .infinity, -.infinity] {
          var tensors = artifact.tensors
          tensors[place].value = Self.replacing(element, of: tensor.value, by: value)
          let damaged = Artifact(manifest: artifact.manifest, tensors: tensors)
          let isCount = tensor.name.hasSuffix(".count")
          let code = isCount ? Refusal.Code.artifactSchema : .artifactNonfinite
          let refusal = expectRefusal(code, "\(value) in \(tensor.name)") { try damaged.bytes() }
          #expect(refusal?.place == .tensor(tensor.name))
          var raw = try RawArtifact(artifact)
          raw.tensors[place].bytes = tensors[place].value.withUnsafeBytes { Array($0) }
          raw.redigest()
          expectRefusal(code) { try read(raw.file()) }
        }
      }
    }
  }

  private static func replacing(_ element: Int, of tensor: Tensor, by value: Double) -> Tensor {
    var copy = tensor
    if tensor.dataType == .f32 {
      copy.withMutableFloats { $0[element] = Float(value) }
    } else {
      copy.withMutableDoubles { $0[element] = value }
    }
    return copy
  }

  @Test(arguments: [-1.0, 0.5, 1e17])
  func countsThatAreNone(count: Double) throws {
    let tensors = Samples.moments.tensors.map { name, value in
      (name, name.hasSuffix(".count") ? Tensor(doubles: [count], shape: []) : value)
    }
    expectRefusal(.artifactSchema) {
      try Artifact(manifest: Samples.moments.manifest, tensors: tensors).bytes()
    }
  }

  @Test func momentsOfMoreClassesThanTheFileHasTensors() throws {
    var raw = try RawArtifact(Samples.moments)
    raw.set("/classes", to: .array((0..<100_000).map { .string("class \($0)") }))
    expectRefusal(.artifactTensorMissing) { try read(raw.file()) }
  }

  @Test func momentsWithBothSpreads() throws {
    let more = ["positive", "negative"].map {
      ("blocks.1.output.\($0).squares", Samples.doubles([4]))
    }
    expectRefusal(.artifactSchema) {
      try Artifact(manifest: Samples.moments.manifest, tensors: Samples.moments.tensors + more)
        .bytes()
    }
  }

  @Test(arguments: [
    ([0, 0, 2], [0, 1, 0]), ([0, 1, 1], [0, 1, 0]), ([1, 0, 0], [0, 0, 1]),
    ([0, 0, 1], [0, 2, 0]),
    ([0, 0, 0], [0, 1, 2]), ([0, 0, 1], [1, 2, 0]), ([-1, 0, 1], [0, 0, 0]),
    ([0, 1, 2], [0, 0, 0]),
  ])
  func rowsOutOfOrder(prompts: [Int], positions: [Int]) throws {
    let tensors = Samples.capture.tensors.map { name, value in
      switch name {
      case "row.prompt": (name, Tensor(integers: prompts))
      case "row.position": (name, Tensor(integers: positions))
      default: (name, value)
      }
    }
    expectRefusal(.artifactSchema) {
      try Artifact(manifest: Samples.capture.manifest, tensors: tensors).bytes()
    }
  }

  @Test func nothingIsWrittenThatNoReaderAccepts() throws {
    let path = folder.path("out.safetensors")
    let sample = Samples.steering
    func refuses(_ code: Refusal.Code, _ edit: (inout Manifest) -> Void) {
      var manifest = sample.manifest
      edit(&manifest)
      expectRefusal(code) {
        try Artifact(manifest: manifest, tensors: sample.tensors).write(to: path)
      }
    }
    refuses(.artifactKind) { $0.kind = "banana" }
    refuses(.artifactVersion) { $0.kindVersion = 9 }
    refuses(.artifactEmpty) { $0.sites = [] }
    refuses(.artifactSite) { $0.sites.append($0.sites[0]) }
    refuses(.artifactSchema) { $0.details["operation"] = nil }
    refuses(.artifactSchema) { $0.model.weights = "" }
    refuses(.artifactTensorMissing) {
      $0.sites.append(SiteReference(name: "embedding", shape: [4], axes: ["channel"]))
    }
    expectRefusal(.artifactTensorExtra) {
      try Artifact(
        manifest: sample.manifest, tensors: sample.tensors + [("x", sample.tensors[0].value)]
      )
      .write(to: path)
    }
    #expect(folder.entries.isEmpty)
    try sample.write(to: path)
    expectRefusal(.fileExists) { try sample.write(to: path) }
  }

  @Test func anArtifactOfAnotherKindIsNoVectorAndNoState() throws {
    expectRefusal(.artifactKind) { try SteeringVector(Samples.saved) }
    expectRefusal(.artifactKind) { try SavedState(Samples.steering) }
    expectRefusal(.artifactKind) { try Moments.check(Samples.capture) }
  }
}

@Suite struct ModelReferenceTests {
  private func other(_ edit: (inout ModelReference) -> Void) -> ModelReference {
    var model = Samples.model
    edit(&model)
    return model
  }

  @Test func theSameModelPasses() throws {
    try Samples.model.check(against: Samples.model, allowingOther: false, file: nil)
    // A model in another storage type is the same model. A missing tokenizer contradicts none.
    try Samples.model.check(
      against: other { $0.weights = "bf16" }, allowingOther: false, file: nil)
    try Samples.model.check(against: other { $0.tokenizer = nil }, allowingOther: false, file: nil)
    try other { $0.tokenizer = nil }
      .check(against: Samples.model, allowingOther: false, file: nil)
  }

  /// A file of another kind is named for what it is.
  @Test func filesThatAreNoArtifactsAreNamed() throws {
    let folder = TemporaryFolder()
    let rows: [(bytes: [UInt8], found: String)] = [
      ([0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 60), "a file of the kind zip archive"),
      (Array("GGUF".utf8) + [UInt8](repeating: 0, count: 60), "a file of the kind GGUF"),
      (
        Array("SEXTANT\0".utf8) + [UInt8](repeating: 0, count: 60),
        "a file of the kind Sextant model"
      ),
    ]
    for row in rows {
      for name in ["v.pt", "v.safetensors"] {
        let path = folder.write(row.bytes, to: name)
        let refusal = expectRefusal(.fileUnknown) { try Artifact(reading: path) }
        #expect(refusal?.found == row.found && refusal?.expected == "an artifact of Sextant")
      }
    }
  }

  @Test func anotherModelIsRefusedUnlessAllowed() throws {
    let digest = SHA256.digest([])
    for (model, code) in [
      (other { $0.identity = digest }, Refusal.Code.artifactModelDigest),
      (other { $0.tokenizer = digest }, .artifactTokenizerDigest),
    ] {
      expectRefusal(code) {
        try Samples.model.check(against: model, allowingOther: false, file: "v")
      }
      try Samples.model.check(against: model, allowingOther: true, file: "v")
    }
    for model in [other { $0.width = 5 }, other { $0.layerCount = 2 }] {
      for allowing in [false, true] {
        expectRefusal(.artifactWidth) {
          try Samples.model.check(against: model, allowingOther: allowing, file: "v")
        }
      }
    }
  }
}
