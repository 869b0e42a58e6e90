import Glibc
import SextantBytes
import SextantTestSupport
import SextantTokenizers

/// A tokenizer with the ids that the `tokenizers` package gives for `fixtures/tokenizer/lines.jsonl`.
enum KnownTokenizer: String, CaseIterable, Sendable {
  case demoModel = "demo-model"
  case neox = "gpt-neox-20b"

  /// GPT-NeoX's file is not part of the package: it is looked for beside the checkout, or where
  /// `SEXTANT_NEOX_TOKENIZER` says.
  var path: String {
    switch self {
    case .demoModel: PackageFiles.fixture("demo-model/tokenizer.json")
    case .neox:
      getenv("SEXTANT_NEOX_TOKENIZER").map { String(cString: $0) }
        ?? "\(PackageFiles.root)/../shared/data/tokenizers/20B_tokenizer.json"
    }
  }

  /// Those whose file is here.
  static var present: [KnownTokenizer] { allCases.filter { access($0.path, R_OK) == 0 } }

  func load() throws -> any Tokenizer {
    try Tokenizers.load(bytes: bytes(of: path), file: path)
  }

  /// The expected ids of each line.
  func expectedIDs() throws -> [[Int]] {
    let file = try bytes(of: PackageFiles.fixture("tokenizer/\(rawValue).safetensors"))
    let headerCount = Int(integer(file[0..<8]))
    let data = 8 + headerCount
    let header = try JSONNode(
      parsing: Array(file[8..<data]), code: .safetensorsUnknownField, file: rawValue)
    func integers(_ name: String, byteCount: Int) throws -> [Int] {
      let range = try header.member(name).member("data_offsets").elements().map {
        try $0.integer()
      }
      return stride(from: data + range[0], to: data + range[1], by: byteCount).map {
        Int(integer(file[$0..<$0 + byteCount]))
      }
    }
    let ids = try integers("ids", byteCount: 2)
    let offsets = try integers("offsets", byteCount: 4)
    return zip(offsets, offsets.dropFirst()).map { Array(ids[$0..<$1]) }
  }

  /// The text that each line's ids decode to, where it is not the line.
  func expectedDecodings() throws -> [Int: String] {
    let path = PackageFiles.fixture("tokenizer/\(rawValue).decodings.jsonl")
    guard access(path, R_OK) == 0 else { return [:] }
    var decodings: [Int: String] = [:]
    for case .array(let pair) in try jsonLines(path) {
      guard pair.count == 2, case .integer(let line) = pair[0], case .string(let text) = pair[1]
      else { continue }
      decodings[Int(line)] = text
    }
    return decodings
  }

  /// The lines that were encoded.
  static func lines() throws -> [String] {
    try jsonLines(PackageFiles.fixture("tokenizer/lines.jsonl")).compactMap {
      if case .string(let text) = $0 { text } else { nil }
    }
  }
}

/// The bytes of a file.
func bytes(of path: String) throws -> [UInt8] { try InputFile(path).readAll(limit: 64 << 20) }

private func jsonLines(_ path: String) throws -> [JSONValue] {
  try bytes(of: path).split(separator: UInt8(ascii: "\n")).map {
    try JSONValue(parsing: Array($0), file: path)
  }
}

private func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 {
  bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}
