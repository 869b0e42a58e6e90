import SextantBytes
import SextantCheckpoints
import SextantTensor

/// What was learned from a model, as a file: a manifest and the tensors that it describes.
///
/// The file is safetensors in a strict profile, so that other tools open it with one line. Its
/// `__metadata__` holds one key, `sextant`, whose value is the manifest.
public struct Artifact: Sendable, Equatable {
  /// The key of the manifest in the safetensors metadata.
  public static let metadataKey = "sextant"
  /// Bytes that a manifest may have.
  public static let manifestLimit = 16 << 20

  /// What the artifact says of itself.
  public let manifest: Manifest
  /// The tensors, sorted by the bytes of their names.
  public let tensors: [(name: String, value: Tensor)]
  /// The file that the artifact was read from, for refusals.
  public let file: String?

  /// A new artifact.
  public init(manifest: Manifest, tensors: [(name: String, value: Tensor)], file: String? = nil) {
    self.manifest = manifest
    self.tensors = tensors.sorted { ExactString($0.name) < ExactString($1.name) }
    self.file = file
  }

  /// The tensor of that name.
  public func tensor(_ name: String) -> Tensor? {
    tensors.first { ExactString($0.name) == ExactString(name) }?.value
  }

  /// Equal manifests and equal tensors, whatever the file.
  public static func == (a: Artifact, b: Artifact) -> Bool {
    a.manifest == b.manifest
      && a.tensors.elementsEqual(b.tensors) {
        ExactString($0.name) == ExactString($1.name) && $0.value == $1.value
      }
  }

  // MARK: Reading

  /// Whether a safetensors file is an artifact.
  public static func isArtifact(_ file: SafetensorsFile) -> Bool {
    file.metadata[metadataKey] != nil
  }

  /// Reads an artifact and checks everything: container, manifest, kind, tensors and digests.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(FormatError) {
    let file = try SafetensorsFile(path, stringLimit: Self.manifestLimit)
    guard let text = file.metadata[Self.metadataKey] else {
      throw FormatError(
        .artifactFormat, file: path, found: "a safetensors file without a manifest",
        expected: "the metadata key \"\(Self.metadataKey)\"")
    }
    let (manifest, digests) = try Manifest.read(text, file: path)
    guard let kind = ArtifactKinds.named(manifest.kind) else {
      throw FormatError(
        .artifactKind, file: path, at: .pointer("/kind"), found: manifest.kind,
        expected: "one of \(ArtifactKinds.names)")
    }
    guard manifest.kindVersion == kind.version else {
      throw FormatError(
        .artifactVersion, file: path, at: .pointer("/kind_version"),
        found: "version \(manifest.kindVersion) of \(kind.name)",
        expected: "version \(kind.version)")
    }
    self.init(
      manifest: manifest, tensors: try Self.tensors(file, digests, kind), file: path)
    try file.checkUnchanged()
    try kind.check(self)
  }

  private static func tensors(
    _ file: SafetensorsFile, _ digests: [(name: String, digest: Digest)],
    _ kind: any ArtifactKind.Type
  ) throws(FormatError) -> [(name: String, value: Tensor)] {
    let recorded = Set(digests.map { ExactString($0.name) })
    if let extra = file.tensors.first(where: { !recorded.contains(ExactString($0.name)) }) {
      throw FormatError(
        .artifactTensorExtra, file: file.path, at: .tensor(extra.name),
        found: "no digest in the manifest", expected: "a manifest that names it")
    }
    var tensors: [(name: String, value: Tensor)] = []
    for (name, digest) in digests {
      guard let entry = file.tensor(named: name) else {
        throw FormatError(
          .artifactTensorMissing, file: file.path, at: .tensor(name), found: "no such tensor",
          expected: "the tensor that the manifest names")
      }
      let bytes = try file.bytes(of: entry)
      let found = SHA256.digest(bytes)
      guard found == digest else {
        throw FormatError(
          .artifactDigest, file: file.path, at: .tensor(name), found: found.description,
          expected: digest.description)
      }
      let value = unsafe bytes.withUnsafeBytes {
        unsafe Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      guard let value else { preconditionFailure("the reader checked sizes") }
      if kind.refusesNonfinite { try checkFinite(value, name, file.path) }
      tensors.append((name, value))
    }
    return tensors
  }

  private static func checkFinite(
    _ tensor: Tensor, _ name: String, _ path: String?
  ) throws(FormatError) {
    let values: [Double] =
      switch tensor.dataType {
      case .f32: tensor.values.map(Double.init)
      case .f64: unsafe tensor.withDoubles { unsafe Array($0) }
      default: []
      }
    guard let place = values.firstIndex(where: { !$0.isFinite }) else { return }
    throw FormatError(
      .artifactNonfinite, file: path, at: .tensor(name),
      found: "\(values[place]) at element \(place)", expected: "finite numbers")
  }

  // MARK: Writing

  /// Checks the artifact and publishes it.
  ///
  /// - Throws: `artifact.*` when no reader would accept it; `file.*`, `disk.*`.
  public func write(to path: String, replacing: Bool = false) throws(FormatError) {
    try writer().publish(to: path, replacing: replacing)
  }

  /// The bytes of the file.
  ///
  /// - Throws: `artifact.*` when no reader would accept it.
  public func bytes() throws(FormatError) -> [UInt8] { try writer().bytes() }

  private func writer() throws(FormatError) -> SafetensorsWriter {
    guard let kind = ArtifactKinds.named(manifest.kind) else {
      preconditionFailure("no kind \(manifest.kind)")
    }
    try kind.check(self)
    if kind.refusesNonfinite {
      for (name, value) in tensors { try Self.checkFinite(value, name, file) }
    }
    let digests = tensors.map { name, value in
      (name, unsafe value.withUnsafeBytes { unsafe SHA256.digest($0) })
    }
    var writer = SafetensorsWriter(metadata: [Self.metadataKey: manifest.text(digests: digests)])
    for (name, value) in tensors { writer.add(name, value) }
    return writer
  }
}
