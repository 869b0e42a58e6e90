import SextantBytes
import SextantTexts

/// Texts to read a model with: documents joined with end-of-text tokens and cut to equal lengths.
///
/// Chunks for training and measuring lenses, as in the literature. The token that ends a text is
/// put before every document (or the tokens that begin a text, if the tokenizer requires them). All
/// documents are joined, and the result is split into chunks of exactly one length; the remainder
/// is dropped. Texts that are shorter than a chunk are one chunk together.
public struct TextCorpus: Sendable {
  /// Token ids, each chunk of exactly `chunkLength`.
  public let chunks: [[Int]]
  /// Tokens of a chunk.
  public let chunkLength: Int
  /// Documents that were read.
  public let documentCount: Int
  /// Bytes of text that the tokens of all chunks represent; special tokens have none.
  public let byteCount: Int
  /// The ids that the tokenizer's rule put before each document.
  public let beginOfTextIDs: [Int]
  /// SHA-256 of the digests of the files, in the order given.
  public let digest: Digest

  /// Tokens of all chunks.
  public var tokenCount: Int { chunks.count * chunkLength }

  /// The factor from a loss in nats per token to one in bits per byte.
  public var bitsPerByteFactor: Double {
    byteCount == 0 ? .nan : Double(tokenCount) / Double(byteCount) / 0.693_147_180_559_945_3
  }

  /// The length that was asked for, if the texts are too short for a chunk of it.
  package let askedChunkLength: Int?

  /// Reads files of text.
  ///
  /// A record is a document: a string, or an object with one at `field`; so is a row of a table with
  /// that column. Any other file is one document.
  ///
  /// - Parameters:
  ///   - chunkLength: tokens of a chunk, at least 2.
  ///   - field: the field of a record that contains the text; nil for `text`.
  ///   - limit: tokens to keep at most; nil keeps all.
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`; `data.empty` for texts
  ///   that have no bytes or fewer than 2 tokens; `usage.option` for a chunk or a limit of
  ///   fewer than 2 tokens, and for a field if no file has records with fields.
  public init(
    reading paths: [String], tokenizer: any Tokenizer, chunkLength asked: Int,
    field: String? = nil, limit: Int? = nil
  ) throws(Refusal) {
    try self.init(
      paths.lazy.map(Source.path), tokenizer, chunkLength: asked, field: field, limit: limit)
  }

  /// Texts that the program has made, each a document.
  ///
  /// A manifest records them as a file of JSON lines, `{"text": …}` for each.
  ///
  /// - Parameters:
  ///   - chunkLength: tokens of a chunk, at least 2.
  ///   - limit: tokens to keep at most; nil keeps all.
  /// - Throws: `data.empty` for texts that have no bytes or fewer than 2 tokens; `usage.option` for a chunk
  ///   or a limit of fewer than 2 tokens.
  public init(
    _ texts: [String], tokenizer: any Tokenizer, chunkLength asked: Int, limit: Int? = nil
  ) throws(Refusal) {
    try self.init(
      [Source.content(Self.jsonLines(of: texts))], tokenizer, chunkLength: asked, field: nil,
      limit: limit)
  }

  /// The bytes of a file of JSON lines with these texts.
  public static func jsonLines(of texts: [String]) -> [UInt8] {
    TextFile.jsonLines(texts.map { JSONObject([("text", .string($0))]) })
  }

  /// A file, or its content.
  private enum Source {
    case path(String)
    case content([UInt8])

    func file() throws(Refusal) -> TextFile {
      switch self {
      case .path(let path): try TextFile(reading: path)
      case .content(let bytes): try TextFile(bytes, path: "the texts")
      }
    }
  }

  private init(
    _ sources: some Collection<Source>, _ tokenizer: any Tokenizer, chunkLength asked: Int,
    field: String?, limit: Int?
  ) throws(Refusal) {
    guard asked >= 2 else {
      throw Refusal(
        .usageOption, at: .parameter("chunk"), found: "\(asked)", expected: "2 or more")
    }
    guard limit.map({ $0 >= 2 }) ?? true else {
      throw Refusal(
        .usageOption, at: .parameter("maxTokens"), found: "\(limit ?? 0)",
        expected: "2 or more, to predict one of them")
    }
    var tokens: [Int] = []
    var digests: [UInt8] = []
    var documentCount = 0
    var hasFields = false
    beginOfTextIDs = tokenizer.beginOfTextIDs
    var names: [String] = []
    for source in sources {
      let file = try source.file()
      names.append(file.path)
      digests += Array(file.digest.description.utf8)
      let (documents, areFields) = try Self.documents(file, field: field ?? "text")
      hasFields = hasFields || areFields
      for document in documents { tokens += tokenizer.encodeDocument(document) }
      documentCount += documents.count
    }
    if let field, !hasFields {
      throw Refusal(
        .usageOption, file: names.count == 1 ? names[0] : nil, at: .parameter("field"),
        found: "\"\(field)\" for plain text", expected: "records with that field",
        remedy: "Leave the option out, or give JSON lines, a JSON array or a table.")
    }
    let available = min(tokens.count, limit ?? tokens.count)
    let chunkLength = min(asked, available)
    let kept = chunkLength < 2 ? 0 : available / chunkLength
    let special = tokenizer.specialTokenIDs
    byteCount = tokens[..<(kept * chunkLength)].reduce(0) { sum, id in
      special.contains(id) ? sum : sum + (tokenizer.bytes(of: id)?.count ?? 0)
    }
    guard byteCount > 0 else {
      throw Refusal(
        .dataEmpty, file: names.count == 1 ? names[0] : nil,
        found: "\(counted(available, "token")) without text",
        expected: "text of 2 tokens at least", remedy: "Give texts that are not empty.")
    }
    chunks = (0..<kept).map { Array(tokens[$0 * chunkLength..<($0 + 1) * chunkLength]) }
    self.chunkLength = chunkLength
    self.documentCount = documentCount
    askedChunkLength = chunkLength < asked ? asked : nil
    digest = SHA256.digest(digests)
  }

  /// Tokens that were made elsewhere.
  ///
  /// - Parameters:
  ///   - chunks: at least one, of one length of at least 2.
  ///   - byteCount: bytes of text that the tokens represent; 0 if it is not known.
  public init(chunks: [[Int]], byteCount: Int = 0) {
    let length = chunks.first?.count ?? 0
    precondition(
      length >= 2 && chunks.allSatisfy { $0.count == length }, "chunks of unequal length")
    self.chunks = chunks
    chunkLength = length
    askedChunkLength = nil
    documentCount = chunks.count
    beginOfTextIDs = []
    self.byteCount = byteCount
    digest = SHA256.digest(Array(chunks.map { "\($0)" }.joined().utf8))
  }

  /// The documents of a file, and whether any of them is a field of a record.
  private static func documents(
    _ file: TextFile, field: String
  ) throws(Refusal) -> (documents: [String], areFields: Bool) {
    let records = try TextRecords(file, fields: [field], acceptsText: true)
    if records.form == .text { return (file.isBlank ? [] : [file.text], false) }
    var areFields = false
    let documents = try records.map { record, _ throws(Refusal) in
      if case .string(let text) = record.value { return text }
      do throws(Refusal) {
        areFields = true
        return try record.field(field).string()
      } catch {
        var refusal = error
        refusal.remedy = "Name the field with the text: `field` NAME."
        throw refusal
      }
    }
    return (documents, areFields)
  }
}
