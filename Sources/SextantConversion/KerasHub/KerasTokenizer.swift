import SextantBytes
import SextantTokenizers

/// A tokenizer of a preset of keras-hub: a class, and files in `assets/tokenizer/`.
///
/// The classes of keras-hub know the names of special tokens. Its preprocessors put the start token before
/// every text.
struct KerasTokenizer {
  /// A tokenizer's class in keras-hub, for the models of one class.
  struct Class: Sendable {
    /// The models' class.
    let backbone: String
    /// The name of the tokenizer's class.
    let name: String
    /// Its Python module in `keras_hub.src.models`.
    let module: String
    /// The form of its files.
    let form: Form
    /// The token before a text; nil if there is none.
    var start: String?
    /// The tokens that end a text.
    var ends: [String] = []
    /// Other tokens that a vocabulary must have.
    var others: [String] = []
    /// A switch for tokens for images.
    var hasVisionSwitch = false
  }

  /// The form of a tokenizer's files.
  enum Form: Sendable {
    /// `vocabulary.spm`: a SentencePiece model.
    case sentencePiece
    /// `vocabulary.json` and `merges.txt`: byte-level byte pairs.
    case bytePairs
    /// `vocabulary.txt`: RWKV's.
    case world
  }

  /// The classes; several may be for one class of models.
  static let classes: [Class] = [
    Class(
      backbone: "LlamaBackbone", name: "LlamaTokenizer", module: "llama.llama_tokenizer",
      form: .sentencePiece, start: "<s>", ends: ["</s>"]),
    Class(
      backbone: "Llama3Backbone", name: "Llama3Tokenizer", module: "llama3.llama3_tokenizer",
      form: .bytePairs, start: "<|begin_of_text|>", ends: ["<|end_of_text|>", "<|eot_id|>"],
      others: ["<|start_header_id|>", "<|end_header_id|>"]),
    Class(
      backbone: "MistralBackbone", name: "MistralTokenizer", module: "mistral.mistral_tokenizer",
      form: .sentencePiece, start: "<s>", ends: ["</s>"]),
    Class(
      backbone: "MistralBackbone", name: "MistralTekkenTokenizer",
      module: "mistral.mistral_tokenizer", form: .bytePairs, start: "<s>", ends: ["</s>"]),
    Class(
      backbone: "GPTNeoXBackbone", name: gptNeoX, module: "gpt_neo_x.gpt_neo_x_tokenizer",
      form: .bytePairs, start: "<|endoftext|>", ends: ["<|endoftext|>"]),
    Class(
      backbone: "QwenBackbone", name: "QwenTokenizer", module: "qwen.qwen_tokenizer",
      form: .bytePairs, ends: ["<|endoftext|>"]),
    Class(
      backbone: "Qwen3Backbone", name: "Qwen3Tokenizer", module: "qwen3.qwen3_tokenizer",
      form: .bytePairs, ends: ["<|im_end|>"], others: ["<|endoftext|>"]),
    Class(
      backbone: "Qwen3_5Backbone", name: "Qwen3_5Tokenizer", module: "qwen3_5.qwen3_5_tokenizer",
      form: .bytePairs, ends: ["<|im_end|>"], others: ["<|endoftext|>", "<|im_start|>"],
      hasVisionSwitch: true),
    Class(
      backbone: "Gemma3Backbone", name: "Gemma3Tokenizer", module: "gemma3.gemma3_tokenizer",
      form: .sentencePiece, start: "<bos>", ends: ["<eos>"], others: ["<pad>"],
      hasVisionSwitch: true),
    Class(
      backbone: "RWKV7Backbone", name: "RWKVTokenizer", module: "rwkv7.rwkv7_tokenizer",
      form: .world),
  ]

  private static let gptNeoX = "GPTNeoXTokenizer"

  /// The names of the files with byte pairs.
  static let (vocabularyName, mergesName) = ("vocabulary.json", "merges.txt")
  /// The name of the file with a SentencePiece model.
  static let modelName = "vocabulary.spm"

  /// The class, if it is known.
  let known: Class?
  private let configuration: JSONNode?

  /// The tokenizer whose files are in `folder`, which ends with `assets/tokenizer`; nil for another folder.
  ///
  /// - Throws: `file.*`, `json.*`, `model.tokenizer` for a description of another form.
  init?(in folder: String) throws(Refusal) {
    let ending = "assets/tokenizer"
    guard folder == ending || folder.hasSuffix("/\(ending)") else { return nil }
    let root = String(folder.dropLast(ending.count))
    let description = try SideFile.read(
      "tokenizer.json", in: root.isEmpty ? "." : String(root.dropLast()))
    let name = try description?.optionalMember("class_name")?.string()
    known = Self.classes.first { $0.name == name }
    configuration = try description?.optionalMember("config")
  }

  // MARK: Reading

