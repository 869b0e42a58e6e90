import SextantBytes
import SextantCheckpoints
import SextantModelTestSupport
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantConversion

/// Tokenizers of presets of keras-hub.
@Suite struct KerasTokenizerTests {
  private let files = ConversionFolder()
  private var folder: TemporaryFolder { files.folder }

  private static let kinds = [
    ("llama", "vocabulary.spm", "<s>", ["</s>"]),
    ("llama3", "vocabulary.json", "<|begin_of_text|>", ["<|end_of_text|>", "<|eot_id|>"]),
    ("gpt_neox", "vocabulary.json", "<|endoftext|>", ["<|endoftext|>"]),
    ("qwen3", "vocabulary.json", "", ["<|im_end|>"]),
  ]

  private func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path).readAll(limit: 1 << 30)
  }

  /// A preset of a random model with a tokenizer of the fixtures.
  private func preset(_ name: String) throws -> String {
    let configurations = [
      "llama": #"{"model_type": "llama", "#, "llama3": #"{"model_type": "llama", "#,
      "gpt_neox":
        #"{"model_type": "gpt_neox", "hidden_act": "gelu_new", "tie_word_embeddings": true, "#,
      "qwen3": #"{"model_type": "qwen3", "head_dim": 8, "num_key_value_heads": 2, "#,
    ]
    let sizes = """
      "vocab_size": 340, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, \
      "num_attention_heads": 2}
      """
    let store = try RandomModel.store(
      (configurations[name] ?? "") + sizes, at: folder.path("random.sxt"))
    let path = folder.path("preset")
    _ = try ModelExport(store, as: .kerasHub).write(to: path)
    let source = PackageFiles.fixture("keras/hub/tokenizers/\(name)")
    folder.write(try bytes("\(source)/tokenizer.json"), to: "preset/tokenizer.json")
    folder.makeFolder("preset/assets")
    folder.makeFolder("preset/assets/tokenizer")
    for file in TemporaryFolder.entries(of: "\(source)/assets/tokenizer") {
      folder.write(
        try bytes("\(source)/assets/tokenizer/\(file)"), to: "preset/assets/tokenizer/\(file)")
    }
    return path
  }

  @Test(arguments: kinds)
  func thePresetsTokenizerIsTakenAlong(
    name: String, file: String, start: String, ends: [String]
  ) throws {
    let path = try preset(name)
    #expect(try CheckpointSource.open(path).tokenizers == ["\(path)/assets/tokenizer/\(file)"])
    let store = try files.convert(path, as: "m.sxt")
    let tokenizer = try #require(try ModelTokenizer.load(from: store))
    let prompt = try JSONNode(
      parsing: bytes(PackageFiles.fixture("keras/hub/tokenizers/\(name)/prompt.json")),
      code: .tokenizerInvalid, file: nil)
    let text = try prompt.member("text").string()
    let ids = try prompt.member("ids").elements().map { try $0.integer() }
    #expect(tokenizer.encode(text) == ids)
    // Keras' preprocessor puts the start token before every text.
    let begin = start.isEmpty ? [] : [try #require(tokenizer.id(ofToken: start))]
    #expect(tokenizer.beginOfTextIDs == begin)
    #expect(tokenizer.endOfTextIDs == ends.compactMap { tokenizer.id(ofToken: $0) })
  }

  @Test(arguments: kinds)
  func anExportedPresetHasTheTokenizer(
    name: String, file: String, start: String, ends: [String]
  ) throws {
    let source = try preset(name)
    let store = try files.convert(source, as: "a.sxt")
    let report = try ModelExport(store, as: .kerasHub).write(to: folder.path("out"))
    #expect(report.files.contains("assets/tokenizer/\(file)"))
    let again = try files.convert(folder.path("out"), as: "b.sxt")
    #expect(try bytes(again.path) == bytes(store.path))
    let (ours, theirs) = try (description(folder.path("out")), description(source))
    #expect(ours["class_name"] == theirs["class_name"] && ours["module"] == theirs["module"])
    // Llama 3 differs from Llama 2 in the tokenizer, and the class of the model goes with it.
    let config = try JSONNode(
      parsing: bytes(folder.path("out/config.json")), code: .modelConfiguration, file: nil)
    let className = try config.member("class_name").string()
    #expect((className == "Llama3Backbone") == (name == "llama3"))
  }

  private func description(_ folder: String) throws -> JSONObject {
    try JSONNode(parsing: bytes("\(folder)/tokenizer.json"), code: .tokenizerInvalid, file: nil)
      .object()
  }

  @Test func aTokenizerThatKerasHubDoesNotHaveIsLeftOut() throws {
    // A Qwen3 with the SentencePiece model of a Llama.
    let path = try preset("qwen3")
    var options = ConversionOptions()
    options.tokenizer = PackageFiles.fixture(
      "keras/hub/tokenizers/llama/assets/tokenizer/vocabulary.spm")
    let store = try files.convert(path, as: "a.sxt", options)
    let report = try ModelExport(store, as: .kerasHub).write(to: folder.path("out"))
    #expect(report.files == ["model.weights.h5", "metadata.json", "config.json"])
    #expect(report.notes.contains { $0.hasPrefix("without a tokenizer") })
  }

  @Test func theTokenizerCanBeLeftOut() throws {
    let store = try files.convert(preset("llama3"), as: "a.sxt")
    var options = ModelExportOptions()
    options.leavesOutTokenizer = true
    let report = try ModelExport(store, as: .kerasHub, options: options).write(
      to: folder.path("out"))
    #expect(report.files == ["model.weights.h5", "metadata.json", "config.json"])
  }

  @Test func brokenFilesAreRefused() throws {
    let path = try preset("gpt_neox")
    folder.write("a\n", to: "preset/assets/tokenizer/merges.txt")
    expectRefusal(.tokenizerInvalid) { try files.convert(path, as: "m.sxt") }
    folder.write([0xFF, 0x0A], to: "preset/assets/tokenizer/merges.txt")
    expectRefusal(.tokenizerInvalid) { try files.convert(path, as: "m.sxt") }
    folder.write("[]", to: "preset/assets/tokenizer/vocabulary.json")
    expectRefusal(.jsonNotObject) { try files.convert(path, as: "m.sxt") }
  }
}
