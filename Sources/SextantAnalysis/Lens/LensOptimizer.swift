import Glibc
import SextantArtifacts
import SextantBytes
import SextantTensor

/// The published recipes for training a lens, as torch.optim computes them.
public enum LensOptimizerKind: String, Sendable, CaseIterable {
  /// Stochastic gradient descent with Nesterov momentum.
  case sgd
  /// Adam with the maximum of past squares (AMSGrad).
  case adam

  /// What the optimiser remembers between steps.
  var memories: [String] {
    switch self {
    case .sgd: ["momentum"]
    case .adam: ["mean", "square", "largest_square"]
    }
  }
}

/// The numbers of an optimiser; the defaults are those that published lenses were trained with.
public struct LensOptimizerOptions: Sendable, Equatable {
  /// The recipe.
  public var kind: LensOptimizerKind
  /// Scales the learning rate: 1 − momentum for SGD, 0.001 for Adam.
  public var rateScale: Double
  /// The momentum of SGD, the first decay of Adam.
  public var momentum: Double
  /// What pulls every parameter to zero, and so every translator to the identity.
  public var weightDecay: Double
  /// The largest norm that the gradients of all layers may have together.
  public var clipNorm: Double
  /// Steps over which the learning rate grows from 0.
  public var warmUp: Int

  /// The published recipe.
  public init(
    kind: LensOptimizerKind = .sgd, rateScale: Double = 1, momentum: Double = 0.9,
    weightDecay: Double = 1e-3, clipNorm: Double = 1, warmUp: Int = 0
  ) {
    self.kind = kind
    self.rateScale = rateScale
    self.momentum = momentum
    self.weightDecay = weightDecay
    self.clipNorm = clipNorm
    self.warmUp = warmUp
  }

  /// The learning rate of a step, counted from 0, which falls to 0 in a straight line.
  func rate(step: Int, of steps: Int) -> Double {
    let base = rateScale * (kind == .sgd ? 1 - momentum : 1e-3)
    let end = steps - warmUp
    if step < warmUp { return base * Double(step) / Double(max(warmUp, 1)) }
    return base * max(0, Double(end - step) / Double(max(end - warmUp, 1)))
  }

  /// As manifests record them.
  var json: JSONObject {
    JSONObject([
      ("optimizer", .string(kind.rawValue)), ("rate_scale", .number(rateScale)),
      ("momentum", .number(momentum)), ("weight_decay", .number(weightDecay)),
      ("clip_norm", .number(clipNorm)), ("warm_up", .integer(Int64(warmUp))),
    ])
  }
}
