import SextantBytes
import SextantTensor

/// The constants of the native model format, as `formats/store.md` defines them.
package enum StoreFormat {
  /// The version that this code writes, and the only one that it reads.
  package static let version = 1
  /// The value of `format` in the header.
  package static let name = "sextant-model"
  /// The value of `weights` in the header when every tensor keeps its source type.
  package static let sourceVariant = "source"
  /// Features whose names may be in `requires`; version 1 defines none.
  package static let features: Set<String> = []
  /// Tensors, attachments and the footer start at multiples of this, in bytes.
  package static let alignment = 64
  /// Bytes that the JSON header may have at most.
  package static let headerLimit = 16 << 20
  /// Dimensions that a tensor may have at most.
  package static let rankLimit = 8
  /// UTF-8 bytes that a name may have at most.
  package static let nameLimit = 512

  static let magic = Array("SEXTANT\0".utf8)
  static let footerMagic = Array("SXTEND\0\0".utf8)
  static let byteOrderMark: UInt32 = 0x0102_0304
  static let layout = "row-major"

  /// `count` rounded up to a multiple of the alignment; nil when that overflows.
  static func aligned(_ count: Int) -> Int? {
    let (sum, overflow) = count.addingReportingOverflow(alignment - 1)
    return overflow || count < 0 ? nil : sum & ~(alignment - 1)
  }

  /// Whether a tensor or attachment may have this name: 1 to 512 bytes, no control characters
  /// (U+0000 to U+001F and U+007F to U+009F).
  static func isName(_ text: String) -> Bool {
    (1...nameLimit).contains(text.utf8.count)
      && !text.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }
  }
}

/// Places byte ranges one after the other, each at the next multiple of the alignment.
///
/// Writer and reader share this rule. Any other table is refused, so that no file has holes,
/// overlaps or a second place for the same bytes.
struct StoreLayout {
  /// The start of the next range; always aligned.
  private(set) var position: Int

  /// The offset of the next range of `byteCount` bytes; nil when it would end beyond `Int.max`.
  mutating func place(_ byteCount: Int) -> Int? {
    let offset = position
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard !overflow, byteCount >= 0, let next = StoreFormat.aligned(end) else { return nil }
    position = next
    return offset
  }
}
