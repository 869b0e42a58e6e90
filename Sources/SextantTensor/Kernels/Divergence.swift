import CSextantKernels
import Glibc

extension Kernels {
  /// Kullback-Leibler divergence of q = softmax(logits) from p = softmax(target), and the entropy of
  /// q, both in nats, for each row.
  ///
  /// - Parameters:
  ///   - logits: `[M, V]`; finite.
  ///   - shifts: the result of `logSumExp` for the logits, M numbers.
  ///   - target: `[M, V]`; finite.
  ///   - targetShifts: the result of `logSumExp` for the target.
  package static func divergence(
    of logits: Tensor, shifts: [Float], from target: Tensor, targetShifts: [Float],
    pool: WorkerPool = .shared
  ) -> (divergence: [Float], entropy: [Float]) {
    let width = checkedWidth(logits, shifts, target, targetShifts)
    var divergence = [Float](repeating: 0, count: shifts.count)
    var entropy = divergence
    let kernel = table.divergence
    logits.withRows { logits, _ in
      target.withRows { target, _ in
        divergence.withUnsafeMutableBufferPointer { divergence in
          entropy.withUnsafeMutableBufferPointer { entropy in
            nonisolated(unsafe) let (logits, target) = (logits, target)
            nonisolated(unsafe) let (divergence, entropy) = (divergence, entropy)
            pool.split(shifts.count, by: rowGrain(width: width)) { range in
              for row in range {
                divergence[row] =
                  kernel?(
                    nil, entropy.baseAddress.map { $0 + row }, logits + row * width, shifts[row],
                    target + row * width, targetShifts[row], width) ?? .nan
              }
            }
          }
        }
      }
    }
    return (divergence, entropy)
  }

  /// As `divergence`; replaces the logits by the divergences' gradients by them, q - p.
  ///
  /// - Returns: the divergences, M numbers.
  package static func divergenceGradient(
    _ logits: inout Tensor, shifts: [Float], from target: Tensor, targetShifts: [Float],
    pool: WorkerPool = .shared
  ) -> [Float] {
    let width = checkedWidth(logits, shifts, target, targetShifts)
    var divergence = [Float](repeating: 0, count: shifts.count)
    let kernel = table.divergence
    logits.withMutableRows { logits in
      target.withRows { target, _ in
        divergence.withUnsafeMutableBufferPointer { divergence in
          nonisolated(unsafe) let (logits, target, divergence) = (logits, target, divergence)
          pool.split(shifts.count, by: rowGrain(width: width)) { range in
            for row in range {
              let row = (logits: logits + row * width, target: target + row * width, index: row)
              divergence[row.index] =
                kernel?(
                  row.logits, nil, row.logits, shifts[row.index], row.target,
                  targetShifts[row.index], width) ?? .nan
            }
          }
        }
      }
    }
    return divergence
  }

  /// Replaces logits by the gradients of -log q[label], q - [label]; rows without a label by zeros.
  ///
  /// - Returns: -log q[label] in nats, 0 without a label.
  package static func crossEntropyGradient(
    _ logits: inout Tensor, shifts: [Float], labels: [Int?], pool: WorkerPool = .shared
  ) -> [Float] {
    let width = logits.columnCount
    precondition(shifts.count == logits.rowCount && labels.count == logits.rowCount)
    var losses = [Float](repeating: 0, count: shifts.count)
    let kernel = table.exp_sum
    logits.withMutableRows { logits in
      losses.withUnsafeMutableBufferPointer { losses in
        nonisolated(unsafe) let (logits, losses) = (logits, losses)
        pool.split(shifts.count, by: rowGrain(width: width)) { range in
          for row in range {
            let first = logits + row * width
            guard let label = labels[row] else {
              first.update(repeating: 0, count: width)
              continue
            }
            losses[row] = shifts[row] - first[label]
            _ = kernel?(first, first, shifts[row], width)
            first[label] -= 1
          }
        }
      }
    }
    return losses
  }

  private static func checkedWidth(
    _ logits: Tensor, _ shifts: [Float], _ target: Tensor, _ targetShifts: [Float]
  ) -> Int {
    precondition(
      logits.shape == target.shape && shifts.count == logits.rowCount
        && targetShifts.count == shifts.count, "\(logits.shape) and \(target.shape)")
    return logits.columnCount
  }
}
