import SextantBytes

/// A `.keras` archive: a zip of `metadata.json`, `config.json` and `model.weights.h5`.
enum KerasArchive {
  private static let weights = "model.weights.h5"
  private static let configuration = "config.json"
  private static let byteLimit = 16 << 20

  /// Whether an archive is one of Keras, by its members.
  static func isOne(_ archive: ZipArchive) -> Bool {
    archive.members.contains { $0.name == weights }
  }

  /// Opens the weights, which stay where they are: the HDF5 reader gets that part of the file.
  ///
  /// The model's description becomes `config`; code in it is never run.
  ///
  /// - Throws: `zip.*`, `limit.file`, `h5.*`.
  static func open(
    _ archive: ZipArchive, in file: InputFile
  ) throws(Refusal) -> HDF5Checkpoint {
    for member in archive.members where !isKnown(member.name) {
      throw Refusal(
        .zipMember, file: file.path, found: member.name,
        expected: "metadata.json, config.json, model.weights.h5 and assets")
    }
    guard let weights = archive.members.first(where: { $0.name == weights }), !weights.isDeflated
    else {
      throw Refusal(
        .zipMethod, file: file.path, found: "packed weights", expected: "weights stored as they are"
      )
    }
    var metadata: [String: String] = [:]
    if let member = archive.members.first(where: { $0.name == configuration }) {
      let bytes = try ZipArchive.bytes(of: member, in: file, limit: byteLimit)
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw Refusal(
          .jsonEncoding, file: file.path, found: "\(configuration) that is not UTF-8",
          expected: "UTF-8")
      }
      metadata["config"] = text
    }
    unsafe try ZipArchive.stream(weights, of: file) { _ in }
    return try HDF5Checkpoint(
      file,
      member: .init(
        range: weights.offset..<weights.offset + weights.byteCount, format: "keras",
        metadata: metadata))
  }

  private static func isKnown(_ name: String) -> Bool {
    [weights, configuration, "metadata.json", "requirements.txt"].contains(name)
      || name.hasPrefix("assets/")
  }
}
