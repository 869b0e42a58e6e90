import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Weights that were saved from the class without an output head (`LlamaModel`), whose names lack the part
/// that all names of the whole model begin with.
///
/// transformers 5.24 loads them into the whole model: it puts that part before the names, takes the head of a
/// tied model from the embedding, and reports a missing head as newly initialised.
@Suite struct BaseModelTests {
  private let folder = TemporaryFolder()
  private typealias Named = (name: String, value: Tensor)

  /// One fixture of each naming that has a base class, and the part that the names of the base
  /// class lack.
  static let models = [
    ("llama-tiny/huggingface", "model."), ("llama-tiny/llama3", "model."),
    ("llama-tiny/mistral", "model."), ("gpt-neox-tiny/huggingface", "gpt_neox."),
    ("mamba-tiny/huggingface", "backbone."), ("mamba-tiny/untied", "backbone."),
    ("mamba-tiny/state-spaces", "backbone."), ("mamba2-tiny/huggingface", "backbone."),
    ("mamba2-tiny/grouped", "backbone."), ("mamba2-tiny/state-spaces", "backbone."),
    ("rwkv-tiny/rwkv4/huggingface", "rwkv."), ("rwkv-tiny/rwkv5/huggingface", "rwkv."),
    ("rwkv-tiny/rwkv6/huggingface", "rwkv."), ("rwkv-tiny/rwkv7/fla", "model."),
    ("btlm-tiny/huggingface", "transformer."), ("btlm-tiny/untied", "transformer."),
  ]
  private static let heads = ["lm_head.weight", "embed_out.weight", "head.weight"]

