// The numbers in a block of each quantised type. Glossary:
//   d, m    the block's scale and minimum, f16
//   q       small integers: 4 bits as the halves of a byte, 2 bits as its quarters, lowest first
//   high    further bits of the same integers, from another array
// The arithmetic is in f32 and in the order in which ggml does it: results are equal bit for bit.

extension GGUFTensorType {
  /// Computes the elements of whole blocks.
  ///
  /// - Parameters:
  ///   - bytes: the blocks.
  ///   - y: receives `blockElements` numbers for each block.
  func decode(_ bytes: Span<UInt8>, into y: inout MutableSpan<Float>) {
    precondition(bytes.count % blockBytes == 0)
    precondition(y.count >= bytes.count / blockBytes * blockElements)
    for block in 0..<bytes.count / blockBytes {
      let (b, i) = (block * blockBytes, block * blockElements)
      switch self {
      case .q4v0: bytes.q4v0(at: b, into: &y, at: i)
      case .q4v1: bytes.q4v1(at: b, into: &y, at: i)
      case .q5v0: bytes.q5v0(at: b, into: &y, at: i)
      case .q5v1: bytes.q5v1(at: b, into: &y, at: i)
      case .q8v0: bytes.q8v0(at: b, into: &y, at: i)
      case .q2k: bytes.q2k(at: b, into: &y, at: i)
      case .q3k: bytes.q3k(at: b, into: &y, at: i)
      case .q4k: bytes.q4k(at: b, into: &y, at: i)
      case .q5k: bytes.q5k(at: b, into: &y, at: i)
      case .q6k: bytes.q6k(at: b, into: &y, at: i)
      case .f32, .f16, .f64, .bf16: preconditionFailure("\(name) is handed over as it is")
      }
    }
  }
}

extension Span<UInt8> {
  @inline(__always)
  private func int(_ offset: Int) -> Int { Int(self[offset]) }

  @inline(__always)
  private func signed(_ offset: Int) -> Int { Int(Int8(bitPattern: self[offset])) }

  @inline(__always)
  private func half(_ offset: Int) -> Float {
    Float(Float16(bitPattern: UInt16(self[offset]) | UInt16(self[offset + 1]) << 8))
  }

  // MARK: Blocks of 32

  // d, 16 bytes: y = (q - 8) d. The lower halves are the first 16 elements.
  fileprivate func q4v0(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let d = half(b)
    for j in 0..<16 {
      let q = int(b + 2 + j)
      y[i + j] = Float((q & 15) - 8) * d
      y[i + 16 + j] = Float((q >> 4) - 8) * d
    }
  }

  // d, m, 16 bytes: y = q d + m.
  fileprivate func q4v1(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let (d, m) = (half(b), half(b + 2))
    for j in 0..<16 {
      let q = int(b + 4 + j)
      y[i + j] = Float(q & 15) * d + m
      y[i + 16 + j] = Float(q >> 4) * d + m
    }
  }

  // d, 32 high bits in element order, 16 bytes: y = (q - 16) d.
  fileprivate func q5v0(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let d = half(b)
    for j in 0..<16 {
      let (low, high) = fifthBits(b + 2, j)
      let q = int(b + 6 + j)
      y[i + j] = Float((q & 15 | low) - 16) * d
      y[i + 16 + j] = Float((q >> 4 | high) - 16) * d
    }
  }

  // d, m, 32 high bits, 16 bytes: y = q d + m.
  fileprivate func q5v1(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let (d, m) = (half(b), half(b + 2))
    for j in 0..<16 {
      let (low, high) = fifthBits(b + 4, j)
      let q = int(b + 8 + j)
      y[i + j] = Float(q & 15 | low) * d + m
      y[i + 16 + j] = Float(q >> 4 | high) * d + m
    }
  }

  /// Bits `j` and `j + 16` of the four bytes at `offset`, each in the place of 16.
  @inline(__always)
  private func fifthBits(_ offset: Int, _ j: Int) -> (low: Int, high: Int) {
    let shift = j % 8
    return (
      (int(offset + j / 8) >> shift & 1) << 4, (int(offset + 2 + j / 8) >> shift & 1) << 4
    )
  }

  // d, 32 signed bytes: y = q d.
  fileprivate func q8v0(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let d = half(b)
    for j in 0..<32 { y[i + j] = Float(signed(b + 2 + j)) * d }
  }

  // MARK: Blocks of 256, with a scale (and a minimum) of few bits for each 16 or 32

  // 16 bytes of scale and minimum, 64 bytes, d, m: y = d scale q - m minimum. Each 32 bytes contain
  // 128 elements, 32 in each quarter.
  fileprivate func q2k(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let (d, m) = (half(b + 80), half(b + 82))
    for group in 0..<16 {
      let scales = int(b + group)
      let (scale, minimum) = (d * Float(scales & 15), m * Float(scales >> 4))
      let q = b + 16 + group / 8 * 32 + group % 2 * 16
      let shift = group % 8 / 2 * 2
      for j in 0..<16 {
        y[i + group * 16 + j] = scale * Float(int(q + j) >> shift & 3) - minimum
      }
    }
  }

  // 32 bytes of high bits, 64 bytes, 12 bytes of scales, d: y = d (scale - 32) (q - 4).
  // Bit k of a high byte belongs to the k-th 32 elements.
  fileprivate func q3k(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
    let d = half(b + 108)
    for group in 0..<16 {
      let low = int(b + 96 + group % 8) >> (group / 8 * 4) & 15
      let high = int(b + 104 + group % 4) >> (group / 4 * 2) & 3
      let scale = d * Float((low | high << 4) - 32)
      let (q, bits) = (b + 32 + group / 8 * 32 + group % 2 * 16, b + group % 2 * 16)
      let shift = group % 8 / 2 * 2
      for j in 0..<16 {
        let value = int(q + j) >> shift & 3 | (int(bits + j) >> (group / 2) & 1) << 2
        y[i + group * 16 + j] = scale * Float(value - 4)
      }
    }
  }

  // d, m, 12 bytes of scales and minima, 128 bytes: y = d scale q - m minimum. Each 32 bytes
  // contain 64 elements, 32 in each half.
  fileprivate func q4k(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
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
  fileprivate func q5k(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
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
  @inline(__always)
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
  fileprivate func q6k(at b: Int, into y: inout MutableSpan<Float>, at i: Int) {
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
