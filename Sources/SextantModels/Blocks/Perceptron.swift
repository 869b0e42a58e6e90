import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, F inner width.

/// A perceptron of two layers: down(f(up x)), or down(f(gate x) · up x) with a gate.
struct Perceptron: Mixer {
  private let up: Projection  // [F, D]
  private let gate: Projection?  // [F, D]
  private let down: Projection  // [D, F]
  private let activation: Activation

  /// - Parameters:
  ///   - names: of the matrices; without a gate, the activation acts on the product with `up`.
  ///   - width: D.
  ///   - innerWidth: F.
  init(
    _ weights: WeightSource, names: (up: String, gate: String?, down: String), width: Int,
    innerWidth: Int, _ activation: Activation, hasBias: Bool
  ) {
    func inner(_ name: String) -> Projection {
      weights.projection(name, out: innerWidth, in: width, hasBias: hasBias)
    }
    gate = names.gate.map(inner)
    up = inner(names.up)
    down = weights.projection(names.down, out: width, in: innerWidth, hasBias: hasBias)
    self.activation = activation
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    var inner = up(x)  // [B·T, F]
    if var gate = gate?(x) {  // [B·T, F]
      if activation == .silu {
        Kernels.multiply(&inner, bySiLUOf: gate)
      } else {
        activation(&gate)
        Kernels.multiply(&inner, by: gate)
      }
    } else {
      activation(&inner)
    }
    return down(inner)  // [B·T, D]
  }
}
