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

  /// [M, D] to [M, D].
  package func callAsFunction(_ x: some MatrixRows) -> Tensor {
    isCentered
      ? Kernels.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
      : Kernels.rmsNorm(x, weight: weight, epsilon: epsilon)
  }
}
