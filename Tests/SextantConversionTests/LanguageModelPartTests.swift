import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantTensor
import SextantTestSupport
import Testing

/// The language model of a model with several parts, such as one that also reads images.
@Suite struct LanguageModelPartTests {
  private let folder = TemporaryFolder()
  private static let plain = "llama-tiny/huggingface"

  /// Where published models of several parts have the language model's tensors.
  enum Wrapping: CaseIterable {
    case inside, outside

    func name(_ name: String) -> String {
      switch self {
      case .outside: "language_model.\(name)"
      case .inside:
        name.hasPrefix("model.") ? "model.language_model.\(name.dropFirst(6))" : name
      }
    }

    var tower: String { self == .inside ? "model.vision_tower." : "vision_tower." }
  }

  /// The tiny Llama as a part of another model, in a folder.
  private func write(
    _ wrapping: Wrapping, to name: String = "whole",
    _ edit: (_ whole: inout JSONObject, _ part: inout JSONObject) -> Void
  ) throws -> String {
    let path = folder.makeFolder(name)
    let source = try SafetensorsFile(PackageFiles.fixture("\(Self.plain)/model.safetensors"))
    var writer = SafetensorsWriter()
    for entry in source.tensors {
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      writer.add(wrapping.name(entry.name), try #require(value))
    }
    writer.add(wrapping.tower + "embeddings.patch_embedding.weight", Tensor(zeros: [4, 3]))
    writer.add(wrapping.tower + "layers.0.self_attn.q_proj.weight", Tensor(zeros: [4, 4]))
    try writer.publish(to: path + "/model.safetensors", replacing: true)
    let text = try InputFile(PackageFiles.fixture("\(Self.plain)/config.json")).readAll(
      limit: 1 << 20)
    guard case .object(var part) = try JSONValue(parsing: text, file: nil) else { return path }
    var whole = JSONObject([
      ("architectures", ["LlavaForConditionalGeneration"]), ("model_type", "llava"),
      ("image_token_index", 99), ("vision_config", ["hidden_size": 4, "model_type": "clip"]),
    ])
    edit(&whole, &part)
    whole["text_config"] = .object(part)
    folder.write(JSONValue.object(whole).canonicalBytes, to: "\(name)/config.json")
    return path
  }

  private func convert(_ path: String) throws -> (bytes: [UInt8], notes: [String]) {
    var options = ConversionOptions()
    options.replacing = true
    let report = try Conversion(path, options: options).write(to: folder.path("out.sxt"))
    return (try InputFile(folder.path("out.sxt")).readAll(limit: 1 << 24), report.notes)
  }

  @Test(arguments: Wrapping.allCases) func itIsTheModelThatItIsAlone(wrapping: Wrapping) throws {
    let reference = try convert(PackageFiles.fixture(Self.plain))
    let (bytes, notes) = try convert(write(wrapping) { _, _ in })
    #expect(bytes == reference.bytes)
    #expect(
      notes.contains(
        "only the language model of a model with several parts; not read: image_token_index, "
          + "vision_config"))
    #expect(!notes.contains { $0.hasPrefix("not used") }, "\(notes)")
    switch wrapping {
    case .inside:
      #expect(
        notes.contains(
          "left out the parts of the model that are not its language model: "
            + "model.vision_tower.* (2 tensors)"))
      #expect(
        notes.contains(
          "put \"model.\" in the place of \"model.language_model.\" in the tensors' names"))
    case .outside:
      #expect(notes.contains("removed the prefix \"language_model.\" from the tensors' names"))
    }
  }

  @Test func unreadMembersOfThePartAreNamed() throws {
    let path = try write(.inside) { $1["attention_temperature"] = 2.0 }
    let notes = try convert(path).notes
    #expect(notes.contains { $0.hasPrefix("not used: attention_temperature.") }, "\(notes)")
  }

  /// The whole model may declare whether the embedding is tied. Its declaration counts, as in
  /// transformers, and the weights must fit it.
  @Test func tiedEmbeddingsMayBeDeclaredForTheWhole() throws {
    let reference = try convert(PackageFiles.fixture(Self.plain))
    let path = try write(.inside) { whole, part in
      part["tie_word_embeddings"] = nil
      whole["tie_word_embeddings"] = false
    }
    #expect(try convert(path).bytes == reference.bytes)
    let other = try write(.inside, to: "other") { whole, _ in whole["tie_word_embeddings"] = true }
    let refusal = expectRefusal(.modelTied) { try convert(other) }
    #expect(refusal?.place == .tensor("lm_head.weight"))
    // Transformers writes the part's default beside the whole's value.
    let contradicting = try write(.inside, to: "contradicting") { whole, part in
      (whole["tie_word_embeddings"], part["tie_word_embeddings"]) = (false, true)
    }
    #expect(try convert(contradicting).bytes == reference.bytes)
  }

  /// The output head may stand outside of the group with all other tensors, also in a family for which no
  /// model of several parts was published.
  @Test(arguments: ["falcon_h1-bf16", "nemotron_h", "falcon_mamba"])
  func aHeadOutsideOfTheLanguageModelIsRead(name: String) throws {
    let original = PackageFiles.fixture("hybrids/checkpoints/\(name)")
    let reference = try convert(original)
    let path = folder.makeFolder(name)
    let source = try SafetensorsFile("\(original)/model.safetensors")
    var writer = SafetensorsWriter()
    for entry in source.tensors {
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      let isHead = entry.name == "lm_head.weight"
      let inner = entry.name.hasPrefix("model.") ? String(entry.name.dropFirst(6)) : entry.name
      writer.add(isHead ? entry.name : "model.language_model.\(inner)", try #require(value))
    }
    writer.add("model.vision_tower.embeddings.weight", Tensor(zeros: [4, 3]))
    try writer.publish(to: path + "/model.safetensors")
    let config = try InputFile("\(original)/config.json").readAll(limit: 1 << 20)
    folder.write(config, to: "\(name)/config.json")
    #expect(try convert(path).bytes == reference.bytes)
  }

  /// The folder of a lens of the tuned-lens package looks like that of a model.
  @Test func aLensOfAnotherToolNeedsItsModel() throws {
    let path = folder.makeFolder("lens")
    let config = #"{"lens_type": "linear_tuned_lens", "d_model": 2, "num_hidden_layers": 1}"#
    folder.write(Array(config.utf8), to: "lens/config.json")
    var writer = PyTorchWriter()
    writer.add("0.weight", Tensor([1, 0, 0, 1], shape: [2, 2]))
    writer.add("0.bias", Tensor([0, 0], shape: [2]))
    try writer.publish(to: path + "/params.pt")
    let refusal = expectRefusal(.fileUnknown) { try convert(path) }
    #expect(refusal?.remedy.contains("`model`") == true)
  }

  @Test func refusalsNameThePlaceInThePart() throws {
    let path = try write(.inside) { $1["num_hidden_layers"] = "three" }
    let refusal = expectRefusal(.modelConfiguration) { try convert(path) }
    #expect(refusal?.place == .pointer("/text_config/num_hidden_layers"))
  }

  /// Of a part that no architecture recognises, the whole model is named.
  @Test func anUnknownPartIsRefusedByTheNameOfTheWhole() throws {
    let path = try write(.inside) { $1["model_type"] = "no_such_text" }
    let refusal = expectRefusal(.modelArchitecture) { try convert(path) }
    #expect(refusal?.found == "\"llava\"")
  }
}
