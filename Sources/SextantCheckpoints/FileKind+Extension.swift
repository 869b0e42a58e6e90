import SextantBytes

extension FileKind {
  /// The kind that a path's extension promises, or nil if it promises none (`.bin`).
  init?(promisedBy path: String) {
    let name = path.split(separator: "/").last ?? ""
    guard let dot = name.lastIndex(of: ".") else { return nil }
    switch name[name.index(after: dot)...].lowercased() {
    case "safetensors": self = .safetensors
    case "h5", "hdf5": self = .hdf5
    case "gguf": self = .gguf
    case "pt", "pth", "ckpt", "keras", "npz", "zip": self = .zip
    case "json": self = .json
    case "sxt": self = .store
    default: return nil
    }
  }

  /// Refuses a file whose content is recognised as another kind than its name promises.
  ///
  /// Unrecognised content is accepted here: the reader for the file's ending gives the most helpful
  /// refusal.
  ///
  /// - Throws: `file.extension-mismatch`.
  func checkExtension(of path: String) throws(Refusal) {
    guard let promised = FileKind(promisedBy: path), self != promised, self != .unknown else {
      return
    }
    throw Refusal(
      .fileExtensionMismatch, file: path, found: rawValue, expected: promised.rawValue)
  }

  /// Refuses a file that is recognised as another kind than the reader's.
  ///
  /// - Throws: `file.extension-mismatch` if the ending is that of `wanted`, else `file.unknown`.
  func expect(_ wanted: FileKind, in file: InputFile) throws(Refusal) {
    guard self != wanted, self != .unknown else { return }
    try checkExtension(of: file.path)
    throw Refusal(
      .fileUnknown, file: file.path, found: rawValue, expected: wanted.rawValue)
  }
}
