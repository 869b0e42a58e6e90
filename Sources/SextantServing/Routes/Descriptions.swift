import SextantBytes
import SextantModels
import SextantTokenizers

extension Service {
  // MARK: Models

  /// `GET /v1/models`: the model, and each preset as a model of its own.
  func models() -> ServingResponse {
    let names = [options.modelName] + options.presets.map { "\(options.modelName)+\($0)" }
    return .json(["object": "list", "data": .array(names.map(modelObject))])
  }

  /// `GET /v1/models/{id}`: any name that requests may use.
  func model(_ name: String) throws -> ServingResponse {
    do {
      _ = try steering(ofModel: name)
    } catch {
      var error = ServingError(any: error)
      if error.status != 422 { (error.status, error.code) = (404, "model_not_found") }
      throw error
    }
    return .json(modelObject(name))
  }

  private func modelObject(_ name: String) -> JSONValue {
    var object = JSONObject([
      ("id", .string(name)), ("object", "model"), ("created", 0), ("owned_by", "sextant"),
      ("architecture", .string(loaded.description.architecture)),
      ("identity", .string(loaded.store.identity.description)),
      ("vocabulary_size", .integer(Int64(vocabularySize))),
    ])
    if let length = loaded.description.context?.length {
      object["max_model_len"] = .integer(Int64(length))
    }
    return .object(object)
  }

  /// Tokens of a text at most.
  private var maximumLength: Int {
    loaded.description.context?.length ?? options.maximumPrompt
  }

  // MARK: The tokenizer

  /// `GET /tokenizer_info`.
  func tokenizerInfo() -> ServingResponse {
    let text = { [tokenizer] (id: Int?) -> JSONValue in
      id.map { .string(tokenizer.decode([$0])) } ?? .null
    }
    return .json([
      "tokenizer_class": .string("\(type(of: tokenizer))"),
      "bos_token": text(tokenizer.beginOfTextIDs.first ?? tokenizer.endOfTextIDs.first),
      "eos_token": text(tokenizer.endOfTextIDs.first), "pad_token": .null, "chat_template": .null,
      "vocab_size": .integer(Int64(vocabularySize)),
    ])
  }

  /// `POST /tokenize`.
  func tokenize(_ request: ServingRequest) throws -> ServingResponse {
    let body = try RequestBody(request.body, .tokenize)
    _ = try body.string("model").map { try steering(ofModel: $0) }
    let content = try body.string("content")
    guard let text = try content ?? body.value("prompt")?.string() else {
      throw ServingError(
        .option, "`prompt` or `content` is missing.", parameter: "prompt")
    }
    // llama.cpp puts nothing before a text unless it is asked to; vLLM does.
    let asked = try body.value("add_special_tokens")?.boolean()
    let begins = try body.boolean("add_special") ?? asked ?? (content == nil)
    let ids = (begins ? tokenizer.beginOfTextIDs : []) + tokenizer.encode(text)
    let pieces = try body.boolean("with_pieces") ?? false
    return .json([
      "tokens": .array(ids.map { pieces ? piece($0) : .integer(Int64($0)) }),
      "count": .integer(Int64(ids.count)), "max_model_len": .integer(Int64(maximumLength)),
    ])
  }

  /// A token with its text, or its bytes if they are no whole text.
  private func piece(_ id: Int) -> JSONValue {
    let bytes = tokenizer.bytes(of: id) ?? []
    let text = String(validating: bytes, as: UTF8.self).map { JSONValue.string($0) }
    return [
      "id": .integer(Int64(id)),
      "piece": text ?? .array(bytes.map { .integer(Int64($0)) }),
    ]
  }

  /// `POST /detokenize`.
  func detokenize(_ request: ServingRequest) throws -> ServingResponse {
    let body = try RequestBody(request.body, .detokenize)
    _ = try body.string("model").map { try steering(ofModel: $0) }
    guard let node = try body.value("tokens") else {
      throw ServingError(.option, "`tokens` is missing.", parameter: "tokens")
    }
    let text = tokenizer.decode(try node.ids(below: vocabularySize, limit: 2_000_000))
    return .json(["prompt": .string(text), "content": .string(text)])
  }

  // MARK: llama.cpp's properties, artifacts and presets

  /// `GET /props`.
  func properties() -> ServingResponse {
    .json([
      "default_generation_settings": [
        "n_ctx": .integer(Int64(maximumLength)),
        "params": ["temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05],
      ], "total_slots": .integer(Int64(options.parallel)),
      "model_path": .string(options.modelName), "model_alias": .string(options.modelName),
      "chat_template": "", "build_info": "sextant",
    ])
  }

  /// `GET /sextant/v1/artifacts`: what requests can name, and whether it fits the model.
  func artifacts() -> ServingResponse {
    let rows = shelf.entries.map { entry -> JSONValue in
      var row = JSONObject([("name", .string(entry.name)), ("file", .string(entry.fileName))])
      do {
        let artifact = try shelf.artifact(entry.name, parameter: "name").artifact
        row["kind"] = .string(artifact.manifest.kind)
        row["sites"] = .array(artifact.manifest.sites.map { .string($0.name) })
        for (name, value) in Self.facts(of: artifact).members { row[name] = value }
        try fit(artifact)
        row["fits"] = true
      } catch {
        let error = ServingError(any: error)
        row["fits"] = false
        row["error"] = [
          "code": error.code.map { .string($0) } ?? .null, "message": .string(error.message),
        ]
      }
      return .object(row)
    }
    return .json(["object": "list", "data": .array(rows)])
  }

  /// `GET /sextant/v1/presets`.
  func presets() -> ServingResponse {
    .json([
      "default": .array(options.steering.map { .string($0) }),
      "presets": .array(options.presets.map { .string($0) }),
    ])
  }
}
