import SextantBytes

@testable import SextantTokenizers

/// A `tokenizer.json` small enough to reason about, to be edited before it is loaded.
///
/// Byte b has id b; merged and added tokens have ids from 256 on.
struct TinyTokenizer {
  var json: JSONValue

  /// A tokenizer with these merges, in words of byte-level characters, each of which makes the next
  /// id, and these added tokens.
  init(merges: [(String, String)] = [], added: [AddedToken] = []) {
    var vocabulary = JSONObject()
    for byte in UInt8.min...UInt8.max {
      vocabulary[ByteAlphabet.token(of: [byte])] = .integer(Int64(byte))
    }
    for (left, right) in merges where vocabulary[left + right] == nil {
      vocabulary[left + right] = .integer(Int64(vocabulary.members.count))
    }
    json = [
      "version": "1.0", "truncation": nil, "padding": nil,
      "added_tokens": .array(added.map(Self.json)),
      "normalizer": nil,
      "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true],
      "post_processor": nil,
      "decoder": ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true],
      "model": [
        "type": "BPE", "dropout": nil, "unk_token": nil,
        "vocab": .object(vocabulary),
        "merges": .array(merges.map { [.string($0.0), .string($0.1)] }),
      ],
    ]
  }

  /// The same with the member at `path` replaced; nil removes it.
  func setting(_ path: String..., to value: JSONValue?) -> TinyTokenizer {
    var copy = self
    copy.json = Self.replace(json, path[...], value) ?? nil
    return copy
  }

  /// Loads the tokenizer.
  func load() throws -> any Tokenizer {
    try Tokenizers.load(bytes: json.canonicalBytes, file: "tiny.json")
  }

  /// `json` with the member at `path` replaced; nil removes it.
  static func replace(
    _ json: JSONValue, _ path: ArraySlice<String>, _ value: JSONValue?
  ) -> JSONValue? {
    guard let key = path.first else { return value }
    guard case .object(var object) = json else { return json }
    object[key] = replace(object[key] ?? nil, path.dropFirst(), value)
    return .object(object)
  }

  /// The declaration of an added token.
  static func json(of token: AddedToken) -> JSONValue {
    [
      "id": .integer(Int64(token.id)), "content": .string(token.content),
      "special": .boolean(token.special), "single_word": .boolean(token.singleWord),
      "lstrip": .boolean(token.stripsLeft), "rstrip": .boolean(token.stripsRight),
      "normalized": .boolean(token.normalized),
    ]
  }
}

/// Ids of a tiny tokenizer in a readable form: bytes as Latin-1, other ids in angle brackets.
func show(_ ids: [Int]) -> String {
  ids.map { $0 < 256 ? String(Unicode.Scalar(UInt8($0))) : "<\($0)>" }.joined()
}
