import Glibc
import SextantModels
import SextantTensor

/// The prediction of a lens at one site after one token.
package struct LensCell: Sendable, Equatable {
  /// A token and its probability.
  package struct Guess: Sendable, Equatable {
    /// The token's id.
    package let token: Int
    /// Its probability.
    package let probability: Double
  }

  /// The most probable tokens, the most probable first; equals by id.
  package let guesses: [Guess]
  /// The entropy of the prediction, nats.
  package let entropy: Double
  /// The divergence of the prediction from the model's own, nats.
  package let divergence: Double
  /// -log q of the token that follows, nats; nil if none does.
  package let crossEntropy: Double?

  /// The cells of rows of a stream that is passed to the readout, [M, D].
  ///
  /// - Parameters:
  ///   - next: the token that follows each row, if one does.
  ///   - count: guesses of each cell.
  static func cells(
    of residual: Tensor, _ readout: Readout, target: ReadoutTarget, next: [Int?], count: Int
  ) -> [LensCell] {
    let logits = readout.logits(residual: residual)  // [M, V]
    let comparison = readout.comparison(ofLogits: logits, with: target, next: next)
    let shifts = Kernels.logSumExp(logits)
    let width = logits.columnCount
    let count = min(count, width)
    let largest = Kernels.largest(logits, count: count)  // [M · count]
    return logits.withFloats { logits in
      next.indices.map { row in
        let values = UnsafeBufferPointer(rebasing: logits[row * width..<(row + 1) * width])
        let guesses = largest[row * count..<(row + 1) * count].map { token in
          Guess(token: token, probability: exp(Double(values[token]) - Double(shifts[row])))
        }
        return LensCell(
          guesses: guesses, entropy: Double(comparison.entropy[row]),
          divergence: max(0, Double(comparison.divergence[row])),
          crossEntropy: comparison.crossEntropy[row].map { Double($0) })
      }
    }
  }
}
