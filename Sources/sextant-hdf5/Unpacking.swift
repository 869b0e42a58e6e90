import CZlib
import SextantBytes

/// Undoes the filters of a chunk, and checks the size at each step.
///
/// libhdf5 would pass on memory that it never wrote if a chunk unpacks to less than its size, and
/// would unpack without limit if it is more.
struct Unpacking {
  let path: String
  let chunks: Chunks
  /// A bit for each filter that the writer left out for this chunk.
  let skipped: UInt32

  /// The elements, row-major, as the file orders the bytes of each.
  ///
  /// - Throws: `h5.filter.size`, `h5.invalid`.
  func elements(of stored: [UInt8]) throws(Refusal) -> [UInt8] {
    var bytes = stored
    for (place, filter) in chunks.filters.enumerated().reversed() where isApplied(place) {
      switch filter {
      case .deflate: bytes = try inflated(bytes, to: byteCount(before: place))
      case .shuffle: bytes = Self.unshuffled(bytes, width: chunks.width)
      case .fletcher32: bytes = try withoutChecksum(bytes)
      }
    }
    guard bytes.count == chunks.byteCount else {
      throw wrongSize("\(bytes.count) bytes", chunks.byteCount)
    }
    return bytes
  }

  private func isApplied(_ place: Int) -> Bool { skipped & (1 << UInt32(place)) == 0 }

  /// Bytes that a filter got to work on: the elements, and a checksum if that came first.
  private func byteCount(before place: Int) -> Int {
    let hasChecksum = chunks.filters[..<place].enumerated().contains {
      $0.element == .fletcher32 && isApplied($0.offset)
    }
    return chunks.byteCount + (hasChecksum ? 4 : 0)
  }

  private func inflated(_ bytes: [UInt8], to count: Int) throws(Refusal) -> [UInt8] {
    var produced = uLong(count)
    var consumed = uLong(bytes.count)
    var status: Int32 = Z_OK
    let result = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      status = unsafe uncompress2(buffer.baseAddress, &produced, bytes, &consumed)
      initialized = Int(produced)
    }
    switch status {
    case Z_OK where produced == count && consumed == bytes.count: return result
    case Z_OK where produced == count:
      throw wrongSize("\(bytes.count - Int(consumed)) bytes after the end", count)
    case Z_OK: throw wrongSize("\(produced) bytes", count)
    case Z_BUF_ERROR: throw wrongSize("more than that", count)
    default:
      throw Refusal(
        .hdf5Invalid, at: .tensor(path), found: "damaged deflate data (zlib \(status))",
        expected: "a sound chunk")
    }
  }

  /// Whole elements, and behind them the bytes that fill no element as they are.
  static func unshuffled(_ bytes: [UInt8], width: Int) -> [UInt8] {
    let count = bytes.count / width
    var result = bytes
    unsafe result.withUnsafeMutableBufferPointer { target in
      unsafe bytes.withUnsafeBufferPointer { source in
        for byte in 0..<width {
          for element in 0..<count {
            unsafe target[element * width + byte] = source[byte * count + element]
          }
        }
      }
    }
    return result
  }

  private func withoutChecksum(_ bytes: [UInt8]) throws(Refusal) -> [UInt8] {
    guard bytes.count >= 4 else { throw wrongSize("\(bytes.count) bytes", chunks.byteCount + 4) }
    let content = Array(bytes.dropLast(4))
    let stored = bytes.suffix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let computed = Self.fletcher32(content)
    guard stored == computed else {
      throw Refusal(
        .hdf5Invalid, at: .tensor(path),
        found: "a chunk with the checksum \(String(computed, radix: 16))",
        expected: "\(String(stored, radix: 16)), as the file declares")
    }
    return content
  }

  /// Fletcher's checksum over big-endian 16-bit words, in arithmetic modulo 65535 that keeps
  /// 65535 apart from 0.
  static func fletcher32(_ bytes: [UInt8]) -> UInt32 {
    func reduced(_ sum: UInt64) -> UInt64 { sum == 0 ? 0 : (sum - 1) % 65535 + 1 }
    var (sum, sumOfSums): (UInt64, UInt64) = (0, 0)
    for start in stride(from: 0, to: bytes.count, by: 2) {
      let low = start + 1 < bytes.count ? UInt64(bytes[start + 1]) : 0
      sum += UInt64(bytes[start]) << 8 | low
      sumOfSums += sum
      // Every 2048 words: the sums stay below 2^28 and 2^39.
      if start & 0xFFE == 0xFFE { (sum, sumOfSums) = (reduced(sum), reduced(sumOfSums)) }
    }
    return UInt32(reduced(sumOfSums)) << 16 | UInt32(reduced(sum))
  }

  private func wrongSize(_ found: String, _ expected: Int) -> Refusal {
    Refusal(
      .hdf5FilterSize, at: .tensor(path), found: found, expected: "\(expected) bytes per chunk")
  }
}
