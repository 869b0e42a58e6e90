import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// The HDF5 files of `formats/vectors`, and the results that the index expects.
enum HDF5Cases {
  /// A file that must be read.
  struct Accepted: Sendable, CustomTestStringConvertible {
    var file: String
    var tensors: [(tensor: CheckpointTensor, digest: String, hexadecimal: String?)]
    var metadata: [String: String]
    var notes: [String]
    var testDescription: String { file }
    var path: String { PackageFiles.format("vectors/\(file)") }
  }

  /// A file that must be refused.
  struct Refused: Sendable, CustomTestStringConvertible {
    var file: String
    var code: Refusal.Code
    var testDescription: String { file }
    var path: String { PackageFiles.format("vectors/\(file)") }
  }

  /// Files that hang or crash some version of libhdf5.
  static let damaged: [String] = load { node in
    let isOne = try node.member("verdict").string() == "reject"
    return isOne && node.optionalMemberIsNull("code") ? try node.member("file").string() : nil
  }
  static let accepted: [Accepted] = load { node in
    try node.member("verdict").string() == "accept" ? try accepted(node) : nil
  }
  static let refused: [Refused] = load { node in
    let isOne = try node.member("verdict").string() == "reject"
    return isOne && !node.optionalMemberIsNull("code") ? try refused(node) : nil
  }

  /// The accepted file of this name.
  static func accepted(_ name: String) throws -> Accepted {
    try #require(accepted.first { $0.file == "accept/hdf5/\(name).h5" })
  }

  private static func load<Case>(_ read: (JSONNode) throws -> Case?) -> [Case] {
    let path = PackageFiles.format("vectors/index.json")
    do {
      let text = try InputFile(path).readAll(limit: 1 << 20)
      let index = try JSONNode(parsing: text, code: .dataRecord, file: path)
      return try index.member("vectors").elements().compactMap { node in
        try node.member("format").string() == "hdf5" ? try read(node) : nil
      }
    } catch {
      Issue.record("\(error)")
      return []
    }
  }

  private static func accepted(_ node: JSONNode) throws -> Accepted {
    Accepted(
      file: try node.member("file").string(),
      tensors: try node.member("tensors").elements().map { node in
        let dataType = try #require(DataType(rawValue: try node.member("dtype").string()))
        let shape = try node.member("shape").elements().map { try $0.integer() }
        let tensor = CheckpointTensor(
          name: try node.member("name").string(), dataType: dataType, shape: shape,
          byteCount: try #require(dataType.byteCount(shape: shape)))
        return (
          tensor, try node.member("sha256").string(), try node.optionalMember("hex")?.string()
        )
      },
      metadata: Dictionary(
        uniqueKeysWithValues: try node.optionalMember("metadata")?.members().map {
          ($0.key, try $0.node.string())
        } ?? []),
      notes: try node.optionalMember("notes")?.elements().map { try $0.string() } ?? [])
  }

  private static func refused(_ node: JSONNode) throws -> Refused {
    Refused(
      file: try node.member("file").string(),
      code: try #require(Refusal.Code(rawValue: try node.member("code").string())))
  }
}

extension JSONNode {
  /// Whether the member is null.
  fileprivate func optionalMemberIsNull(_ key: String) -> Bool {
    if case .object(let object) = value, object[key] == .null { true } else { false }
  }
}
