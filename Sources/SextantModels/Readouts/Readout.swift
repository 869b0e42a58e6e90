import SextantTensor

/// Turns the residual stream into logits: the final norm, the head, and its scale.
///
/// A model ends with it after the last block, and a lens puts it after any other, so that both
/// agree of the same stream, bit for bit.
public struct Readout: Sendable {
  /// The final norm.
  package let norm: Norm
  /// The unembedding, [V, D], in the type in which it is stored.
  public let head: Tensor
  /// The factor of the logits.
  public let scale: Float

  /// A readout.
  package init(norm: Norm, head: Tensor, scale: Float = 1) {
    self.norm = norm
    self.head = head
    self.scale = scale
  }

  /// The logits of rows that are normed already, [M, D] to [M, V].
  public func logits(normed: some MatrixRows) -> Tensor {
    var logits = Linear.apply(normed, weight: head)  // [M, V]
    if scale != 1 { Kernels.scale(&logits, by: scale) }
    return logits
  }

  /// The logits of rows of the residual stream, [M, D] to [M, V].
  public func logits(residual: some MatrixRows) -> Tensor { logits(normed: norm(residual)) }
}
