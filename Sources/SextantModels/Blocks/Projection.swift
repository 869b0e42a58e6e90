import SextantTensor

/// A matrix of a model and its bias, if it has one.
struct Projection: Sendable {
  /// [out, in], in the type in which it is stored.
  let weight: Tensor
  /// [out].
  var bias: Tensor?

  /// [M, in] to [M, out].
  func callAsFunction(_ x: some MatrixRows) -> Tensor {
    Linear.apply(x, weight: weight, bias: bias)
  }
}
