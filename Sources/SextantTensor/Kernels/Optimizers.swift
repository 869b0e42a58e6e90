import Glibc

// The steps of the optimisers that lenses are trained with, element by element as torch.optim
// computes them.
extension Kernels {
  /// Σ x², summed in f64 over parts of 4096 elements.
  package static func squaredNorm(_ x: Tensor) -> Double {
    let dot = table.dot
    return x.withRows { first, _ in
      stride(from: 0, to: x.count, by: 4096).reduce(0) { sum, start in
        let count = min(4096, x.count - start)
        return sum + Double(dot?(first + start, first + start, count) ?? 0)
      }
    }
  }

  /// A step of gradient descent with Nesterov momentum.
  ///
  /// g = share · gradient + weightDecay · value; momentum = decay · momentum + g, in the first step
  /// g; value -= rate · (g + decay · momentum).
  package static func nesterovStep(
    _ value: inout Tensor, gradient: Tensor, share: Float, momentum: inout Tensor, decay: Float,
    rate: Float, weightDecay: Float, isFirst: Bool, pool: WorkerPool = .shared
  ) {
    precondition(value.shape == gradient.shape && value.shape == momentum.shape)
    let count = value.count
    value.withMutableRows { value in
      momentum.withMutableRows { momentum in
        gradient.withRows { gradient, _ in
          nonisolated(unsafe) let (value, momentum, gradient) = (value, momentum, gradient)
          pool.split(count, by: elementGrain) { range in
            for index in range {
              let g = share * gradient[index] + weightDecay * value[index]
              let memory = isFirst ? g : decay * momentum[index] + g
              momentum[index] = memory
              value[index] -= rate * (g + decay * memory)
            }
          }
        }
      }
    }
  }

  /// A step of Adam with the largest of past squares (Reddi, Kale and Kumar, 2018).
  ///
  /// - Parameters:
  ///   - decays: of the mean of gradients and of the mean of their squares.
  ///   - step: counted from 1.
  package static func adamStep(
    _ value: inout Tensor, gradient: Tensor, share: Float, mean: inout Tensor,
    square: inout Tensor, largest: inout Tensor, decays: (Double, Double), rate: Double,
    weightDecay: Float, step: Int, pool: WorkerPool = .shared
  ) {
    precondition(value.shape == gradient.shape && value.shape == mean.shape)
    let count = value.count
    let (first, second) = (Float(decays.0), Float(decays.1))
    let scale = Float(rate / (1 - pow(decays.0, Double(step))))
    let correction = Float((1 - pow(decays.1, Double(step))).squareRoot())
    value.withMutableRows { value in
      mean.withMutableRows { mean in
        square.withMutableRows { square in
          largest.withMutableRows { largest in
            gradient.withRows { gradient, _ in
              nonisolated(unsafe) let (value, gradient) = (value, gradient)
              nonisolated(unsafe) let (mean, square, largest) = (mean, square, largest)
              pool.split(count, by: elementGrain) { range in
                for index in range {
                  let g = share * gradient[index] + weightDecay * value[index]
                  mean[index] += (1 - first) * (g - mean[index])
                  square[index] = second * square[index] + (1 - second) * g * g
                  largest[index] = max(largest[index], square[index])
                  let size = largest[index].squareRoot() / correction + 1e-8
                  value[index] -= scale * mean[index] / size
                }
              }
            }
          }
        }
      }
    }
  }
}
