import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// A file of `formats/vectors`, and its entry in the index.
struct Vector: Sendable, CustomTestStringConvertible {
  /// A tensor of an accepted file.
  struct ExpectedTensor: Sendable, Equatable {
    var name: String
    var dataType: String
    var shape: [Int]
    var digest: String
  }

  var file: String
  var format: String
  var isAccepted: Bool
  /// nil if any code is accepted.
  var code: Refusal.Code?
  /// nil if the index does not give it.
  var tensors: [ExpectedTensor]?

  var testDescription: String { file }
  var path: String { PackageFiles.format("vectors/\(file)") }

  /// All files.
  static let all: [Vector] = {
    let path = PackageFiles.format("vectors/index.json")
    do {
      let text = try InputFile(path).readAll(limit: 1 << 20)
      let index = try JSONNode(parsing: text, code: .dataRecord, file: path)
      return try index.member("vectors").elements().map { try Vector($0) }
    } catch {
      Issue.record("\(error)")
      return []
    }
  }()

  init(_ node: JSONNode) throws {
    file = try node.member("file").string()
    format = try node.member("format").string()
    let verdict = try node.member("verdict").string()
    try #require(["accept", "reject"].contains(verdict))
    isAccepted = verdict == "accept"
    if case .object(let object) = node.value, case .string(let spelling) = object["code"] {
      code = Refusal.Code(rawValue: spelling)
      try #require(code != nil, "\(spelling)")
    }
    tensors = try node.optionalMember("tensors")?.elements().map {
      ExpectedTensor(
        name: try $0.member("name").string(), dataType: try $0.member("dtype").string(),
        shape: try $0.member("shape").elements().map { try $0.integer() },
        digest: try $0.member("sha256").string())
    }
  }

  /// Reads all of the file with the reader of its format.
  func read() throws(Refusal) -> [ExpectedTensor] {
    switch format {
    case "store":
      let store = try ModelStore(opening: path)
      try store.verify()
      return try store.tensors.map { entry throws(Refusal) in
        let bytes = try store.tensor(entry.name).withUnsafeBytes { Array($0) }
        return Self.found(entry.name, entry.dataType, entry.shape, bytes)
      }
    case "artifact":
      return try Artifact(reading: path).tensors.map { name, value in
        Self.found(name, value.dataType, value.shape, value.withUnsafeBytes { Array($0) })
      }
    default:
      // Some versions of libhdf5 hang on some of these files. The usual time limit is too long for
      // a test.
      let checkpoint: any Checkpoint =
        format == "hdf5"
        ? try HDF5Checkpoint(path, timeout: .seconds(5))
        : try CheckpointSource.open(path).checkpoint
      return try checkpoint.tensors.map { tensor throws(Refusal) in
        Self.found(tensor.name, tensor.dataType, tensor.shape, try checkpoint.bytes(of: tensor))
      }
    }
  }

  private static func found(
    _ name: String, _ dataType: DataType, _ shape: [Int], _ bytes: [UInt8]
  ) -> ExpectedTensor {
    ExpectedTensor(
      name: name, dataType: dataType.rawValue, shape: shape,
      digest: SHA256.digest(bytes).description)
  }
}
