import SextantArtifacts
import SextantBytes
import SextantTensor
import SextantTestSupport

/// The parts of an artifact's file, from which a faulty file is made.
struct RawArtifact {
  var manifest: JSONValue
  var tensors: [(name: String, dataType: String, shape: [Int], bytes: [UInt8])]
  /// Metadata beside the manifest and its digest.
  var otherMetadata: [(String, String)] = []

  init(_ artifact: Artifact) throws {
    let bytes = try artifact.bytes()
    let length = Int(try ByteReader(bytes).unsigned(at: 0, byteCount: 8))
    let header = try JSONNode(
      parsing: Array(bytes[8..<8 + length]), limits: JSONLimits(stringByteCount: 1 << 20),
      code: .artifactSchema, file: nil)
    let text = try header.member("__metadata__").member(Artifact.metadataKey).string()
    manifest = try JSONValue(parsing: Array(text.utf8))
    tensors = artifact.tensors.map { name, value in
      (name, value.dataType.rawValue, value.shape, value.withUnsafeBytes { Array($0) })
    }
  }

  /// Sets or removes the member at a JSON pointer; an index after the end appends.
  mutating func set(_ pointer: String, to value: JSONValue?) {
    let path = pointer.split(separator: "/").map(String.init)
    manifest = Self.setting(manifest, path[...], value)
  }

  private static func setting(
    _ container: JSONValue, _ path: ArraySlice<String>, _ value: JSONValue?
  ) -> JSONValue {
    guard let key = path.first else { return value ?? .null }
    switch container {
    case .object(var object):
      object[key] =
        path.count == 1
        ? value : setting(object[key] ?? .object(JSONObject()), path.dropFirst(), value)
      return .object(object)
    case .array(var elements):
      guard let index = Int(key) else { return container }
      if index == elements.count { elements.append(.null) }
      elements[index] = setting(elements[index], path.dropFirst(), value)
      return .array(elements)
    default: return container
    }
  }

  /// Records the digests of the tensors as they are now.
  mutating func redigest() {
    let digests = tensors.map { ($0.name, JSONValue.string(SHA256.digest($0.bytes).description)) }
    set("/tensors", to: .object(JSONObject(digests)))
  }

  /// The file. Its manifest is `text` if that is given, else the canonical spelling.
  func file(manifest text: String? = nil, digest: String? = nil) -> [UInt8] {
    let text = text ?? manifest.canonicalText
    let digest = digest ?? SHA256.digest(Array(text.utf8)).description
    return RawSafetensors.file(
      tensors,
      metadata: [(Artifact.metadataKey, text), (Artifact.digestKey, digest)] + otherMetadata)
  }
}
