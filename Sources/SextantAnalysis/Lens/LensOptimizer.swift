import Glibc
import SextantArtifacts
import SextantBytes
import SextantTensor

extension TunedLensOptions.Optimizer {
  /// The published recipes for training a lens, as torch.optim computes them.
  public enum Kind: String, Sendable, CaseIterable {
    /// Stochastic gradient descent with Nesterov momentum.
    case sgd
    /// Adam with the maximum of past squares (AMSGrad).
    case adam

    /// The optimiser's state.
    var memories: [String] {
      switch self {
      case .sgd: ["momentum"]
      case .adam: ["mean", "square", "largest_square"]
      }
    }
  }
}

extension TunedLensOptions {
  /// The numbers of an optimiser; the defaults are those that published lenses were trained with.
  public struct Optimizer: Sendable, Equatable {
    /// The recipe.
    public var kind: Kind
    /// Scales the learning rate: 1 − momentum for SGD, 0.001 for Adam.
    public var rateScale: Double
    /// The momentum of SGD, the first decay of Adam.
    public var momentum: Double
    /// The weight decay, which pulls every parameter to zero, and so every translator to the
    /// identity.
    public var weightDecay: Double
    /// The largest norm that the gradients of all layers may have together.
    public var clipNorm: Double
    /// Steps over which the learning rate grows from 0.
    public var warmUp: Int

    /// The published recipe.
    public init(
      kind: Kind = .sgd, rateScale: Double = 1, momentum: Double = 0.9,
      weightDecay: Double = 1e-3, clipNorm: Double = 1, warmUp: Int = 0
    ) {
      self.kind = kind
      self.rateScale = rateScale
      self.momentum = momentum
      self.weightDecay = weightDecay
      self.clipNorm = clipNorm
      self.warmUp = warmUp
    }

    /// Refuses numbers with which training does not move, or diverges.
    ///
    /// - Throws: `usage.option`.
    func check() throws(Refusal) {
      for (option, value, isAllowed, expected) in [
        ("rateScale", rateScale, rateScale > 0, "more than 0"),
        ("weightDecay", weightDecay, weightDecay >= 0, "0 or more"),
        ("momentum", momentum, 0 <= momentum && momentum < 1, "from 0 to below 1"),
        ("clipNorm", clipNorm, clipNorm > 0, "more than 0"),
      ] where !isAllowed || !value.isFinite {
        throw Refusal(
          .usageOption, at: .parameter(option), found: "\(value)", expected: "a number, \(expected)"
        )
      }
    }

    /// The learning rate of a step, counted from 0, which falls to 0 in a straight line.
    func rate(step: Int, of steps: Int) -> Double {
      let base = rateScale * (kind == .sgd ? 1 - momentum : 1e-3)
      let end = steps - warmUp
      if step < warmUp { return base * Double(step) / Double(max(warmUp, 1)) }
      return base * max(0, Double(end - step) / Double(max(end - warmUp, 1)))
    }

    /// Options that a manifest records.
    init(_ node: JSONNode) throws(Refusal) {
      let name = try node.member("optimizer")
      guard let kind = Kind(rawValue: try name.string()) else {
        throw name.refusal(
          expected: "one of \(Kind.allCases.map(\.rawValue))")
      }
      self.init(
        kind: kind, rateScale: try node.member("rate_scale").number(),
        momentum: try node.member("momentum").number(),
        weightDecay: try node.member("weight_decay").number(),
        clipNorm: try node.member("clip_norm").number(),
        warmUp: try node.member("warm_up").integer())
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
}
