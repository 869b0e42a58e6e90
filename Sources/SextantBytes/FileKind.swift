/// The kind of a file, from its first bytes and never from its name.
package enum FileKind: String, Sendable {
  /// Sextant's native model.
  case store = "Sextant model"
  /// A safetensors file: a checkpoint or an artifact.
  case safetensors
  /// HDF5.
  case hdf5 = "HDF5"
  /// GGUF.
  case gguf = "GGUF"
  /// A zip archive, as PyTorch and Keras write.
  case zip = "zip archive"
  /// JSON text.
  case json = "JSON"
  /// A pointer that Git LFS leaves instead of a file.
  case gitLFSPointer = "Git LFS pointer"
  /// An HTML page saved under the file's name.
  case html = "HTML page"
  /// Anything else.
  case unknown

  /// The number of first bytes for `init(firstBytes:)`, if the file has them.
  package static let sniffedByteCount = 64

  /// Recognises a file by its first bytes.
  package init(firstBytes bytes: [UInt8]) {
    func starts(_ prefix: [UInt8], at offset: Int = 0) -> Bool {
      bytes.count >= offset + prefix.count
        && bytes[offset..<offset + prefix.count].elementsEqual(prefix)
    }
    let text = String(decoding: bytes, as: UTF8.self).lowercased()
    let trimmed = text.drop { $0.isWhitespace }
    if starts([0, 0, 0, 0, UInt8(ascii: "{")], at: 4) {
      // The upper half of the header length is zero, which distinguishes it from JSON like
      // {"meta":{.
      self = .safetensors
    } else if starts(Array("SEXTANT\0".utf8)) {
      self = .store
    } else if starts([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .hdf5
    } else if starts(Array("GGUF".utf8)) {
      self = .gguf
    } else if starts([0x50, 0x4B, 0x03, 0x04]) || starts([0x50, 0x4B, 0x05, 0x06]) {
      self = .zip
    } else if text.hasPrefix("version https://git-lfs") {
      self = .gitLFSPointer
    } else if trimmed.hasPrefix("<!doctype") || trimmed.hasPrefix("<html") {
      self = .html
    } else if trimmed.hasPrefix("{") {
      self = .json
    } else {
      self = .unknown
    }
  }

  /// Recognises an open file.
  ///
  /// - Throws: `file.html` if it is a page or pointer instead of the file, which no reader accepts.
  package init(of file: InputFile) throws(Refusal) {
    self.init(firstBytes: try file.read(at: 0, count: min(Self.sniffedByteCount, file.byteCount)))
    if self == .gitLFSPointer || self == .html {
      throw Refusal(
        .fileHTML, file: file.path, found: "a \(rawValue)", expected: "the data")
    }
  }
}