  /// Writes the fixture's tensors under other names, beside its configuration.
  private func checkpoint(
    _ fixture: String, _ rename: (String) -> String?
  ) throws -> String {
    let source = try SafetensorsFile(PackageFiles.fixture("\(fixture)/model.safetensors"))
    var writer = SafetensorsWriter()
    for entry in source.tensors {
      guard let name = rename(entry.name) else { continue }
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      writer.add(name, try #require(value))
    }
    try writer.publish(to: folder.path("model.safetensors"), replacing: true)
    folder.write(
      try InputFile(PackageFiles.fixture("\(fixture)/config.json")).readAll(limit: 1 << 20),
      to: "config.json")
    return folder.path
  }

  private func convert(_ path: String) throws -> (bytes: [UInt8], notes: [String]) {
    var options = ConversionOptions()
    options.replacing = true
    let report = try Conversion(path, options: options).write(to: folder.path("out.sxt"))
    return (try InputFile(folder.path("out.sxt")).readAll(limit: 1 << 26), report.notes)
  }

  private func withoutBase(_ name: String, _ base: String) -> String {
    name.hasPrefix(base) ? String(name.dropFirst(base.count)) : name
  }

  @Test(arguments: models)
  func namesWithoutTheirFirstPartAreRead(fixture: String, base: String) throws {
    let whole = try convert(PackageFiles.fixture(fixture)).bytes
    // The head keeps its name if it is in the checkpoint.
    for prefix in ["", "module."] {
      let path = try checkpoint(fixture) { prefix + withoutBase($0, base) }
      let (bytes, notes) = try convert(path)
      #expect(bytes == whole)
      #expect(notes.contains { $0.contains("base model") && $0.contains("\"\(base)\"") })
    }
  }

  @Test(arguments: models)
  func aHeadThatIsMissingAndNotTiedIsRefusedAsSuch(fixture: String, base: String) throws {
    let whole = try convert(PackageFiles.fixture(fixture)).bytes
    // A tied head may be in the checkpoint. It is never in a store.
    let hasHead = try ModelStore(opening: folder.path("out.sxt")).entry("head.weight") != nil
    let path = try checkpoint(fixture) {
      Self.heads.contains($0) ? nil : withoutBase($0, base)
    }
    guard hasHead else {
      #expect(try convert(path).bytes == whole)
      return
    }
    let refusal = expectRefusal(.modelTied) { try convert(path) }
    #expect(refusal?.found.hasPrefix("only the base model: the output head is missing") == true)
    #expect(refusal?.remedy.contains("LlamaForCausalLM") == true)
  }

  @Test func aBaseModelBesideOtherGroupsIsChosenByItsName() throws {
    let fixture = "mamba-tiny/huggingface"
    let whole = try convert(PackageFiles.fixture(fixture)).bytes
    let path = try checkpoint(fixture) { "student." + withoutBase($0, "backbone.") }
    var options = ConversionOptions()
    options.replacing = true
    options.group = "student"
    _ = try Conversion(path, options: options).write(to: folder.path("out.sxt"))
    #expect(try InputFile(folder.path("out.sxt")).readAll(limit: 1 << 26) == whole)
  }

  @Test func namesThatAreThereTwiceAreRefused() throws {
    let path = try checkpoint("mamba-tiny/huggingface") {
      $0 == "backbone.norm_f.weight" ? $0 : withoutBase($0, "backbone.")
    }
    // One full name among them is accepted. Both spellings of one name are refused.
    _ = try convert(path)
    var writer = SafetensorsWriter()
    let file = try SafetensorsFile(folder.path("model.safetensors"))
    for entry in file.tensors {
      let value = try file.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      writer.add(entry.name, try #require(value))
    }
    writer.add("norm_f.weight", Tensor(zeros: [40]))
    try writer.publish(to: folder.path("model.safetensors"), replacing: true)
    expectRefusal(.modelGroup) { try convert(path) }
  }

  /// The words of published configurations name their architectures.
  @Test(
    arguments: [
      ("LlamaForCausalLM", "llama"), ("MistralForCausalLM", "llama"), ("mistral", "llama"),
      ("llama", "llama"), ("GPTNeoXForCausalLM", "gpt-neox"), ("gpt_neox", "gpt-neox"),
      ("gpt-neox", "gpt-neox"), ("MambaModel", "mamba"), ("Mamba2ForCausalLM", "mamba2"),
      ("RwkvForCausalLM", "rwkv4"), ("rwkv", "rwkv4"), ("RWKV7ForCausalLM", "rwkv7"),
      ("BTLMLMHeadModel", "btlm"), ("GPT2LMHeadModel", nil), ("", nil), ("LLAMA", nil),
    ] as [(String, String?)])
  func architecturesHaveTheNamesOfConfigurationsToo(word: String, name: String?) {
    #expect(Architectures.meant(by: word)?.name == name)
  }

  /// A Mistral has other defaults than a Llama, so that the word counts where the configuration names no model.
  @Test func theWordStandsInWhereTheConfigurationNamesNoModel() throws {
    let path = try checkpoint("llama-tiny/mistral") { $0 }
    let reference = try convert(path).bytes
    var config = try JSONNode(
      parsing: InputFile(folder.path("config.json")).readAll(limit: 1 << 20),
      code: .modelConfiguration, file: nil
    ).object()
    for key in ["model_type", "architectures"] { config[key] = nil }
    folder.write(JSONValue.object(config).canonicalText, to: "config.json")
    var options = ConversionOptions()
    options.replacing = true
    for word in ["mistral", "MistralForCausalLM"] {
      options.architecture = word
      _ = try Conversion(path, options: options).write(to: folder.path("out.sxt"))
      #expect(try InputFile(folder.path("out.sxt")).readAll(limit: 1 << 26) == reference)
    }
    options.architecture = "LlamaForCausalLM"
    _ = try Conversion(path, options: options).write(to: folder.path("out.sxt"))
    #expect(try InputFile(folder.path("out.sxt")).readAll(limit: 1 << 26) != reference)
    options.architecture = "GPT2LMHeadModel"
    let refusal = expectRefusal(.modelArchitecture) { try Conversion(path, options: options) }
    #expect(refusal?.expected.contains("LlamaForCausalLM") == true)
  }
}
