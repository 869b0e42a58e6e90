import SextantBytes
import SextantTensor

/// The header of a safetensors file, checked in full before anything else is read.
///
/// The checks are in the order of the format's reference implementation; `formats/safetensors.md`
/// lists what this profile refuses beyond it.
struct SafetensorsHeader: Sendable {
  /// A tensor and where its elements start in the file.
  struct Entry: Sendable {
    var tensor: CheckpointTensor
    var offset: Int
  }

  /// All tensors, ordered by the UTF-8 bytes of their names.
  let entries: [Entry]
  /// The string map of `__metadata__`.
  let metadata: [String: String]

  /// Bytes of the length that starts the file.
  static let prefixByteCount = 8
  /// The longest header.
  static let byteLimit = 100_000_000
  /// The most tensors in a file.
  static let tensorLimit = 1_000_000
  /// The most dimensions of a tensor.
  static let rankLimit = 8
  /// The most JSON values in a header: a million entries of eight dimensions fit.
  static let valueLimit = 15_000_000
  /// The key that contains metadata instead of a tensor.
  static let metadataKey = "__metadata__"

  /// Reads and checks the header of `file`; `stringLimit` bounds each string in it, in bytes.
  init(of file: InputFile, stringLimit: Int) throws(Refusal) {
    let prefix = ByteReader(
      try file.read(at: 0, count: Self.prefixByteCount), file: file.path)
    let declared = try prefix.unsigned(at: 0, byteCount: Self.prefixByteCount)
    let available = min(file.byteCount - Self.prefixByteCount, Self.byteLimit)
    guard declared > 0, let count = Int(exactly: declared), count <= available else {
      throw Refusal(
        .safetensorsHeaderLength, file: file.path, at: .offset(0),
        found: "a header of \(declared) bytes in a file of \(file.byteCount)",
        expected: "1 to \(available) bytes")
    }
    let text = try file.read(at: Self.prefixByteCount, count: count)
    try Self.checkEnds(of: text, file: file.path)

    let root = try JSONNode(
      parsing: text,
      limits: JSONLimits(
        byteCount: Self.byteLimit, stringByteCount: stringLimit, valueCount: Self.valueLimit),
      code: .jsonNotObject, baseOffset: Self.prefixByteCount, file: file.path)
    let dataOffset = Self.prefixByteCount + count
    var parser = SafetensorsEntryParser(file: file.path)
    try parser.parse(root.object())
    try parser.checkLayout(dataByteCount: file.byteCount - dataOffset)
    metadata = parser.metadata
    entries = parser.entries
      .map { Entry(tensor: $0.tensor, offset: dataOffset + $0.range.lowerBound) }
      .sorted { $0.tensor.name.utf8.lexicographicallyPrecedes($1.tensor.name.utf8) }
  }

  /// The header starts and ends with the object, except for padding with spaces.
  private static func checkEnds(of text: [UInt8], file: String) throws(Refusal) {
    guard text.first == UInt8(ascii: "{") else {
      throw Refusal(
        .safetensorsHeaderStart, file: file, at: .offset(prefixByteCount),
        found: "byte 0x\(String(text.first ?? 0, radix: 16))", expected: "\"{\"")
    }
    guard let last = text.lastIndex(where: { $0 != UInt8(ascii: " ") }) else { return }
    guard ![0x09, 0x0A, 0x0D].contains(text[last]) else {
      throw Refusal(
        .jsonTrailing, file: file, at: .offset(prefixByteCount + last),
        found: "a tab or line break after the header", expected: "spaces, or nothing")
    }
  }
}
