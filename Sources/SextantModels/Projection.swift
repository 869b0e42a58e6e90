import SextantTensor

/// A matrix of a model and its bias, if it has one.
struct Projection: Sendable {
  /// [out, in], in the type in which it is stored.
  let weight: Tensor
  /// [out].
  let bias: Tensor?

  /// The tensors `<name>.weight` and, if the model has it, `<name>.bias`.
  init(_ weights: StoredWeights, _ name: String) {
    weight = weights.matrix(name + ".weight")
    bias = weights.optionalVector(name + ".bias")
  }

  /// [M, in] to [M, out].
  func callAsFunction(_ x: some MatrixRows) -> Tensor {
    Linear.apply(x, weight: weight, bias: bias)
  }
}
