import SextantTensor

extension Norm {
  /// The rows as the norm leaves them before its weight and bias: of one length.
  package func unit(_ x: some MatrixRows) -> Tensor {
    isCentered
      ? Kernels.layerNorm(x, weight: nil, bias: nil, epsilon: epsilon)
      : Kernels.rmsNorm(x, weight: nil, epsilon: epsilon)
  }
}
