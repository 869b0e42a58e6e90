import CCrypto
import CSextantKernels

/// A SHA-256 digest (FIPS 180-4): 32 bytes, written as 64 lower-case hexadecimal digits.
public struct Digest: Sendable, Hashable, CustomStringConvertible {
  /// The 32 bytes.
  public let bytes: [UInt8]

  /// A digest of these 32 bytes; nil for any other count.
  public init?(bytes: [UInt8]) {
    guard bytes.count == SHA256.byteCount else { return nil }
    self.bytes = bytes
  }

  /// A digest from 64 lower-case hexadecimal digits; nil for any other text.
  public init?(hexadecimal text: String) {
    let digits = Array(text.utf8)
    guard digits.count == 2 * SHA256.byteCount else { return nil }
    func value(_ digit: UInt8) -> UInt8? {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
      default: nil
      }
    }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    self.bytes = bytes
  }

  /// The digest in hexadecimal.
  public var description: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

/// An incremental SHA-256 computation, by OpenSSL's libcrypto.
package struct SHA256: ~Copyable {
  /// Bytes of a digest.
  package static let byteCount = 32
  private static let blockByteCount = 64

  private var context = SHA256_CTX()

  /// Starts a computation.
  package init() { _ = unsafe SHA256_Init(&context) }

  /// Adds bytes.
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    _ = unsafe SHA256_Update(&context, base, bytes.count)
  }

  /// Adds bytes to two computations. This takes two thirds of the time of one after the other, if
  /// the processor has instructions for SHA-256 and both get the same number of bytes.
  package static func update(
    _ first: inout SHA256, _ firstBytes: UnsafeRawBufferPointer,
    _ second: inout SHA256, _ secondBytes: UnsafeRawBufferPointer
  ) {
    let blocks = min(firstBytes.count, secondBytes.count) / blockByteCount
    var done = 0
    if blocks > 0, first.isAtBlock, second.isAtBlock,
      let one = firstBytes.baseAddress, let two = secondBytes.baseAddress
    {
      let hasRun = unsafe withUnsafeMutableBytes(of: &first.context.h) { firstState in
        unsafe withUnsafeMutableBytes(of: &second.context.h) { secondState in
          unsafe sxk_sha256_pair(
            firstState.bindMemory(to: UInt32.self).baseAddress,
            one.assumingMemoryBound(to: UInt8.self),
            secondState.bindMemory(to: UInt32.self).baseAddress,
            two.assumingMemoryBound(to: UInt8.self), blocks)
        }
      }
      if hasRun != 0 {
        done = blocks * blockByteCount
        first.count(done)
        second.count(done)
      }
    }
    unsafe first.update(UnsafeRawBufferPointer(rebasing: firstBytes[done...]))
    unsafe second.update(UnsafeRawBufferPointer(rebasing: secondBytes[done...]))
  }

  /// Whether no bytes wait for a block to be full.
  private var isAtBlock: Bool { context.num == 0 }

  /// Counts bytes that were added without libcrypto.
  private mutating func count(_ bytes: Int) {
    let bits = (UInt64(context.Nh) << 32 | UInt64(context.Nl)) &+ UInt64(bytes) &* 8
    context.Nl = UInt32(truncatingIfNeeded: bits)
    context.Nh = UInt32(truncatingIfNeeded: bits >> 32)
  }

  /// Adds bytes.
  package mutating func update(_ bytes: some Collection<UInt8>) {
    let done: Void? = bytes.withContiguousStorageIfAvailable { buffer in
      unsafe update(UnsafeRawBufferPointer(buffer))
    }
    if done == nil { unsafe Array(bytes).withUnsafeBytes { unsafe update($0) } }
  }

  /// Ends the computation.
  package consuming func finalize() -> Digest {
    var bytes = [UInt8](repeating: 0, count: Self.byteCount)
    _ = unsafe SHA256_Final(&bytes, &context)
    guard let digest = Digest(bytes: bytes) else { fatalError("a digest has 32 bytes") }
    return digest
  }

  /// The digest of `bytes`.
  package static func digest(_ bytes: some Collection<UInt8>) -> Digest {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finalize()
  }

  /// The digest of `bytes`.
  package static func digest(_ bytes: UnsafeRawBufferPointer) -> Digest {
    var hash = SHA256()
    unsafe hash.update(bytes)
    return hash.finalize()
  }
}
