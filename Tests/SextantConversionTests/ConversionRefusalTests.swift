import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Checkpoints that are not a model of the architecture are refused before anything is written.
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
    _ code: Refusal.Code, naming words: [String] = [], _ path: String,
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

  @Test func aConfigurationWithoutMembersIsNotTakenForAnIncompleteOne() throws {
    let path = try checkpoint()
    folder.write("{}", to: "config.json")
    expectRefused(.modelConfiguration, naming: ["an object without members", "config.json"], path)
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
      tensors = tensors.map {
        ("model.my_" + $0.name.replacing("layers", with: "my_layers"), $0.value)
      }
    }
    expectRefused(
      .modelDialectUnknown,
      naming: ["model.my_backbone", "all start with \"model.my_backbone.\""],
      path)
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

  static let configurations: [(String, JSONValue?, Refusal.Code)] = [
    ("model_type", "gpt5", .modelArchitecture),
    ("hidden_size", "40", .modelConfiguration),
    ("hidden_size", 0, .modelConfiguration),
    ("hidden_size", -40, .modelConfiguration),
    ("hidden_size", 41, .modelShape),
    ("num_hidden_layers", 1001, .modelUnsupported),
    ("num_hidden_layers", 4, .modelTensorMissing),
    ("num_hidden_layers", 2, .modelTensorUnexpected),
    ("num_hidden_layers", nil, .modelConfiguration),
    ("vocab_size", 100, .modelShape),
    ("hidden_act", "gelu", .modelUnsupported),
    ("layer_norm_epsilon", 0, .modelConfiguration),
    ("conv_kernel", 9, .modelUnsupported),
    ("use_conv_bias", 1, .modelConfiguration),
    ("use_bias", true, .modelTensorMissing),
  ]

  @Test(arguments: configurations)
  func aConfigurationThatDoesNotFitIsRefused(
    key: String, value: JSONValue?, code: Refusal.Code
  ) throws {
    // Each case has its own folder, because cases run in parallel.
    expectRefused(code, try checkpoint(config: [(key, value)]))
  }

  @Test func aConfigurationThatNamesNoArchitectureIsRefused() throws {
    let path = try checkpoint(
      config: [("model_type", nil), ("architectures", ["OtherForCausalLM"])])
    expectRefused(.modelArchitecture, path)
  }

  @Test func aMissingConfigurationSaysHowToNameIt() throws {
    let path = try checkpoint()
    let alone = folder.makeFolder("alone")
    let bytes = try InputFile("\(path)/model.safetensors").readAll(limit: 1 << 30)
    try FilePublisher.publish(bytes, to: "\(alone)/model.safetensors")
    expectRefused(.modelConfiguration, naming: ["`configuration`"], "\(alone)/model.safetensors")
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
    let refusal = #expect(throws: Refusal.self) {
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

  // MARK: Tensors that are left out

  /// The tiny model with tensors beside its own.
  private func checkpoint(with names: [String], shape: [Int] = [3]) throws -> String {
    try checkpoint { tensors in
      for name in names { tensors.append((name, Tensor(zeros: shape))) }
    }
  }

  @Test func headsForOtherTasksAreLeftOutWithANote() throws {
    let names = [
      "v_head.summary.weight", "score.weight", "classifier.out_proj.bias", "total_ops",
      "backbone.layers.0.mixer._extra_state",
    ]
    let reference = try Conversion(checkpoint()).write(to: folder.path("a.sxt"))
    let report = try Conversion(checkpoint(with: names)).write(to: folder.path("b.sxt"))
    #expect(report.identity == reference.identity)
    for name in names { #expect(report.notes.contains { $0.contains(name) }, "\(name)") }
  }

  @Test(arguments: [
    "backbone.rotary_emb.inv_freq", "backbone.layers.0.attn.rotary_emb.inv_freq",
    "backbone.layers.0.attn.masked_bias", "backbone.layers.0.rotary_emb.cos_cached",
  ])
  func buffersOfTransformersArePassedOver(name: String) throws {
    let path = try checkpoint(with: [name], shape: name.hasSuffix("masked_bias") ? [1] : [8])
    let report = try Conversion(path).write(to: folder.path("b.sxt"))
    #expect(!report.notes.contains { $0.contains("left out") })
  }

  @Test func aMaskIsToldByItsShape() throws {
    let name = "backbone.layers.0.attention.bias"
    _ = try Conversion(checkpoint(with: [name], shape: [1, 1, 8, 8]))
    expectRefused(.modelTensorUnexpected, naming: [name], try checkpoint(with: [name], shape: [40]))
  }

  @Test func patternsLeaveOutWhatTheUserNames() throws {
    let path = try checkpoint(with: ["ema.a", "ema.b", "backbone.layers.1.extra"])
    var options = ConversionOptions()
    options.ignoring = ["ema.?"]
    expectRefused(.modelTensorUnexpected, naming: ["1.extra", "`ignoring`"], path, options)
    options.ignoring.append("backbone.layers.*.extra")
    let report = try Conversion(path, options: options).write(to: folder.path("b.sxt"))
    #expect(report.notes.contains { $0.contains("ema.a, ema.b") && $0.contains("`ignoring`") })
    options.ignoring.append("ema.*.none")
    let refusal = expectRefusal(.usageOption) { try Conversion(path, options: options) }
    #expect(refusal?.found.contains("ema.*.none") == true)
    options.ignoring = ["*mixer.D", "ema.*", "*extra"]
    let needed = expectRefusal(.modelTensorMissing) { try Conversion(path, options: options) }
    #expect(needed?.place == .parameter("ignoring"))
    #expect(needed?.found.contains("backbone.layers.0.mixer.D") == true)
  }

  /// The user may choose the tied one of two heads.
  @Test func aHeadThatDiffersFromItsTiedEmbeddingCanBeLeftOut() throws {
    let path = try checkpoint { tensors in
      tensors.append(("lm_head.weight", Tensor(zeros: [101, 40])))
    }
    var options = ConversionOptions()
    options.ignoring = ["lm_head.*"]
    _ = try Conversion(path, options: options)
    let untied = try checkpoint(config: [("tie_word_embeddings", false)]) { tensors in
      tensors.append(("lm_head.weight", Tensor(zeros: [101, 40])))
    }
    expectRefused(.modelTensorMissing, naming: ["lm_head.weight", "`ignoring`"], untied, options)
  }

  @Test(arguments: [
    ("a*c", "abc", true), ("a*c", "ac", true), ("a*c", "abd", false), ("*", "", true),
    ("?", "é", false), ("*.weight", "a.b.weight", true), ("a", "ab", false), ("*a*b", "aab", true),
    ("*ab", "aab", true), ("", "", true), ("", "a", false), ("a.b", "axb", false),
  ])
  func patternsFitWholeNames(pattern: String, name: String, fits: Bool) {
    #expect(NamePattern(pattern).matches(name) == fits)
  }

  // MARK: Adapters

  @Test(arguments: [
    ("base_model.model.backbone.layers.0.mixer.in_proj.lora_A.weight", "LORA"),
    ("base_model.model.backbone.layers.0.mixer.in_proj.ia3_l", "IA3"),
    ("prompt_embeddings", "PROMPT_TUNING"),
    ("base_model.model.backbone.layers.0.mixer.in_proj.hada_w1_a", "LOHA"),
  ])
  func anAdapterInPlaceOfAModelIsRefusedAsOne(tensor: String, kind: String) throws {
    var writer = SafetensorsWriter()
    writer.add(tensor, Tensor(zeros: [2, 4]))
    try writer.publish(to: folder.path("adapter_model.safetensors"))
    let isPrompt = tensor.hasPrefix("prompt")
    let remedy = isPrompt ? "Convert the base model" : "merge_and_unload"
    expectRefused(.modelAdapter, naming: [tensor, remedy], folder.path)
    folder.write(
      "{\"peft_type\":\"\(kind)\",\"base_model_name_or_path\":\"a/b\"}", to: "adapter_config.json")
    expectRefused(.modelAdapter, naming: ["\(kind) for \"a/b\"", remedy], folder.path)
  }

  @Test func anAdapterBesideAModelIsNotedAndOneWithinItIsRefused() throws {
    folder.write("{\"peft_type\":\"LORA\"}", to: "adapter_config.json")
    folder.write("not read", to: "adapter_model.safetensors")
    let report = try Conversion(checkpoint()).write(to: folder.path("a.sxt"))
    #expect(
      report.notes.contains { $0.contains("model's folder (LORA) is left out") })
    let name = "backbone.layers.0.mixer.in_proj.lora_B.default.weight"
    expectRefused(.modelAdapter, naming: [name], try checkpoint(with: [name]))
  }

  @Test(arguments: ["adapter_model.safetensors", "adapter_model.bin"])
  func anAdapterWithoutItsConfigurationIsNoted(name: String) throws {
    folder.write("not read", to: name)
    let report = try Conversion(checkpoint()).write(to: folder.path("a.sxt"))
    #expect(report.notes.contains { $0.hasPrefix("the adapter in the model's folder is left out") })
  }

  // MARK: Side files that cannot be read

  @Test(arguments: ["config.json", "tokenizer.json", "model.safetensors"])
  func aBrokenLinkInPlaceOfAFileIsRefused(name: String) throws {
    let path = try checkpoint()
    unlink(folder.path(name))
    let link = folder.makeLink(name, to: "gone")
    expectRefused(.fileMissing, naming: [link, "a link to gone, which does not exist"], path)
    #expect(unlink(link) == 0 && mkfifo(link, 0o600) == 0)
    expectRefused(.fileNotRegular, naming: [link, "a pipe"], path)
  }

  @Test func aBrokenLinkInPlaceOfASmallFileIsNoted() throws {
    let path = try checkpoint()
    let name = "generation_config.json"
    folder.makeLink(name, to: "gone")
    let notes = try Conversion(path).write(to: folder.path("a.sxt")).notes
    #expect(notes.contains { $0.contains(name) && $0.contains("a link to gone") }, "\(notes)")
  }

  // MARK: Arrays of NumPy

  @Test func aMissingTensorThatIsAnArrayIsNamed() throws {
    typealias Raw = RawPyTorch
    _ = try checkpoint()
    unlink(folder.path("model.safetensors"))
    let array =
      Raw.global("numpy.core.multiarray", "_reconstruct") + Array("(".utf8)
      + Raw.global("numpy", "ndarray") + Raw.tuple([0]) + Raw.string("b") + Array("tR".utf8)
    let tensor = Raw.tensor(Raw.storage("0", count: 2), shape: [2], strides: [1])
    let pickle = Raw.pickle(
      Raw.dictionary([
        ("backbone.embeddings.weight", tensor), ("backbone.norm_f.weight", array),
      ]))
    folder.write(
      Raw.file(pickle: pickle, storages: [("0", [UInt8](repeating: 0, count: 8))]),
      to: "pytorch_model.bin")
    let refusal = expectRefusal(.modelDialectUnknown) { try Conversion(folder.path) }
    let words = "arrays of NumPy instead of tensors: backbone.norm_f.weight; "
    #expect(refusal?.found.hasPrefix(words) == true)
    #expect(refusal?.remedy.contains("torch.from_numpy") == true)
  }

  // MARK: Indices

  /// The tiny model in one shard, with an index that names a tensor more.
  private func indexed(_ name: String, _ config: [(String, JSONValue?)] = []) throws -> String {
    let path = try checkpoint(config: config)
    let shard = "model-00001-of-00001.safetensors"
    #expect(rename("\(path)/model.safetensors", "\(path)/\(shard)") == 0)
    var map = JSONObject()
    for tensor in try SafetensorsFile("\(path)/\(shard)").tensors {
      map[tensor.name] = .string(shard)
    }
    map[name] = .string(shard)
    let index: JSONValue = ["weight_map": .object(map)]
    folder.write(index.canonicalText, to: "model.safetensors.index.json")
    return path
  }

  @Test func anIndexMayNameTheHeadOfATiedModel() throws {
    let report = try Conversion(indexed("lm_head.weight")).write(to: folder.path("a.sxt"))
    #expect(report.notes.contains { $0.contains("no shard contains: \"lm_head.weight\"") })
  }

  @Test func whatTheModelNeedsAndNoShardHasIsMissing() throws {
    let untied = try indexed("lm_head.weight", [("tie_word_embeddings", false)])
    expectRefused(.indexTensorMissing, naming: ["lm_head.weight"], untied)
  }

  // MARK: Overflow

  /// The tiny model with some elements of its embedding replaced.
  private func checkpoint(embedding values: [Int: Float], as type: DataType) throws -> String {
    try checkpoint { tensors in
      for index in tensors.indices where tensors[index].name == "backbone.embeddings.weight" {
        var all = tensors[index].value.values
        for (place, value) in values { all[place] = value }
        tensors[index].value =
          Tensor(all, shape: [101, 40]).converted(to: type) ?? Tensor(zeros: [])
      }
    }
  }

  @Test(arguments: [
    (DataType.f32, DataType.f16, 65_519 as Float, 65_520 as Float, 2),
    (.bf16, .f16, 65_280, 1e6, 2),
    (.f32, .bf16, 3.389e38, 3.4e38, 2),
  ])
  func finiteWeightsThatTheTypeCannotExpressAreRefused(
    stored: DataType, type: DataType, fits: Float, exceeds: Float, count: Int
  ) throws {
    var options = ConversionOptions()
    options.dataType = type
    options.replacing = true
    let good = try checkpoint(embedding: [7: fits, 900: -fits], as: stored)
    let report = try Conversion(good, options: options).write(to: folder.path("good.sxt"))
    #expect(report.nonfinite.isEmpty)
    let bad = try checkpoint(embedding: [7: exceeds, 900: -exceeds, 1000: fits], as: stored)
    expectRefused(
      .modelOverflow, naming: ["embedding.weight", "\(count) elements", type.rawValue], bad, options
    )
    // A value that was infinite before is not an overflow.
    let infinite = try checkpoint(embedding: [7: .infinity, 8: .nan], as: stored)
    let noted = try Conversion(infinite, options: options).write(to: folder.path("good.sxt"))
    #expect(noted.nonfinite.map(\.count) == [2])
  }

  /// One scale for 32 elements has no value for a NaN among them.
  @Test func finiteWeightsBesideANaNAreNotLostInBlocks() throws {
    var options = ConversionOptions()
    (options.dataType, options.replacing) = (.q8, true)
    let source = try SafetensorsFile(PackageFiles.fixture("demo-model/model.safetensors"))
    var writer = SafetensorsWriter()
    for entry in source.tensors {
      let tensor = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      var value = try #require(tensor)
      if entry.name.hasSuffix("layers.0.mixer.in_proj.weight") {
        var all = try #require(value.converted(to: .f32)).values
        (all[5], all[6], all[40]) = (.nan, .infinity, -.infinity)
        value = Tensor(all, shape: entry.shape)
      }
      writer.add(entry.name, value)
    }
    try writer.publish(to: folder.path("model.safetensors"))
    let config = try InputFile(PackageFiles.fixture("demo-model/config.json")).readAll(
      limit: 1 << 20)
    folder.write(config, to: "config.json")
    expectRefused(.modelOverflow, naming: ["61 elements in blocks with NaN"], folder.path, options)
    options.dataType = .bf16
    let report = try Conversion(folder.path, options: options).write(to: folder.path("a.sxt"))
    #expect(report.nonfinite.map(\.count) == [3])
  }
}
