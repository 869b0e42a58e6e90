import SextantTensor
import SextantTestSupport

/// Weights in blocks of random bits, and what they are worth by ggml's definitions, one element at a time.
enum Blocks {
  /// A tensor [rows, columns] of random blocks, with scales and minima of ordinary size.
  static func random(
    _ type: DataType, _ rows: Int, _ columns: Int, _ random: inout SplitMix64
  ) -> Tensor {
    var bytes = random.bytes(rows * type.byteCount(elements: columns))
    for block in 0..<bytes.count / type.byteWidth {
      for offset in RawGGUF.halves(of: type.rawValue) {
        let value = Float16(random.floats(1)[0] * 0.05)
        let place = block * type.byteWidth + offset
        bytes.replaceSubrange(
          place..<place + 2,
          with: [UInt8(truncatingIfNeeded: value.bitPattern), UInt8(value.bitPattern >> 8)])
      }
    }
    let tensor = bytes.withUnsafeBytes {
      Tensor(copying: $0, dataType: type, shape: [rows, columns])
    }
    guard let tensor else { fatalError("\(columns) columns of \(type)") }
    return tensor
  }

  /// The elements of whole blocks.
  static func elements(_ bytes: [UInt8], _ type: DataType) -> [Float] {
    let count = bytes.count / type.byteWidth
    var y = [Float](repeating: .nan, count: count * type.blockLength)
    for block in 0..<count {
      let (b, i) = (block * type.byteWidth, block * type.blockLength)
      switch type {
      case .q8: bytes.q8v0(at: b, into: &y, at: i)
      case .q4v0: bytes.q4v0(at: b, into: &y, at: i)
      case .q4v1: bytes.q4v1(at: b, into: &y, at: i)
      case .q5v0: bytes.q5v0(at: b, into: &y, at: i)
      case .q5v1: bytes.q5v1(at: b, into: &y, at: i)
      case .q4k: bytes.q4k(at: b, into: &y, at: i)
      case .q5k: bytes.q5k(at: b, into: &y, at: i)
      case .q6k: bytes.q6k(at: b, into: &y, at: i)
      default: fatalError("\(type) has no blocks")
      }
    }
    return y
  }
}

extension [UInt8] {
  private func int(_ offset: Int) -> Int { Int(self[offset]) }

  private func signed(_ offset: Int) -> Int { Int(Int8(bitPattern: self[offset])) }

  private func half(_ offset: Int) -> Float {
    Float(Float16(bitPattern: UInt16(self[offset]) | UInt16(self[offset + 1]) << 8))
  }

  // MARK: Blocks of 32

  // d, 16 bytes: y = (q - 8) d. The lower halves are the first 16 elements.
  fileprivate func q4v0(at b: Int, into y: inout [Float], at i: Int) {
    let d = half(b)
    for j in 0..<16 {
      let q = int(b + 2 + j)
      y[i + j] = Float((q & 15) - 8) * d
      y[i + 16 + j] = Float((q >> 4) - 8) * d
    }
  }

  // d, m, 16 bytes: y = q d + m.
  fileprivate func q4v1(at b: Int, into y: inout [Float], at i: Int) {
    let (d, m) = (half(b), half(b + 2))
    for j in 0..<16 {
      let q = int(b + 4 + j)
      y[i + j] = Float(q & 15) * d + m
      y[i + 16 + j] = Float(q >> 4) * d + m
    }
  }

  // d, 32 high bits in element order, 16 bytes: y = (q - 16) d.
  fileprivate func q5v0(at b: Int, into y: inout [Float], at i: Int) {
    let d = half(b)
    for j in 0..<16 {
      let (low, high) = fifthBits(b + 2, j)
      let q = int(b + 6 + j)
      y[i + j] = Float((q & 15 | low) - 16) * d
      y[i + 16 + j] = Float((q >> 4 | high) - 16) * d
    }
  }

