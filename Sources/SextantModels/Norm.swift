import SextantTensor

/// A norm of a model: of the root of the mean square, or of mean and variance.
package struct Norm: Sendable {
  /// [D], the factors of the normed channels.
  package let weight: Tensor
  /// [D], the offset that is added then; nil if the norm has none.
  package let bias: Tensor?
  /// The number that is added to the mean square or the variance.
  package let epsilon: Float
  /// Whether the mean is taken away first, as layer norm does; else it is an RMS norm.
  package let isCentered: Bool

  /// x / sqrt(mean(x²) + epsilon) · weight.
  package static func rms(weight: Tensor, epsilon: Float) -> Norm {
    Norm(weight: weight, bias: nil, epsilon: epsilon, isCentered: false)
  }

  /// (x - mean) / sqrt(variance + epsilon) · weight + bias.
  package static func layer(weight: Tensor, bias: Tensor?, epsilon: Float) -> Norm {
    Norm(weight: weight, bias: bias, epsilon: epsilon, isCentered: true)
  }

  /// The RMS norm of the tensor `<name>.weight`.
  static func rms(_ weights: StoredWeights, _ name: String, epsilon: Double) -> Norm {
    .rms(weight: weights.vector(name + ".weight"), epsilon: Float(epsilon))
  }

  /// The layer norm of the tensors `<name>.weight` and `<name>.bias`.
  static func layer(_ weights: StoredWeights, _ name: String, epsilon: Double) -> Norm {
    .layer(
      weight: weights.vector(name + ".weight"), bias: weights.vector(name + ".bias"),
      epsilon: Float(epsilon))
  }

  /// [M, D] to [M, D].
  package func callAsFunction(_ x: some MatrixRows) -> Tensor {
    isCentered
      ? Kernels.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
      : Kernels.rmsNorm(x, weight: weight, epsilon: epsilon)
  }
}
