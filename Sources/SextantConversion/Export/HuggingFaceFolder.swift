import Glibc
import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTensor
import SextantTokenizers

extension ModelExport {
  /// Writes a folder as transformers loads it; `config.json` comes last, so that a folder that has it
  /// is complete.
  ///
  /// - Returns: the names of the files.
  func writeFolder(
    _ path: String, _ meter: Meter, _ notes: inout [String]
  ) throws(Refusal) -> [String] {
    var folder = path
    while folder.utf8.count > 1, folder.hasSuffix("/") { folder.removeLast() }
    let shards = shards()
    let isSharded = shards.count > 1
    let names = shards.indices.map {
      isSharded ? Self.shardName($0, of: shards.count) : "model.safetensors"
    }
    var side: [(name: String, bytes: [UInt8])] = []
    if isSharded { side.append(("model.safetensors.index.json", index(shards, names))) }
    side += try chatFiles(tokenizerFiles(&notes))
    let end = try endOfText()
    if let end {
      let generation = JSONObject([("eos_token_id", end)])
      side.append(("generation_config.json", JSONValue.object(generation).canonicalBytes))
    }
    side.append(("config.json", try configuration(endOfText: end)))

    let isNew = try Self.makeFolder(folder)
    do throws(Refusal) {
      try publish(zip(names, shards), side, in: folder, meter)
    } catch {
      // Goes only if it is empty.
      if isNew { Self.removeFolders([folder]) }
      throw error
    }
    return names + side.map(\.name)
  }

  private func publish(
    _ weights: some Sequence<(String, [PublishedModel.Published])>,
    _ side: [(name: String, bytes: [UInt8])], in folder: String, _ meter: Meter
  ) throws(Refusal) {
    let names = weights.map { $0.0 } + side.map(\.name)
    try checkAlone(names, in: folder)
    let model = ProtectedFiles([store.path])
    for name in names { try model.check("\(folder)/\(name)") }
    if !options.replacing {
      // Refuses existing files before anything is written.
      for name in names { _ = try FilePublisher("\(folder)/\(name)") }
    }
    for (name, tensors) in weights {
      try writer(tensors, meter).publish(to: "\(folder)/\(name)", replacing: options.replacing)
    }
    for (name, bytes) in side {
      try FilePublisher.publish(bytes, to: "\(folder)/\(name)", replacing: options.replacing)
    }
  }

  /// Makes a folder, unless it is there; whether it is new.
  static func makeFolder(_ folder: String) throws(Refusal) -> Bool {
    if mkdir(folder, 0o777) == 0 { return true }
    if errno == EEXIST, CheckpointSource.isFolder(folder) { return false }
    throw Refusal(
      .fileCreate, file: folder, found: String(cString: strerror(errno)),
      expected: "a folder, or a path for a new one")
  }

  /// Removes folders, as far as they are empty.
  static func removeFolders(_ folders: [String]) {
    for folder in folders { rmdir(folder) }
  }

  /// Refuses a folder with a checkpoint of another name, which programs might read instead of ours.
  private func checkAlone(_ names: [String], in folder: String) throws(Refusal) {
    let others = ["model.safetensors", "model.safetensors.index.json"].filter {
      !names.contains($0) && access("\(folder)/\($0)", F_OK) == 0
    }
    guard let other = others.first else { return }
    throw Refusal(
      .fileExists, file: "\(folder)/\(other)", found: "other weights",
      expected: "a folder without them", remedy: "Remove the file, or name another folder.")
  }

  // MARK: Weights