  /// The additions to a SentencePiece model.
  func additions(to model: any Tokenizer) -> JSONObject {
    guard let start = known?.start, let id = model.id(ofToken: start) else { return JSONObject() }
    return JSONObject([("begin_of_text", [.integer(Int64(id))])])
  }

  /// A `tokenizer.json` of byte pairs.
  ///
  /// - Parameters:
  ///   - vocabulary: the content of `vocabulary.json`.
  ///   - merges: that of `merges.txt`.
  /// - Throws: `json.*`, `model.tokenizer`, `tokenizer.invalid`.
  func bytePairs(
    vocabulary: [UInt8], at path: String, merges: [UInt8]
  ) throws(Refusal) -> [UInt8] {
    let limits = JSONLimits(byteCount: Tokenizers.byteCountLimit, stringByteCount: 4 << 20)
    let root = try JSONNode(
      parsing: vocabulary, limits: limits, code: .tokenizerInvalid, file: path)
    var words = try root.object()
    guard let text = String(validating: merges, as: UTF8.self) else {
      throw Refusal(
        .tokenizerInvalid, file: path, found: "a \(Self.mergesName) that is not UTF-8",
        expected: "UTF-8")
    }
    let lines = text.utf8.split(separator: UInt8(ascii: "\n")).map { line in
      String(Substring(line.last == UInt8(ascii: "\r") ? line.dropLast() : line))
    }
    var added: [(id: Int64, content: String)] = []
    for name in try specialTokens {
      guard case .integer(let id)? = words[name] else { continue }
      words[name] = nil
      added.append((id, name))
    }
    added.sort { $0.id < $1.id }
    let addsSpace = try configuration?.optionalMember("add_prefix_space")?.boolean() ?? false
    let begin = known?.start.flatMap { start in
      added.first { $0.content.utf8.elementsEqual(start.utf8) }
    }
    let json: JSONValue = [
      "version": "1.0", "truncation": .null, "padding": .null,
      "added_tokens": .array(
        added.map {
          [
            "id": .integer($0.id), "content": .string($0.content), "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true,
          ]
        }),
      "normalizer": .null, "pre_tokenizer": try preTokenizer(addsSpace: addsSpace),
      "post_processor": begin.map { Self.template($0.id, $0.content) } ?? .null,
      "decoder": [
        "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
      ],
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": false, "vocab": .object(words),
        "merges": .array(lines.map { .string($0) }),
      ],
    ]
    return json.canonicalBytes
  }

  /// The tokens that are never split: those that the description lists, and those of the class.
  private var specialTokens: [String] {
    get throws(Refusal) {
      var names: [String] = []
      if let known { names = [known.start].compactMap { $0 } + known.ends + known.others }
      for node in try configuration?.optionalMember("unsplittable_tokens")?.elements() ?? [] {
        names.append(try node.string())
      }
      var found: Set<ExactString> = []
      return names.filter { found.insert(ExactString($0)).inserted }
    }
  }

  /// How texts are split before byte pairs are joined: by the pattern of GPT-2 for GPT-NeoX, by the pattern of
  /// the description, or else by that of Llama 3, which keras-hub names for all.
  private func preTokenizer(addsSpace: Bool) throws(Refusal) -> JSONValue {
    if known?.name == Self.gptNeoX { return Self.byteLevel(addsSpace: addsSpace, splits: true) }
    let own = try configuration?.optionalMember("split_pattern")?.string()
    let split: JSONValue = [
      "type": "Split", "pattern": ["Regex": .string(own ?? Self.llama3Pattern)],
      "behavior": "Isolated", "invert": false,
    ]
    return [
      "type": "Sequence",
      "pretokenizers": [split, Self.byteLevel(addsSpace: addsSpace, splits: false)],
    ]
  }

  private static let llama3Pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"#
    + #"\s*[\r\n]+|\s+(?!\S)|\s+"#

  private static func byteLevel(addsSpace: Bool, splits: Bool) -> JSONValue {
    [
      "type": "ByteLevel", "add_prefix_space": .boolean(addsSpace), "trim_offsets": true,
      "use_regex": .boolean(splits),
    ]
  }

  /// A post-processor that puts a token before a text.
  private static func template(_ id: Int64, _ name: String) -> JSONValue {
    let token: JSONValue = ["SpecialToken": ["id": .string(name), "type_id": 0]]
    let text: JSONValue = ["Sequence": ["id": "A", "type_id": 0]]
    let content: JSONValue = [
      "id": .string(name), "ids": [.integer(id)], "tokens": [.string(name)],
    ]
    let tokens = JSONObject([(name, content)])
    return [
      "type": "TemplateProcessing", "single": [token, text],
      "pair": [token, text, ["Sequence": ["id": "B", "type_id": 1]]],
      "special_tokens": .object(tokens),
    ]
  }
}
