import CHDF5Confinement
import Glibc
import SextantBytes

/// The first bytes of an HDF5 file, checked before libhdf5 reads any of them.
///
/// The library would search a signature behind a user block, accept offsets of odd sizes and give
/// one vague reason for all that is wrong.
enum Superblock {
  private static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

  /// - Throws: `h5.signature`, `h5.superblock`, `h5.eof`, `h5.open-for-write`.
  static func check(_ window: Confinement.Window) throws(Refusal) {
    let fileByteCount = window.byteCount
    let bytes = ByteReader(firstBytes(min(64, window.byteCount), from: window.start))
    guard bytes.bytes.starts(with: signature) else {
      throw Refusal(
        .hdf5Signature, at: .offset(0), found: "other bytes", expected: "the signature of HDF5")
    }
    let isWhole = bytes.bytes.count == 64 || bytes.bytes.count == fileByteCount
    guard isWhole, let version = byte(8, of: bytes) else { throw tooShort(fileByteCount) }
    let sizesOffset: Int
    let baseOffset: Int
    switch version {
    case 0: (sizesOffset, baseOffset) = (13, 24)
    case 1: (sizesOffset, baseOffset) = (13, 28)
    case 2, 3: (sizesOffset, baseOffset) = (9, 12)
    default:
      throw Refusal(
        .hdf5Superblock, at: .offset(8), found: "version \(version)", expected: "0, 1, 2 or 3")
    }
    guard let offsetSize = byte(sizesOffset, of: bytes),
      let lengthSize = byte(sizesOffset + 1, of: bytes)
    else { throw tooShort(fileByteCount) }
    guard offsetSize == 8, lengthSize == 8 else {
      throw Refusal(
        .hdf5Superblock, at: .offset(sizesOffset),
        found: "offsets of \(offsetSize) and lengths of \(lengthSize) bytes",
        expected: "8 bytes each")
    }
    if version == 3, let flags = byte(11, of: bytes), flags & 0b101 != 0 {
      throw Refusal(
        .hdf5OpenForWrite, at: .offset(11), found: "the mark of a program that writes the file",
        expected: "a file that was closed")
    }
    guard let base = try? bytes.unsigned(at: baseOffset, byteCount: 8),
      let end = try? bytes.unsigned(at: baseOffset + 16, byteCount: 8)
    else { throw tooShort(fileByteCount) }
    guard base == 0 else {
      throw Refusal(
        .hdf5Signature, at: .offset(baseOffset), found: "a base address of \(base)",
        expected: "HDF5 from the file's first byte on")
    }
    guard end <= UInt64(fileByteCount) else {
      throw Refusal(
        .hdf5EndOfFile, at: .offset(fileByteCount), found: "\(fileByteCount) bytes",
        expected: "\(end) bytes")
    }
  }

  private static func byte(_ offset: Int, of bytes: ByteReader) -> UInt8? {
    (try? bytes.slice(at: offset, count: 1))?.first
  }

  private static func tooShort(_ fileByteCount: Int) -> Refusal {
    Refusal(
      .hdf5EndOfFile, at: .offset(fileByteCount), found: "\(fileByteCount) bytes",
      expected: "a whole superblock")
  }

  private static func firstBytes(_ count: Int, from start: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = max(
        0, unsafe pread(Confinement.fileDescriptor, buffer.baseAddress, buffer.count, off_t(start)))
    }
  }
}
