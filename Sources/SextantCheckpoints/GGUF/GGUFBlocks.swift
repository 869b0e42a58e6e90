// The numbers in blocks that native models do not have, and that are converted. Glossary:
//   d, m    the block's scale and minimum, f16
//   q       small integers: 4 bits as the halves of a byte, 2 bits as its quarters, lowest first
//   high    further bits of the same integers, from another array
// The arithmetic is in f32 and in the order in which ggml does it: results are equal bit for bit.

extension GGUFTensorType {
  /// Computes the elements of whole blocks, of types that are not stored as they are.
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
      case .q2k: bytes.q2k(at: b, into: &y, at: i)
      case .q3k: bytes.q3k(at: b, into: &y, at: i)
      default: preconditionFailure("\(name) has kernels")
      }
    }
  }
}

extension Span<UInt8> {
  @inline(__always)
  private func int(_ offset: Int) -> Int { Int(self[offset]) }

  @inline(__always)
  private func half(_ offset: Int) -> Float {
    Float(Float16(bitPattern: UInt16(self[offset]) | UInt16(self[offset + 1]) << 8))
  }

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
}
