import SextantTensor

/// A readout, with the values that training a lens through it needs.
///
/// The products with the unembedding are nearly all of the work. In `Precision.fast` they are made
/// in bf16 with sums in f32, if the processor multiplies these directly: the unembedding is kept
/// once more, rounded, in both orders, 4 bytes for each element.
package struct TrainingReadout: Sendable {
  /// The readout.
  package let readout: Readout
  private let transposedHead: Tensor?  // [D, V]

  /// Prepares a readout.
  package init(_ readout: Readout, precision: Precision = .current) {
    guard precision == .fast, let head = readout.head.converted(to: .bf16) else {
      self.readout = readout
      transposedHead = nil
      return
    }
    self.readout = Readout(norm: readout.norm, head: head, scale: readout.scale)
    transposedHead = readout.head.converted(to: .f32)
      .flatMap { $0.transposed().converted(to: .bf16) }
  }

  /// The losses of rows of some residual stream, and their gradient by these rows.
  ///
  /// - Parameters:
  ///   - residual: [M, D].
  ///   - next: the token that follows each row, for cross-entropy; rows without one have no effect.
  ///   - weight: the factor of the gradient, such as one over the number of tokens.
  /// - Returns: a loss for each row, in nats, and the gradient of `weight` times their sum, [M, D].
  package func lossGradient(
    _ loss: LensLoss, of residual: Tensor, target: ReadoutTarget, next: [Int?], weight: Float
  ) -> (losses: [Float], gradient: Tensor) {
    let norm = readout.norm
    var logits = readout.logits(residual: residual)  // [M, V]
    let shifts = Kernels.logSumExp(logits)
    let losses =
      switch loss {
      case .kl:
        Kernels.divergenceGradient(
          &logits, shifts: shifts, from: target.logits, targetShifts: target.shifts)
      case .ce: Kernels.crossEntropyGradient(&logits, shifts: shifts, labels: next)
      }
    var gradient =  // [M, D]
      transposedHead.map { Linear.apply(logits, weight: $0, precision: .fast) }
      ?? Linear.applyTransposed(logits, weight: readout.head)
    Kernels.scale(&gradient, by: readout.scale * weight)
    if norm.isCentered {
      Kernels.layerNormGradient(
        &gradient, of: residual, weight: norm.weight, epsilon: norm.epsilon)
    } else {
      Kernels.rmsNormGradient(&gradient, of: residual, weight: norm.weight, epsilon: norm.epsilon)
    }
    return (losses, gradient)
  }
}

extension Tensor {
  /// The transpose of an f32 matrix, [M, N] to [N, M], by squares that stay in the caches.
  fileprivate func transposed() -> Tensor {
    let (rows, columns, side) = (rowCount, columnCount, 64)
    var result = Tensor(zeros: [columns, rows])
    withFloats { source in
      result.withMutableFloats { target in
        for row in stride(from: 0, to: rows, by: side) {
          for column in stride(from: 0, to: columns, by: side) {
            for i in row..<min(row + side, rows) {
              for j in column..<min(column + side, columns) {
                target[j * rows + i] = source[i * columns + j]
              }
            }
          }
        }
      }
    }
    return result
  }
}
