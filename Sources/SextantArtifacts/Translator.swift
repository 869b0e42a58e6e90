import SextantTensor

/// The translation of a site's residual stream before the model's own readout: x + W x + b.
public struct Translator: Sendable, Equatable {
  /// [D, D].
  public var weight: Tensor
  /// [D].
  public var bias: Tensor

  /// A translator.
  public init(weight: Tensor, bias: Tensor) {
    precondition(weight.shape == [bias.count, bias.count], "\(weight.shape) and \(bias.shape)")
    self.weight = weight
    self.bias = bias
  }

  /// The translator that changes nothing: the logit lens.
  public init(identity width: Int) {
    weight = Tensor(zeros: [width, width])
    bias = Tensor(zeros: [width])
  }

  /// [M, D] to [M, D].
  public func callAsFunction(_ x: some MatrixRows) -> Tensor {
    var y = Linear.apply(x, weight: weight, bias: bias)  // [M, D]
    Kernels.add(x, to: &y)
    return y
  }
}
