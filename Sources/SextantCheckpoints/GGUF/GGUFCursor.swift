import SextantBytes

/// Reads the header of a GGUF file sequentially, because its length is not known in advance.
///
/// Every access is checked against the bytes that are left before anything is allocated. Bytes come
/// from `pread` in windows, so that memory stays bounded by the longest string.
struct GGUFCursor {
  /// The longest header that is read: vocabularies take a few megabytes.
  static let headerByteLimit = 256 << 20
  /// The longest string, in UTF-8 bytes. Chat templates and licences take some thousands.
  static let stringByteLimit = 4 << 20
  private static let windowByteCount = 64 << 10

  let file: InputFile
  /// The offset of the next byte.
  private(set) var position: Int
  private var window: [UInt8] = []
  private var windowStart = 0

  /// Starts at an offset of the file.
  init(_ file: InputFile, at position: Int = 0) {
    self.file = file
    self.position = position
  }

  /// Bytes from here to the file's end.
  var remaining: Int { file.byteCount - position }

  /// Passes over `count` bytes.
  ///
  /// - Throws: `gguf.truncated`, `limit.file`.
  mutating func skip(_ count: Int) throws(Refusal) {
    guard count >= 0, count <= remaining else {
      throw refusal(
        .ggufTruncated, found: "\(remaining) bytes to the end of the file",
        expected: "\(counted(count, "byte")) from here")
    }
    position += count
    guard position <= Self.headerByteLimit else {
      throw Refusal(
        .limitFile, file: file.path,
        found: "a header of more than \(counted(Self.headerByteLimit, "byte"))",
        expected: "a shorter one")
    }
  }

  /// The next `count` bytes.
  ///
  /// - Throws: `gguf.truncated`, `limit.file`.
  mutating func bytes(_ count: Int) throws(Refusal) -> ArraySlice<UInt8> {
    let start = position
    try skip(count)
    if start < windowStart || position > windowStart + window.count {
      let wanted = min(max(count, Self.windowByteCount), file.byteCount - start)
      window = try file.read(at: start, count: wanted)
      windowStart = start
    }
    return window[(start - windowStart)..<(position - windowStart)]
  }

  /// A little-endian integer.
  mutating func integer<Value: FixedWidthInteger>(
    _ type: Value.Type = Value.self
  ) throws(Refusal) -> Value {
    var value: Value = 0
    for byte in try bytes(Value.bitWidth / 8).reversed() {
      value = value << 8 | Value(truncatingIfNeeded: byte)
    }
    return value
  }

  /// A 64-bit count of the following items, which take at least `byteCount` bytes each.
  ///
  /// - Throws: `gguf.count` if the rest of the file is too short for them.
  mutating func count(
    of things: String, byteCount: Int
  ) throws(Refusal) -> Int {
    let place = position
    let value = try integer(UInt64.self)
    guard value <= UInt64(remaining / byteCount) else {
      throw Refusal(
        .ggufCount, file: file.path, at: .offset(place), found: "\(value) \(things)",
        expected: "at most \(remaining / byteCount), for which the file is long enough")
    }
    return Int(value)
  }

  /// A string with its length before it.
  ///
  /// - Throws: `gguf.count`, `gguf.string`.
  mutating func string(
    limit: Int = GGUFCursor.stringByteLimit
  ) throws(Refusal) -> String {
    let place = position
    let length = try count(of: "bytes of text", byteCount: 1)
    guard length <= limit else {
      throw Refusal(
        .ggufString, file: file.path, at: .offset(place), found: "a string of \(length) bytes",
        expected: "at most \(counted(limit, "byte"))")
    }
    guard let text = String(validating: try bytes(length), as: UTF8.self) else {
      throw Refusal(
        .ggufString, file: file.path, at: .offset(place), found: "bytes that are not UTF-8",
        expected: "UTF-8")
    }
    return text
  }

  /// A refusal of the value at the current position, or `back` bytes before.
  func refusal(
    _ code: Refusal.Code, back: Int = 0, found: String, expected: String
  ) -> Refusal {
    Refusal(
      code, file: file.path, at: .offset(position - back), found: found, expected: expected)
  }
}
