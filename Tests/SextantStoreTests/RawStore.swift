import SextantBytes
import Testing

/// The parts of a store, from which a file with one fault and valid digests is made.
///
/// A filler keeps the header's length when a member changes, so that only the fault is wrong.
struct RawStore {
  static let dataStart = 4096
  static let headerByteCount = dataStart - 32

  var magic: [UInt8]
  var version: UInt32
  var mark: UInt32
  var header: JSONObject
  /// Text put before the filler, as it is.
  var inserted = ""
  /// Replaces the header's text.
  var text: [UInt8]?
  var headerByteCount: UInt64?
  var fileByteCount: UInt64?
  var headerPadding: UInt8 = 0
  var data: [UInt8]
  var footerMagic: [UInt8]
  var footerByteCount: UInt64?
  var reserved = [UInt8](repeating: 0, count: 16)

  /// Takes the sample's store apart.
  init(_ sample: Sample = Sample()) throws {
    let bytes = try sample.bytes()
    let reader = ByteReader(bytes)
    magic = Array(bytes[..<8])
    version = UInt32(try reader.unsigned(at: 8, byteCount: 4))
    mark = UInt32(try reader.unsigned(at: 12, byteCount: 4))
    let end = 32 + Int(try reader.unsigned(at: 16, byteCount: 8))
    let root = try JSONNode(parsing: Array(bytes[32..<end]), code: .storeHeader, file: nil)
    header = try root.object()
    let oldStart = (end + 63) / 64 * 64
    data = Array(bytes[oldStart..<bytes.count - 64])
    footerMagic = Array(bytes[(bytes.count - 64)...].prefix(8))
    for table in ["tensors", "attachments"] {
      for place in try root.member(table).elements().indices {
        let offset = try root.member(table).elements()[place].member("offset").integer()
        self[table, place, "offset"] = .integer(Int64(offset + Self.dataStart - oldStart))
      }
    }
  }

  /// A field of an entry of a table.
  subscript(table: String, place: Int, key: String) -> JSONValue? {
    get {
      guard case .array(let entries)? = header[table], case .object(let entry) = entries[place]
      else { return nil }
      return entry[key]
    }
    set {
      guard case .array(var entries)? = header[table], case .object(var entry) = entries[place]
      else { return }
      entry[key] = newValue
      entries[place] = .object(entry)
      header[table] = .array(entries)
    }
  }

  /// Rearranges a table.
  mutating func edit(_ table: String, _ body: (inout [JSONValue]) -> Void) {
    guard case .array(var entries)? = header[table] else { return }
    body(&entries)
    header[table] = .array(entries)
  }

  /// The identity that follows from the header, if no tensor is converted.
  var identity: Digest {
    guard case .array(let entries)? = header["tensors"] else { return SHA256.digest([UInt8]()) }
    let rows = entries.map { entry -> JSONValue in
      guard case .object(let entry) = entry else { return .null }
      return .array(["name", "dtype", "shape", "sha256"].map { entry[$0] ?? .null })
    }
    let text: JSONValue = [
      "architecture": header["architecture"] ?? .null,
      "configuration": header["configuration"] ?? .null, "tensors": .array(rows),
    ]
    return SHA256.digest(text.canonicalBytes)
  }

  /// The header's text, as long as the sample's.
  private var filledText: [UInt8] {
    var filled = header
    filled["zz_filler"] = ""
    let length = JSONValue.object(filled).canonicalBytes.count + inserted.utf8.count
    filled["zz_filler"] = .string(
      String(repeating: "x", count: max(0, Self.headerByteCount - length)))
    let text = JSONValue.object(filled).canonicalText
    guard let place = text.range(of: "\"zz_filler\"") else { return Array(text.utf8) }
    return Array((text[..<place] + inserted + text[place...]).utf8)
  }

  /// The file.
  var bytes: [UInt8] {
    let text = text ?? filledText
    let padding = (64 - (32 + text.count) % 64) % 64
    let total = 32 + text.count + padding + data.count + 64
    let head =
      magic + version.littleEndianBytes + mark.littleEndianBytes
      + (headerByteCount ?? UInt64(text.count)).littleEndianBytes
      + (fileByteCount ?? UInt64(total)).littleEndianBytes
      + text + [UInt8](repeating: headerPadding, count: padding)
    return head + data + footerMagic + SHA256.digest(head).bytes
      + (footerByteCount ?? UInt64(total)).littleEndianBytes + reserved
  }
}

extension String {
  /// Where `text` starts; Foundation's method of that name is not used in this package.
  fileprivate func range(of text: String) -> String.Index? {
    indices.first { self[$0...].hasPrefix(text) }
  }
}
