import SextantBytes

/// The tokenizer of models that read bytes: the ids of a text are the bytes of its UTF-8.
///
/// Its file only declares that it is one, so that a model can contain it as any other tokenizer.
struct RawBytes: TokenizerFormat {
  /// The file.
  static let content = Array(#"{"format":"sextant-bytes","version":1}"#.utf8)

  private static let format = "sextant-bytes"
  private static let version = 1

  let digest: Digest

  static func recognizes(_ source: TokenizerSource) -> Bool {
    guard let root = source.json, case .string(let format)? = try? root.object()["format"] else {
      return false
    }
    return format.utf8.starts(with: "sextant-".utf8)
  }

  init(_ source: TokenizerSource) throws(Refusal) {
    guard let root = source.json else {
      throw Refusal(
        .tokenizerInvalid, file: source.file, found: "no JSON object",
        expected: String(decoding: Self.content, as: UTF8.self))
    }
    try root.member("format").supportText(Self.format)
    let version = try root.member("version")
    guard try version.integer() == Self.version else {
      throw version.unsupported(expected: "\(Self.version)")
    }
    try root.supportOnly(["format", "version"])
    digest = source.digest
  }

  var vocabularySize: Int { 256 }

  var specialTokenIDs: Set<Int> { [] }

  var endOfTextID: Int? { nil }

  var takesLongestTokens: Bool { true }

  func encode(_ text: String) -> [Int] { text.utf8.map { Int($0) } }

  func bytes(of id: Int) -> [UInt8]? { UInt8(exactly: id).map { [$0] } }

  func token(_ id: Int) -> String? { UInt8(exactly: id).map(ByteToken.name) }

  func id(ofToken token: String) -> Int? { ByteToken.byte(of: token).map { Int($0) } }
}