  /// The tensors of each file: as many as fit, in the model's order.
  private func shards() -> [[PublishedModel.Published]] {
    var shards: [[PublishedModel.Published]] = [[]]
    var size = 0
    for tensor in model.tensors {
      if size > 0, size + tensor.byteCount > options.shardByteLimit {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(tensor)
      size += tensor.byteCount
    }
    return shards
  }

  private static func shardName(_ place: Int, of count: Int) -> String {
    func padded(_ number: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
    return "model-\(padded(place + 1))-of-\(padded(count)).safetensors"
  }

  private func index(_ shards: [[PublishedModel.Published]], _ names: [String]) -> [UInt8] {
    let map = zip(names, shards).flatMap { name, tensors in
      tensors.map { ($0.name, JSONValue.string(name)) }
    }
    let total = model.tensors.reduce(0) { $0 + $1.byteCount }
    let index: JSONValue = [
      "metadata": ["total_size": .integer(Int64(total))], "weight_map": .object(JSONObject(map)),
    ]
    return index.canonicalBytes
  }

  // MARK: Side files

  /// The ids that end a text, as the files have them: one, or a list; nil if none is known.
  func endOfText() throws(Refusal) -> JSONValue? {
    let ids = try ModelTokenizer.endOfTextIDs(of: store).map { JSONValue.integer(Int64($0)) }
    return ids.count > 1 ? .array(ids) : ids.first
  }

  private func configuration(endOfText: JSONValue?) throws(Refusal) -> [UInt8] {
    var object = try architecture.published(store.configuration, dialect: model.dialect.name)
    let types = Set(model.tensors.map(\.dataType))
    let name = types.contains(.bf16) ? "bfloat16" : types.contains(.f16) ? "float16" : "float32"
    object["dtype"] = .string(name)
    object["torch_dtype"] = .string(name)
    if let endOfText { object["eos_token_id"] = endOfText }
    return JSONValue.object(object).canonicalBytes
  }

  /// The tokenizer under the name that its format has there.
  private func tokenizerFiles(
    _ notes: inout [String]
  ) throws(Refusal) -> [(name: String, bytes: [UInt8])] {
    guard !options.leavesOutTokenizer,
      let bytes = try store.attachment(ModelTokenizer.attachmentName)
    else { return [] }
    let tokenizer = BoundedTokenizer(
      try Tokenizers.load(bytes: bytes), end: try ModelTokenizer.storedEndOfTextIDs(of: store))
    if Tokenizers.isSentencePieceModel(bytes) { return try sentencePieceFiles(bytes, tokenizer) }
    if bytes.first == UInt8(ascii: "{") {
      guard !tokenizer.takesLongestTokens else {
        notes.append("the tokenizer is one of bytes, and transformers has no file format for it")
        return []
      }
      var settings = JSONObject([("tokenizer_class", "PreTrainedTokenizerFast")])
      if let end = tokenizer.endOfTextID, let token = tokenizer.token(end) {
        settings["eos_token"] = .string(token)
      }
      return [
        ("tokenizer.json", bytes),
        ("tokenizer_config.json", JSONValue.object(settings).canonicalBytes),
      ]
    }
    return [("rwkv_vocab_v20230424.txt", bytes)]
  }

  /// The tokenizer's files with the chat template: as a file of its own, or in `tokenizer_config.json` if
  /// there are several. The tokens that templates use by name are declared there, too.
  private func chatFiles(
    _ files: [(name: String, bytes: [UInt8])]
  ) throws(Refusal) -> [(name: String, bytes: [UInt8])] {
    guard !options.leavesOutTokenizer, let chat = try PublishedChat.load(from: store) else {
      return files
    }
    var files = files
    let name = "tokenizer_config.json"
    let place = files.firstIndex { $0.name == name }
    var settings = JSONObject()
    if let place {
      settings = try JSONNode(parsing: files[place].bytes, code: .modelTokenizer, file: nil)
        .object()
    }
    if let bos = chat.bos { settings["bos_token"] = .string(bos) }
    if let eos = chat.eos { settings["eos_token"] = .string(eos) }
    if chat.templates.count == 1, let main = chat.main {
      files.append(("chat_template.jinja", Array(main.utf8)))
    } else {
      settings["chat_template"] = .array(
        chat.templates.map {
          .object(JSONObject([("name", .string($0.name)), ("template", .string($0.text))]))
        })
    }
    let bytes = JSONValue.object(settings).canonicalBytes
    if let place { files[place].bytes = bytes } else { files.append((name, bytes)) }
    return files
  }

  /// The original `tokenizer.model`, and the additions to it.
  private func sentencePieceFiles(
    _ bytes: [UInt8], _ tokenizer: any Tokenizer
  ) throws(Refusal) -> [(name: String, bytes: [UInt8])] {
    let (model, additions) = try Tokenizers.partsOfSentencePiece(bytes)
    guard !additions.members.isEmpty else { return [("tokenizer.model", model)] }
    let legacy = additions["legacy"] ?? false
    var settings = JSONObject([("tokenizer_class", "LlamaTokenizer"), ("legacy", legacy)])
    var decoder: [(String, JSONValue)] = []
    if case .array(let tokens)? = additions["added_tokens"] {
      for case .object(var token) in tokens {
        guard let id = token["id"] else { continue }
        token["id"] = nil
        decoder.append((id.canonicalText, .object(token)))
      }
    }
    let added = Set(decoder.map(\.0))
    settings["added_tokens_decoder"] = .object(JSONObject(decoder))
    if let begin = tokenizer.beginOfTextIDs.first, let token = tokenizer.token(begin) {
      settings["add_bos_token"] = true
      settings["bos_token"] = .string(token)
    }
    if let end = tokenizer.endOfTextID, added.contains("\(end)"), let token = tokenizer.token(end) {
      settings["eos_token"] = .string(token)
    }
    return [
      ("tokenizer.model", model),
      ("tokenizer_config.json", JSONValue.object(settings).canonicalBytes),
    ]
  }
}
