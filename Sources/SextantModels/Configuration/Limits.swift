import SextantBytes
import SextantTensor

/// The sizes that this program supports, the same for all families.
enum Limits {
  /// Widths, and rows of matrices.
  static let sizes = 1...(1 << 24)
  /// Blocks.
  static let layerCounts = 1...1000
}

extension FormedConfiguration {
  /// Widths, and rows of matrices.
  static var sizes: ClosedRange<Int> { Limits.sizes }
  /// Blocks.
  static var layerCounts: ClosedRange<Int> { Limits.layerCounts }
  /// Heads, and groups of them.
  static var heads: ClosedRange<Int> { 1...(1 << 16) }
  /// Channels of a head of attention.
  static var headWidths: ClosedRange<Int> { 2...Kernels.widestHead }
  /// States of a channel of a state space.
  static var states: ClosedRange<Int> { 1...4096 }
  /// Taps of a causal convolution.
  static var kernelWidths: ClosedRange<Int> { 2...8 }
  /// Tokens of a text.
  static var lengths: ClosedRange<Int> { 1...Int(Int32.max) }
}

extension JSONNode {
  /// Refuses numbers of heads of attention that do not fit together.
  ///
  /// - Parameters:
  ///   - count: the query heads.
  ///   - keys: the key and value heads.
  ///   - width: rows of the matrix of queries for a head.
  /// - Throws: the node's code.
  func checkHeads(_ count: Int, sharing keys: Int, width: Int) throws(Refusal) {
    guard count % keys == 0 else {
      throw refusal(
        found: "\(count) heads that share \(counted(keys, "key"))",
        expected: "groups of equal size")
    }
    guard count * width <= Limits.sizes.upperBound else {
      throw refusal(
        found: "\(count) heads of \(width) rows of the queries' matrix",
        expected: "at most \(Limits.sizes.upperBound) rows in all")
    }
  }

  /// Refuses a rotation of another number of channels than a head has.
  ///
  /// - Throws: the node's code.
  func check(_ rotary: RotaryEmbedding, ofHead width: Int) throws(Refusal) {
    guard rotary.width == width else {
      throw refusal(
        found: "\(rotary.width) rotated channels", expected: "all \(width) of a head")
    }
  }
}
