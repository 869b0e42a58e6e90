import SextantBytes
import SextantCheckpoints
import SextantTensor

/// A file with values that were learned from a model: a manifest and the tensors that it describes.
///
/// The file is safetensors in a strict profile, so that other tools open it with one line. Its
/// `__metadata__` contains only the manifest and its digest. The manifest contains the digests of
/// the tensors, so that this one digest covers everything.
public struct Artifact: Sendable, Equatable {
  /// The key of the manifest in the safetensors metadata.
  package static let metadataKey = "sextant"
  /// The key of the SHA-256 of the manifest's bytes.
  package static let digestKey = "sextant.sha256"
  /// Bytes that a manifest may have.
  package static let manifestLimit = 16 << 20

  /// The artifact's own description.
  public let manifest: Manifest
  /// The tensors, sorted by the bytes of their names.
  public let tensors: [(name: String, value: Tensor)]
  /// The file that the artifact was read from, for refusals.
  public let file: String?

  /// A new artifact.
  package init(manifest: Manifest, tensors: [(name: String, value: Tensor)], file: String? = nil) {
    self.manifest = manifest
    self.tensors = tensors.sorted { ExactString($0.name) < ExactString($1.name) }
    self.file = file
  }

  /// The tensor of that name.
  public func tensor(_ name: String) -> Tensor? {
    var range = tensors.indices
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      let candidate = tensors[middle]
      if candidate.name.utf8.elementsEqual(name.utf8) { return candidate.value }
      range =
        candidate.name.utf8.lexicographicallyPrecedes(name.utf8)
        ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return nil
  }

  /// Equal manifests and equal tensors; the files may differ.
  public static func == (a: Artifact, b: Artifact) -> Bool {
    a.manifest == b.manifest
      && a.tensors.elementsEqual(b.tensors) {
        ExactString($0.name) == ExactString($1.name) && $0.value == $1.value
      }
  }

  // MARK: Reading

  /// Whether a safetensors file is an artifact.
  package static func isArtifact(_ file: SafetensorsFile) -> Bool {
    file.metadata[metadataKey] != nil
  }

  /// Reads an artifact and checks everything: container, manifest, kind, tensors and digests.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(Refusal) {
    let file = try Self.open(path)
    let (manifest, digests) = try Manifest.read(try Self.manifestText(file), file: path)
    self.init(manifest: manifest, tensors: try Self.tensors(file, digests), file: path)
    try file.checkUnchanged()
    try check()
  }

  /// Reads the manifest of an artifact, without its tensors.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  package static func manifest(of path: String) throws(Refusal) -> Manifest {
    try Manifest.read(manifestText(open(path)), file: path).manifest
  }

  /// Opens the container. A file of another kind is named for what it is.
  private static func open(_ path: String) throws(Refusal) -> SafetensorsFile {
    let file = try InputFile(path)
    let kind = try FileKind(of: file)
    guard kind != .safetensors, kind != .unknown, kind != .json else {
      return try SafetensorsFile(file, stringLimit: manifestLimit)
    }
    let remedy =
      kind == .store
      ? "Name an artifact. This file is a model."
      : "Name an artifact. If the file is a vector of another tool, make an artifact of it: "
        + "`sextant convert` with `model`, and `layer` for a bare vector."
    throw Refusal(
      .fileUnknown, file: path, found: "a file of the kind \(kind.rawValue)",
      expected: "an artifact of Sextant", remedy: remedy)
  }

  /// The manifest of a file, once its digest is right.
  private static func manifestText(_ file: SafetensorsFile) throws(Refusal) -> String {
    guard let text = file.metadata[metadataKey] else {
      throw Refusal(
        .artifactFormat, file: file.path,
        found: "a safetensors file without the metadata key \"\(metadataKey)\"",
        expected: "an artifact of Sextant",
        remedy:
          "Name an artifact. If the file is a vector of another tool, make an artifact of it: "
          + "`sextant convert` with `model` and `layer`.")
    }
    guard let recorded = file.metadata[digestKey], file.metadata.count == 2 else {
      throw Refusal(
        .artifactFormat, file: file.path, found: "metadata \(file.metadata.keys.sorted())",
        expected: "the keys \"\(metadataKey)\" and \"\(digestKey)\"")
    }
    let found = SHA256.digest(Array(text.utf8))
    guard Digest(hexadecimal: recorded) == found else {
      throw Refusal(
        .artifactDigest, file: file.path, at: .pointer(""), found: found.description,
        expected: recorded)
    }
    return text
  }

  private static func tensors(
    _ file: SafetensorsFile, _ digests: Manifest.Digests
  ) throws(Refusal) -> [(name: String, value: Tensor)] {
    let recorded = Set(digests.map { ExactString($0.name) })
    if let extra = file.tensors.first(where: { !recorded.contains(ExactString($0.name)) }) {
      throw Refusal(
        .artifactTensorExtra, file: file.path, at: .tensor(extra.name),
        found: "no digest in the manifest", expected: "a manifest that names it")
    }
    var tensors: [(name: String, value: Tensor)] = []
    for (name, digest) in digests {
      guard let entry = file.tensor(named: name) else {
        throw Refusal(
          .artifactTensorMissing, file: file.path, at: .tensor(name), found: "no such tensor",
          expected: "the tensor that the manifest names")
      }
      let bytes = try file.bytes(of: entry)
      let found = SHA256.digest(bytes)
      guard found == digest else {
        throw Refusal(
          .artifactDigest, file: file.path, at: .tensor(name), found: found.description,
          expected: digest.description)
      }
      let value = unsafe bytes.withUnsafeBytes {
        unsafe Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      guard let value else { preconditionFailure("the reader checked sizes") }
      tensors.append((name, value))
    }
    return tensors
  }

  // MARK: Writing

  /// Checks the artifact and publishes it.
  ///
  /// - Throws: `artifact.*` when no reader would accept it; `file.*`, `disk.*`.
  public func write(to path: String, replacing: Bool = false) throws(Refusal) {
    try writer().publish(to: path, replacing: replacing)
  }

  /// The bytes of the file.
  ///
  /// - Throws: `artifact.*` when no reader would accept it.
  public func bytes() throws(Refusal) -> [UInt8] { try writer().bytes() }

  private func writer() throws(Refusal) -> SafetensorsWriter {
    try check()
    let digests = tensors.map { name, value in
      (name, unsafe value.withUnsafeBytes { unsafe SHA256.digest($0) })
    }
    let text = manifest.text(digests: digests)
    // Read back once, with the limits of a reader: only a readable artifact is written.
    _ = try Manifest.read(text, file: file)
    var writer = SafetensorsWriter(metadata: [
      Self.metadataKey: text, Self.digestKey: SHA256.digest(Array(text.utf8)).description,
    ])
    for (name, value) in tensors { writer.add(name, value) }
    return writer
  }
}
