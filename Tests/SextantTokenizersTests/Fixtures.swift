import Glibc
import SextantBytes
import SextantTestSupport
import SextantTokenizers

/// A tokenizer with the ids that a package gives for `fixtures/tokenizer/lines.jsonl`.
enum KnownTokenizer: String, CaseIterable, Sendable {
  case demoModel = "demo-model/tokenizer.json"
  case llamaModel = "tokenizer/llama-tiny.model"
  case llamaJSON = "tokenizer/llama-tiny.json"
  case llama3 = "tokenizer/llama3-tiny.json"
  case spaces = "tokenizer/spaces-tiny.model"
  case neox = "20B_tokenizer.json"
  case world = "rwkv_vocab_v20230424.txt"

  /// Published files are not part of the package. Tests look for them beside the checkout, or at
  /// the path in an environment variable.
  var path: String {
    let variable =
      switch self {
      case .neox: "SEXTANT_NEOX_TOKENIZER"
      case .world: "SEXTANT_WORLD_VOCABULARY"
      default: ""
      }
    guard !variable.isEmpty else { return PackageFiles.fixture(rawValue) }
    return getenv(variable).map { String(cString: $0) }
      ?? "\(PackageFiles.root)/../shared/data/tokenizers/\(rawValue)"
  }

  /// The name of its expected ids in the fixtures.
  private var expectation: String {
    switch self {
    case .demoModel: "demo-model"
    case .llamaModel, .llamaJSON: "llama-tiny"
    case .llama3: "llama3-tiny"
    case .spaces: "spaces-tiny"
    case .neox: "gpt-neox-20b"
    case .world: "rwkv-world"
    }
  }

  /// Tokenizers whose file exists here.
  static var present: [KnownTokenizer] { allCases.filter { access($0.path, R_OK) == 0 } }

  func load() throws -> any Tokenizer {
    try Tokenizers.load(bytes: bytes(of: path), file: path)
  }

  /// The expected ids of each line.
  func expectedIDs() throws -> [[Int]] {
    let file = try bytes(of: PackageFiles.fixture("tokenizer/\(expectation).safetensors"))
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
    var lines = zip(offsets, offsets.dropFirst()).map { Array(ids[$0..<$1]) }
    for (line, values) in try special("differences") where self == .llamaJSON {
      guard case .array(let ids) = values[0] else { continue }
      lines[line] = ids.compactMap { if case .integer(let id) = $0 { Int(id) } else { nil } }
    }
    return lines
  }

  /// The text that each line's ids decode to, if it differs from the line.
  func expectedDecodings() throws -> [Int: String] {
    try special(self == .llamaJSON ? "differences" : "decodings").compactMapValues {
      if case .string(let text)? = $0.last { text } else { nil }
    }
  }

  /// The special properties of some lines.
  private func special(_ kind: String) throws -> [Int: [JSONValue]] {
    let path = PackageFiles.fixture("tokenizer/\(expectation).\(kind).jsonl")
    guard access(path, R_OK) == 0 else { return [:] }
    var special: [Int: [JSONValue]] = [:]
    for case .array(let record) in try jsonLines(path) {
      guard record.count > 1, case .integer(let line) = record[0] else { continue }
      special[Int(line)] = Array(record.dropFirst())
    }
    return special
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
