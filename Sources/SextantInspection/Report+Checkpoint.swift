import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantReport
import SextantTensor

extension Report {
  /// The content of a foreign checkpoint.
  ///
  /// - Parameter rowLimit: rows of the table for people.
  package init(checkpoint source: CheckpointSource, rowLimit: Int) {
    let checkpoint = source.checkpoint
    let tensors = checkpoint.tensors
    let parameters = tensors.reduce(0) { $0 + (Shape.elementCount($1.shape) ?? 0) }
    let bytes = tensors.reduce(0) { $0 + $1.byteCount }
    let metadata = checkpoint.metadata.sorted { ExactString($0.key) < ExactString($1.key) }
    var facts = [
      ("parameters", Format.count(parameters)), ("weights", Format.bytes(bytes)),
      ("config.json", source.configuration.map { printable($0) } ?? "none in its folder"),
      ("tokenizer", source.tokenizers.first.map { printable($0) } ?? "none in its folder"),
    ]
    let kerasClass = Self.kerasClass(of: source)
    if let kerasClass { facts.append(("class of Keras", printable(kerasClass))) }
    for (key, value) in metadata {
      facts.append(("metadata \(printable(key))", printable(value, limit: 80)))
    }
    var table = Table(["name", "type", "shape", "#bytes"])
    for tensor in tensors {
      table.add([
        printable(tensor.name), tensor.encoding ?? tensor.dataType.rawValue,
        Format.shape(tensor.shape),
        Format.count(tensor.byteCount),
      ])
    }
    let json = JSONObject([
      ("file", .string(checkpoint.path)), ("type", "checkpoint"),
      ("format", .string(checkpoint.format)), ("parameters", JSONValue(parameters)),
      ("tensor_bytes", JSONValue(bytes)),
      ("keras_class", kerasClass.map { .string($0) } ?? .null),
      ("metadata", .object(JSONObject(metadata.map { ($0.key, .string($0.value)) }))),
      ("notes", .array(source.warnings.map { .string($0) })),
      (
        "tensors",
        .array(
          tensors.map {
            [
              "name": .string($0.name), "dtype": .string($0.dataType.rawValue),
              "encoding": $0.encoding.map { .string($0) } ?? .null,
              "shape": JSONValue(shape: $0.shape), "bytes": JSONValue($0.byteCount),
            ]
          })
      ),
    ])
    self.init(
      title: "\(printable(checkpoint.path)): a checkpoint, \(checkpoint.format)", facts: facts,
      tables: [(counted(tensors.count, "tensor"), table.abbreviated(to: rowLimit))],
      notes: source.warnings.map { printable($0) }, json: json)
  }

  /// The class of a model that Keras describes: in its archive, or in the folder of the weights.
  private static func kerasClass(of source: CheckpointSource) -> String? {
    var text = source.checkpoint.metadata["config"].map { Array($0.utf8) }
    if text == nil, let path = source.configuration {
      text = try? InputFile(path).readAll(limit: 16 << 20)
    }
    guard let text,
      let config = try? JSONNode(
        parsing: text, code: .modelConfiguration, file: source.configuration, acceptsInfinity: true)
    else { return nil }
    return KerasHub.className(of: config)
  }
}
