import SextantBytes
import SextantConversion
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTokenizers

extension Report {
  /// The content of a native model.
  ///
  /// - Parameter rowLimit: rows of the table for people.
  /// - Throws: `tok.*` for a tokenizer that cannot be read.
  package init(store: ModelStore, rowLimit: Int) throws(Refusal) {
    let tokenizer = try ModelTokenizer.load(from: store)
    let ends = try ModelTokenizer.endOfTextIDs(of: store)
    let chat = try PublishedChat.load(from: store)
    let parameters = store.tensors.reduce(0) { $0 + (Shape.elementCount($1.shape) ?? 0) }
    let json = JSONObject([
      ("file", .string(store.path)), ("type", "model"), ("bytes", JSONValue(store.fileByteCount)),
      ("version", JSONValue(StoreFormat.version)), ("architecture", .string(store.architecture)),
      ("configuration", .object(store.configuration)),
      ("identity", .string(store.identity.description)), ("weights", .string(store.variant)),
      ("parameters", JSONValue(parameters)),
      ("tokenizer", tokenizer.map { Self.json($0) } ?? .null),
      ("end_of_text", .array(ends.map { JSONValue($0) })),
      ("chat_template", chat.map { Self.json($0) } ?? .null),
      ("tensors", .array(store.tensors.map { Self.json($0) })),
    ])
    let facts =
      [
        ("architecture", printable(store.architecture)),
        ("configuration", Self.inline(store.configuration)),
        ("identity", store.identity.description),
        (
          "weights", store.variant == StoreFormat.sourceVariant ? "as in the source" : store.variant
        ),
        ("parameters", Format.count(parameters)),
        (
          "tokenizer",
          (tokenizer.map { Self.text($0) } ?? "none: takes token ids only") + Self.text(ends: ends)
        ),
      ] + (chat.map { [("chat template", Self.text($0))] } ?? [])
    var table = Table(["name", "type", "shape", "#bytes"])
    for tensor in store.tensors {
      table.add([
        printable(tensor.name), tensor.dataType.rawValue, Format.shape(tensor.shape),
        Format.count(tensor.byteCount),
      ])
    }
    self.init(
      title: "\(printable(store.path)): a native model, \(Format.bytes(store.fileByteCount))",
      facts: facts,
      tables: [(counted(store.tensors.count, "tensor"), table.abbreviated(to: rowLimit))],
      json: json)
    do throws(Refusal) {
      try add(sites: Architectures.open(store).description.sites)
    } catch {
      // The header of a model that this build cannot run can be shown, too.
      self.json["sites"] = .null
      notes.append("this build does not run the model: \(error.found) [\(error.code.rawValue)]")
    }
  }

  /// Adds the model's sites; those that every block has are one row.
  private mutating func add(sites: [SiteDescription]) {
    json["sites"] = .array(
      sites.map { site in
        [
          "site": .string(site.site.name), "shape": JSONValue(shape: site.shape),
          "axes": .array(site.axes.map { .string($0) }),
        ]
      })
    var table = Table(["site", "shape", "axes"])
    var seen: Set<[String]> = []
    for site in sites {
      let row = [site.site.pattern, Format.shape(site.shape), site.axes.joined(separator: ", ")]
      if seen.insert(row).inserted { table.add(row) }
    }
    tables.append(
      ("\(counted(sites.count, "site")); * stands for each block that has the site", table))
  }

  private static func json(_ tensor: StoredTensor) -> JSONValue {
    var entry = JSONObject([
      ("name", .string(tensor.name)), ("dtype", .string(tensor.dataType.rawValue)),
      ("shape", JSONValue(shape: tensor.shape)), ("offset", JSONValue(tensor.offset)),
      ("bytes", JSONValue(tensor.byteCount)), ("sha256", .string(tensor.digest.description)),
    ])
    if tensor.isConverted {
      entry["source_dtype"] = .string(tensor.sourceDataType.rawValue)
      entry["source_sha256"] = .string(tensor.sourceDigest.description)
    }
    return .object(entry)
  }

  private static func json(_ chat: PublishedChat) -> JSONValue {
    let name = chat.main.flatMap { ChatTemplate.name(ofPublished: $0) }
    return [
      "name": name.map { .string($0) } ?? .null,
      "sha256": chat.main.map { .string(ChatTemplate.digest(ofPublished: $0).description) }
        ?? .null,
      "templates": .array(chat.templates.map { .string($0.name) }),
      "bos": chat.bos.map { .string($0) } ?? .null, "eos": chat.eos.map { .string($0) } ?? .null,
    ]
  }

  private static func text(_ chat: PublishedChat) -> String {
    let others = chat.templates.map(\.name).filter { $0 != PublishedChat.mainName }
    let name = chat.main.map { ChatTemplate.name(ofPublished: $0) ?? "unknown" }
    return (name ?? "none with the name \(PublishedChat.mainName)")
      + (others.isEmpty ? "" : "; also \(printable(others.joined(separator: ", ")))")
  }

  private static func json(_ tokenizer: any Tokenizer) -> JSONValue {
    [
      "vocabulary": JSONValue(tokenizer.vocabularySize),
      "end_of_text": tokenizer.endOfTextID.map { JSONValue($0) } ?? .null,
      "begin_of_text": .array(tokenizer.beginOfTextIDs.map { JSONValue($0) }),
      "sha256": .string(tokenizer.digest.description),
    ]
  }

  private static func text(_ tokenizer: any Tokenizer) -> String {
    let begin = tokenizer.beginOfTextIDs
    return "\(Format.count(tokenizer.vocabularySize)) ids"
      + (begin.isEmpty ? "" : ", \(list(begin)) before a text")
  }

  /// The tokens that end a text, after other facts.
  private static func text(ends: [Int]) -> String {
    switch ends.count {
    case 0: ""
    case 1: ", \(ends[0]) ends a text"
    default: ", each of \(list(ends)) ends a text"
    }
  }

  private static func list(_ ids: [Int]) -> String {
    ids.map { "\($0)" }.joined(separator: ", ")
  }

  /// `key value` pairs in one line.
  private static func inline(_ object: JSONObject) -> String {
    printable(
      object.members.map { "\($0.key) \($0.value.canonicalText)" }.joined(separator: ", "))
  }
}
