import SextantBytes

/// The tokenizer formats that can be read.
package enum Tokenizers {
  /// Bytes that a tokenizer's file may have.
  package static let byteCountLimit = 64 << 20

  /// The formats, in the order in which they are asked. A new format is a file and a word here.
  static let formats: [any TokenizerFormat.Type] = [
    RawBytes.self, SentencePieceJSON.self, ByteLevelBPE.self, RWKVWorld.self,
    SentencePieceModel.self,
  ]

  /// The file of a tokenizer that needs none: `bytes`, for models that read bytes.
  package static func builtIn(named name: String) -> [UInt8]? {
    name == "bytes" ? RawBytes.content : nil
  }

  /// Reads a tokenizer from the bytes of its file, whose format follows from its content.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - file: its path, for refusals.
  /// - Throws: `limit.file`, `json.*`, `tokenizer.unsupported`, `tokenizer.invalid`.
  package static func load(
    bytes: [UInt8], file: String? = nil
  ) throws(Refusal) -> any Tokenizer {
    let source = try TokenizerSource(bytes: bytes, file: file)
    for format in formats where format.recognizes(source) { return try format.init(source) }
    throw Refusal(
      .tokenizerUnsupported, file: file, found: "no known format",
      expected: "a tokenizer.json, a tokenizer.model or an RWKV vocabulary")
  }
}

/// A kind of tokenizer file.
protocol TokenizerFormat: Tokenizer {
  /// Whether the file is of this format, however broken.
  static func recognizes(_ source: TokenizerSource) -> Bool

  /// Reads the file or refuses it.
  init(_ source: TokenizerSource) throws(Refusal)
}

/// A tokenizer's file, parsed once for all formats that read it.
struct TokenizerSource {
  let bytes: [UInt8]
  let file: String?
  let digest: Digest
  /// The root object, if the file is JSON.
  let json: JSONNode?

  init(bytes: [UInt8], file: String?) throws(Refusal) {
    guard bytes.count <= Tokenizers.byteCountLimit else {
      throw Refusal(
        .limitFile, file: file, found: counted(bytes.count, "byte"),
        expected: "at most \(counted(Tokenizers.byteCountLimit, "byte"))")
    }
    self.bytes = bytes
    self.file = file
    digest = SHA256.digest(bytes)
    let first = bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
    if first == UInt8(ascii: "{") {
      // Long strings are data of normalizers that are refused later, by their name.
      let limits = JSONLimits(
        byteCount: Tokenizers.byteCountLimit, depth: 32, stringByteCount: 4 << 20)
      json = try JSONNode(parsing: bytes, limits: limits, code: .tokenizerInvalid, file: file)
    } else {
      json = nil
    }
  }
}
