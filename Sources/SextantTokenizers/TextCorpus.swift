import SextantBytes

/// Texts to read a model with: documents joined with end-of-text tokens and cut to equal lengths.
///
/// As lenses are trained and measured in the literature: the token that ends a text stands before
/// every document (or those that begin a text, where the tokenizer asks for them), all are joined, and the result is cut into chunks of exactly one length; what is left
/// at the end is dropped.
public struct TextCorpus: Sendable {
  /// Bytes that a file of text may have.
  public static let byteCountLimit = 1 << 30

  /// Token ids, each chunk of exactly `chunkLength`.
  public let chunks: [[Int]]
  /// Tokens of a chunk.
  public let chunkLength: Int
  /// Documents that were read.
  public let documentCount: Int
  /// Bytes of text that the tokens of all chunks stand for; special tokens count none.
  public let byteCount: Int
  /// The ids that the tokenizer's rule put before each document.
  public let beginOfTextIDs: [Int]
  /// SHA-256 of the digests of the files, in the order given.
  public let digest: Digest

  /// Tokens of all chunks.
  public var tokenCount: Int { chunks.count * chunkLength }

  /// What a loss in nats per token is multiplied by to be one in bits per byte.
  public var bitsPerByteFactor: Double {
    byteCount == 0 ? .nan : Double(tokenCount) / Double(byteCount) / 0.693_147_180_559_945_3
  }

  /// Reads files of text.
  ///
  /// A file whose name ends in `.jsonl` has a document on each line: a string, or an object with one
  /// at `field`. Any other file is one document.
  ///
  /// - Parameters:
  ///   - chunkLength: tokens of a chunk, at least 2.
  ///   - limit: tokens to keep at most; nil keeps all.
  /// - Throws: `file.*`, `json.*`, `data.record`; `data.empty` for less text than one chunk;
  ///   `usage.option` for a chunk of fewer than 2 tokens.
  public init(
    reading paths: [String], tokenizer: any Tokenizer, chunkLength: Int, field: String = "text",
    limit: Int? = nil
  ) throws(FormatError) {
    guard chunkLength >= 2 else {
      throw FormatError(
        .usageOption, at: .option("--chunk"), found: "\(chunkLength)", expected: "2 or more")
    }
    var tokens: [Int] = []
    var digests: [UInt8] = []
    var documentCount = 0
    beginOfTextIDs = tokenizer.beginOfTextIDs
    for path in paths {
      let bytes = try InputFile(path).readAll(limit: Self.byteCountLimit)
      digests += Array(SHA256.digest(bytes).description.utf8)
      for document in try Self.documents(bytes, path, field: field) {
        tokens += tokenizer.encodeDocument(document)
        documentCount += 1
      }
    }
    let kept = min(tokens.count, limit ?? tokens.count) / chunkLength
    guard kept > 0 else {
      throw FormatError(
        .dataEmpty, file: paths.first, found: "\(tokens.count) tokens of text",
        expected: "a chunk of \(chunkLength) at least",
        remedy: "Give more text, or a shorter --chunk."
      )
    }
    chunks = (0..<kept).map { Array(tokens[$0 * chunkLength..<($0 + 1) * chunkLength]) }
    self.chunkLength = chunkLength
    self.documentCount = documentCount
    let special = tokenizer.specialTokenIDs
    byteCount = tokens[..<(kept * chunkLength)].reduce(0) { sum, id in
      special.contains(id) ? sum : sum + (tokenizer.bytes(of: id)?.count ?? 0)
    }
    digest = SHA256.digest(digests)
  }

  /// Tokens that were made elsewhere.
  ///
  /// - Parameters:
  ///   - chunks: at least one, of one length of at least 2.
  ///   - byteCount: bytes of text that the tokens stand for; 0 where that is not known.
  public init(chunks: [[Int]], byteCount: Int = 0) {
    let length = chunks.first?.count ?? 0
    precondition(
      length >= 2 && chunks.allSatisfy { $0.count == length }, "chunks of unequal length")
    self.chunks = chunks
    chunkLength = length
    documentCount = chunks.count
    beginOfTextIDs = []
    self.byteCount = byteCount
    digest = SHA256.digest(Array(chunks.map { "\($0)" }.joined().utf8))
  }

  private static func documents(
    _ bytes: [UInt8], _ path: String, field: String
  ) throws(FormatError) -> [String] {
    guard path.hasSuffix(".jsonl") else { return [try text(bytes[...], path)] }
    var documents: [String] = []
    let limits = JSONLimits(byteCount: byteCountLimit, stringByteCount: byteCountLimit)
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.contains(where: { $0 > 0x20 }) {
      do throws(FormatError) {
        let value = try JSONValue(parsing: Array(line), limits: limits, file: path)
        let node = JSONNode(value, code: .dataRecord, file: path)
        if case .object = node.value {
          documents.append(try node.member(field).string())
        } else {
          documents.append(try node.string())
        }
      } catch {
        var refusal = error
        refusal.found += "\(refusal.place.map { " (\($0))" } ?? "")"
        refusal.place = .line(index + 1)
        throw refusal
      }
    }
    return documents
  }

  private static func text(_ bytes: ArraySlice<UInt8>, _ path: String) throws(FormatError) -> String
  {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw FormatError(
        .jsonEncoding, file: path, found: "bytes that are not UTF-8", expected: "UTF-8 text")
    }
    return text
  }
}