  // d, m, 32 high bits, 16 bytes: y = q d + m.
  fileprivate func q5v1(at b: Int, into y: inout [Float], at i: Int) {
    let (d, m) = (half(b), half(b + 2))
    for j in 0..<16 {
      let (low, high) = fifthBits(b + 4, j)
      let q = int(b + 8 + j)
      y[i + j] = Float(q & 15 | low) * d + m
      y[i + 16 + j] = Float(q >> 4 | high) * d + m
    }
  }

  /// Bits `j` and `j + 16` of the four bytes at `offset`, each in the place of 16.
  private func fifthBits(_ offset: Int, _ j: Int) -> (low: Int, high: Int) {
    let shift = j % 8
    return (
      (int(offset + j / 8) >> shift & 1) << 4, (int(offset + 2 + j / 8) >> shift & 1) << 4
    )
  }

  // d, 32 signed bytes: y = q d.
  fileprivate func q8v0(at b: Int, into y: inout [Float], at i: Int) {
    let d = half(b)
    for j in 0..<32 { y[i + j] = Float(signed(b + 2 + j)) * d }
  }

  // MARK: Blocks of 256, with a scale (and a minimum) of few bits for each 16 or 32

  // d, m, 12 bytes of scales and minima, 128 bytes: y = d scale q - m minimum. Each 32 bytes
  // contain 64 elements, 32 in each half.
  fileprivate func q4k(at b: Int, into y: inout [Float], at i: Int) {
    let (d, m) = (half(b), half(b + 2))
    for group in 0..<8 {
      let packed = sixBits(b + 4, group)
      let (scale, minimum) = (d * Float(packed.scale), m * Float(packed.minimum))
      let (q, shift) = (b + 16 + group / 2 * 32, group % 2 * 4)
      for j in 0..<32 {
        y[i + group * 32 + j] = scale * Float(int(q + j) >> shift & 15) - minimum
      }
    }
  }

  // As Q4_K, with 32 bytes of high bits before the others; bit k belongs to the k-th 32 elements.
  fileprivate func q5k(at b: Int, into y: inout [Float], at i: Int) {
    let (d, m) = (half(b), half(b + 2))
    for group in 0..<8 {
      let packed = sixBits(b + 4, group)
      let (scale, minimum) = (d * Float(packed.scale), m * Float(packed.minimum))
      let (q, shift) = (b + 48 + group / 2 * 32, group % 2 * 4)
      for j in 0..<32 {
        let value = int(q + j) >> shift & 15 | (int(b + 16 + j) >> group & 1) << 4
        y[i + group * 32 + j] = scale * Float(value) - minimum
      }
    }
  }

  /// Scale and minimum of 6 bits for one of 8 groups: the first four are in the low bits of 8
  /// bytes, the others are halves of the last 4 bytes, with their high bits on top of the first 8.
  private func sixBits(_ offset: Int, _ group: Int) -> (scale: Int, minimum: Int) {
    if group < 4 { return (int(offset + group) & 63, int(offset + group + 4) & 63) }
    let packed = int(offset + group + 4)
    return (
      packed & 15 | (int(offset + group - 4) >> 6) << 4,
      packed >> 4 | (int(offset + group) >> 6) << 4
    )
  }

  // 128 bytes of 4 low bits, 64 bytes of 2 high bits, 16 signed scales, d: y = d scale (q - 32).
  // Of 128 elements, quarters of 32 take: low half of the first 32 bytes, of the next 32, then the
  // upper halves of both; high bits from the quarters of 32 bytes.
  fileprivate func q6k(at b: Int, into y: inout [Float], at i: Int) {
    let d = half(b + 208)
    for group in 0..<16 {
      let (part, quarter, side) = (group / 8, group % 8 / 2, group % 2 * 16)
      let scale = d * Float(signed(b + 192 + group))
      let low = b + part * 64 + quarter % 2 * 32 + side
      let high = b + 128 + part * 32 + side
      let (lowShift, highShift) = (quarter / 2 * 4, quarter * 2)
      for j in 0..<16 {
        let value = int(low + j) >> lowShift & 15 | (int(high + j) >> highShift & 3) << 4
        y[i + group * 16 + j] = scale * Float(value - 32)
      }
    }
  }
}
