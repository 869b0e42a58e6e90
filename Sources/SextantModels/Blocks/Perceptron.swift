import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, F inner width.

/// A perceptron of two layers: down(f(up x)), or down(f(gate x) · up x) with a gate, which may have a
/// factor.
struct Perceptron: Mixer {
  private let up: Projection  // [F, D]
  private let gate: Projection?  // [F, D]
  private let down: Projection  // [D, F]
  private let activation: Activation
  private let gateScale: Float

  /// - Parameters:
  ///   - names: of the matrices; without a gate, the activation acts on the product with `up`.
  ///   - width: D.
  ///   - innerWidth: F.
  ///   - gateScale: the factor of the product with `gate`, before the activation.
  init(
    _ weights: WeightSource, names: (up: String, gate: String?, down: String), width: Int,
    innerWidth: Int, _ activation: Activation, hasBias: Bool, gateScale: Float = 1
  ) {
    func inner(_ name: String) -> Projection {
      weights.projection(name, out: innerWidth, in: width, hasBias: hasBias)
    }
    gate = names.gate.map(inner)
    up = inner(names.up)
    down = weights.projection(names.down, out: width, in: innerWidth, hasBias: hasBias)
    self.activation = activation
    self.gateScale = gateScale
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    self(x)
  }

  /// [M, D] to [M, D].
  func callAsFunction(_ x: Tensor) -> Tensor {
    var inner = up(x)  // [M, F]
    activation.apply(to: &inner, gate: scaledGate(x))
    return down(inner)  // [M, D]
  }

  /// The product with the gate's matrix, [M, D] to [M, F]; nil without one.
  private func scaledGate(_ x: Tensor) -> Tensor? {
    guard var product = gate?(x) else { return nil }
    if gateScale != 1 { Kernels.scale(&product, by: gateScale) }
    return product
  }
}
