import SextantBytes
import SextantTensor

/// A model's final predictions at some tokens, to compare a lens with.
package struct ReadoutTarget: Sendable {
  /// [M, V].
  package let logits: Tensor
  /// log Σ e^logit of each row.
  package let shifts: [Float]
  /// The most probable token of each row.
  package let best: [Int]

  /// The target that a readout makes of rows of the residual stream, [M, D].
  package init(_ readout: Readout, residual: some MatrixRows) {
    self.init(logits: readout.logits(residual: residual))
  }

  /// The target of logits, [M, V].
  package init(logits: Tensor) {
    self.logits = logits
    shifts = Kernels.logSumExp(logits)
    best = Kernels.argmax(logits)
  }
}

/// How far a readout is from the model's own, token by token; nats.
package struct ReadoutComparison: Sendable {
  /// -log q[next], if the next token is known.
  package var crossEntropy: [Float?]
  /// Kullback-Leibler divergence of the readout from the target.
  package var divergence: [Float]
  /// The entropy of the readout.
  package var entropy: [Float]
  /// The most probable token.
  package var best: [Int]
}

/// The loss of a lens.
public enum LensLoss: String, Sendable, CaseIterable {
  /// The divergence of the lens's predictions from the model's.
  case kl
  /// The cross-entropy of the next token.
  case ce
}

extension Readout {
  /// Rows whose logits are in memory at a time: enough for the products to be limited by
  /// arithmetic.
  package static let tileRows = 128

  /// Compares the predictions of the readout from rows of some residual stream with a target.
  ///
  /// - Parameters:
  ///   - residual: [M, D], at most `tileRows` rows if memory is limited: [M, V] logits are made.
  ///   - next: the token that follows each row; nil if none does.
  package func comparison(
    of residual: some MatrixRows, with target: ReadoutTarget, next: [Int?]
  ) -> ReadoutComparison {
    comparison(ofLogits: logits(residual: residual), with: target, next: next)
  }

  /// As above, for existing logits, [M, V].
  package func comparison(
    ofLogits logits: Tensor, with target: ReadoutTarget, next: [Int?]
  ) -> ReadoutComparison {
    let shifts = Kernels.logSumExp(logits)
    let (divergence, entropy) = Kernels.divergence(
      of: logits, shifts: shifts, from: target.logits, targetShifts: target.shifts)
    let width = logits.columnCount
    let crossEntropy = logits.withFloats { logits in
      next.enumerated().map { row, token in token.map { shifts[row] - logits[row * width + $0] } }
    }
    return ReadoutComparison(
      crossEntropy: crossEntropy, divergence: divergence, entropy: entropy,
      best: Kernels.argmax(logits))
  }
}
