import SextantTensor

/// A layer norm of a model.
struct LayerNorm: Sendable {
  /// [D].
  let weight: Tensor
  /// [D].
  let bias: Tensor
  /// What is added to the variance.
  let epsilon: Float

  /// The tensors `<name>.weight` and `<name>.bias`.
  init(_ weights: StoredWeights, _ name: String, epsilon: Float) {
    weight = weights.vector(name + ".weight")
    bias = weights.vector(name + ".bias")
    self.epsilon = epsilon
  }

  /// [M, D] to [M, D].
  func callAsFunction(_ x: some MatrixRows) -> Tensor {
    Kernels.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
  }
}
