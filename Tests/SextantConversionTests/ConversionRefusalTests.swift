import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantTensor
import SextantTestSupport
import Testing

/// Checkpoints that are no model of the architecture are refused before anything is written.
@Suite struct ConversionRefusalTests {
  private let folder = TemporaryFolder()

  /// A copy of the tiny model, changed on the way.
  private func checkpoint(
    config: [(String, JSONValue?)] = [],
    changing change: (inout [(name: String, value: Tensor)]) -> Void = { _ in }
  ) throws -> String {
    let source = try SafetensorsFile(
      PackageFiles.fixture("mamba-tiny/huggingface/model.safetensors"))
    var tensors: [(name: String, value: Tensor)] = []
    for entry in source.tensors {
      let bytes = try source.bytes(of: entry)
      let value = try #require(
        bytes.withUnsafeBytes {
          Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
        })
      tensors.append((entry.name, value))
    }
    change(&tensors)
    var writer = SafetensorsWriter()
    for (name, value) in tensors { writer.add(name, value) }
    try writer.publish(to: folder.path("model.safetensors"), replacing: true)
    let text = try InputFile(PackageFiles.fixture("mamba-tiny/huggingface/config.json"))
      .readAll(limit: 1 << 20)
    var object = try JSONNode(parsing: text, code: .modelConfiguration, file: nil).object()
    for (key, value) in config { object[key] = value }
    folder.write(JSONValue.object(object).canonicalText, to: "config.json")
    return folder.path
  }

  private func expectRefused(
    _ code: FormatError.Code, naming words: [String] = [], _ path: String,
    _ options: ConversionOptions = .init(), sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let destination = folder.path("out.sxt")
    do {
      _ = try Conversion(path, options: options).write(to: destination)
      Issue.record("not refused", sourceLocation: sourceLocation)
    } catch {
      #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
      for word in words {
        #expect(error.description.contains(word), "\(error)", sourceLocation: sourceLocation)
      }
    }
    #expect(!folder.entries.contains { $0.contains("out.sxt") }, sourceLocation: sourceLocation)
  }

  @Test func theUnchangedCopyIsAccepted() throws {
    let path = try checkpoint()
    let report = try Conversion(path).write(to: folder.path("out.sxt"))
    #expect(report.dialect == "huggingface" && report.nonfinite.isEmpty)
  }

  @Test func everyMissingTensorIsNamed() throws {
    let path = try checkpoint { tensors in
      tensors.removeAll { $0.name.hasSuffix("mixer.D") }
    }
    expectRefused(
      .modelTensorMissing, naming: (0..<3).map { "backbone.layers.\($0).mixer.D" }, path)
  }

  @Test func everyUnexpectedTensorIsNamed() throws {
    let path = try checkpoint { tensors in
      tensors.append(("backbone.layers.0.mixer.E", Tensor(zeros: [3])))
      tensors.append(("extra", Tensor(zeros: [3])))
    }
    expectRefused(
      .modelTensorUnexpected, naming: ["backbone.layers.0.mixer.E", "extra"], path)
  }

  @Test func aWrongShapeNamesBothShapes() throws {
    let path = try checkpoint { tensors in
      for index in tensors.indices where tensors[index].name.hasSuffix("1.mixer.A_log") {
        tensors[index].value = Tensor(zeros: [80, 17])
      }
    }
    expectRefused(.modelShape, naming: ["[80, 17]", "[80, 16]"], path)
  }

  @Test func integerWeightsAreRefused() throws {
    let path = try checkpoint { tensors in
      for index in tensors.indices where tensors[index].name == "backbone.norm_f.weight" {
        tensors[index].value = Tensor(zeros: [40], dataType: .i32)
      }
    }
    expectRefused(.modelDataType, naming: ["I32"], path)
  }

  @Test func namesOfNoDialectAreRefused() throws {
    let path = try checkpoint { tensors in
      tensors = tensors.map { ("model." + $0.name, $0.value) }
    }
    expectRefused(.modelDialectUnknown, naming: ["model.backbone"], path)
  }

  @Test func namesOfTwoDialectsAreRefused() throws {
    let path = try checkpoint { tensors in
      for (name, value) in tensors where name == "backbone.embeddings.weight" {
        tensors.append(("backbone.embedding.weight", value))
      }
    }
    expectRefused(.modelDialectAmbiguous, path)
  }

  @Test func aTiedHeadThatDiffersIsRefusedAndAnEqualOneIsStoredOnce() throws {
    let differing = try checkpoint { tensors in
      tensors.append(("lm_head.weight", Tensor(zeros: [101, 40])))
    }
    expectRefused(.modelTied, differing)
    let equal = try checkpoint { tensors in
      for (name, value) in tensors where name == "backbone.embeddings.weight" {
        tensors.append(("lm_head.weight", value))
      }
    }
    let report = try Conversion(equal).write(to: folder.path("out.sxt"))
    #expect(report.notes.contains { $0.contains("lm_head.weight") })
  }

  @Test func anUntiedModelWithoutAHeadIsRefused() throws {
    expectRefused(.modelTied, try checkpoint(config: [("tie_word_embeddings", false)]))
  }

  static let configurations: [(String, JSONValue?, FormatError.Code)] = [
    ("model_type", "gpt5", .modelArchitecture),
    ("model_type", nil, .modelArchitecture),
    ("hidden_size", "40", .modelConfiguration),
    ("hidden_size", 0, .modelConfiguration),
    ("hidden_size", -40, .modelConfiguration),
    ("hidden_size", 41, .modelShape),
    ("num_hidden_layers", 1001, .modelConfiguration),
    ("num_hidden_layers", 4, .modelTensorMissing),
    ("num_hidden_layers", 2, .modelTensorUnexpected),
    ("num_hidden_layers", nil, .modelConfiguration),
    ("vocab_size", 100, .modelShape),
    ("hidden_act", "gelu", .modelConfiguration),
    ("layer_norm_epsilon", 0, .modelConfiguration),
    ("conv_kernel", 9, .modelConfiguration),
    ("use_conv_bias", 1, .modelConfiguration),
    ("use_bias", true, .modelTensorMissing),
  ]

  @Test(arguments: configurations)
  func aConfigurationThatDoesNotFitIsRefused(
    key: String, value: JSONValue?, code: FormatError.Code
  ) throws {
    // A folder of its own: cases run side by side.
    expectRefused(code, try checkpoint(config: [(key, value)]))
  }

  @Test func aMissingConfigurationSaysHowToNameIt() throws {
    let path = try checkpoint()
    let alone = folder.makeFolder("alone")
    let bytes = try InputFile("\(path)/model.safetensors").readAll(limit: 1 << 30)
    try FilePublisher.publish(bytes, to: "\(alone)/model.safetensors")
    expectRefused(.modelConfiguration, naming: ["--config"], "\(alone)/model.safetensors")
    var options = ConversionOptions()
    options.configuration = "\(path)/config.json"
    _ = try Conversion("\(alone)/model.safetensors", options: options)
      .write(to: folder.path("out.sxt"))
  }

  @Test func aTokenizerWithMoreIdsThanTheEmbeddingHasRowsIsRefused() throws {
    var options = ConversionOptions()
    options.tokenizer = PackageFiles.fixture("demo-model/tokenizer.json")
    expectRefused(.modelTokenizer, try checkpoint(), options)
  }

  @Test func theCheckpointItselfIsNoDestination() throws {
    let path = try checkpoint()
    var options = ConversionOptions()
    options.replacing = true
    let refusal = #expect(throws: FormatError.self) {
      try Conversion(path, options: options).write(to: "\(path)/model.safetensors")
    }
    #expect(refusal?.code == .fileSame)
  }

  @Test func nonfiniteWeightsAreCountedAndReported() throws {
    let path = try checkpoint { tensors in
      for index in tensors.indices where tensors[index].name == "backbone.norm_f.weight" {
        var values = tensors[index].value.values
        (values[3], values[7], values[9]) = (.nan, .infinity, -.infinity)
        tensors[index].value = Tensor(values, shape: [40])
      }
    }
    let report = try Conversion(path).write(to: folder.path("out.sxt"))
    #expect(report.nonfinite.map(\.name) == ["final_norm.weight"])
    #expect(report.nonfinite.map(\.count) == [3])
  }
}
