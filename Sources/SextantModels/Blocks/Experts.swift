import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, X experts, k of them chosen for a token,
// F inner width of an expert, S inner width of the shared expert, E width that experts read and
// write: D, or that of the latent space.

/// A mixture of experts: perceptrons of which a router chooses a few for each token, beside one that
/// all tokens share.
///
/// y = Σ weight · expert(x) over the chosen ones + shared(x). The matrices of one kind of all experts
/// are one tensor, of which only the rows of chosen experts are read.
struct Experts: Mixer {
  /// The scores by which the router weighs.
  enum Scores: Sendable {
    /// Those of all experts add up to 1.
    case softmax
    /// Each expert's is its own.
    case sigmoid
  }

  /// Its sizes and switches.
  struct Form: Sendable, Equatable {
    var width = 0  // D
    var count = 0  // X
    var chosen = 0  // k
    var innerWidth = 0  // F
    /// S; nil if tokens share no expert.
    var sharedWidth: Int?
    /// E, if experts have a space of their own between two projections; nil if they read the stream.
    var latentWidth: Int?
    /// Whether an expert is down(f(gate x) · up x), else down(f(up x)).
    var hasGate = true
    /// f.
    var activation = Activation.silu
    /// Whether the shared expert's output is multiplied by sigmoid(w · x).
    var hasSharedGate = false
    var scores = Scores.softmax
    /// Whether a bias is added to scores of sigmoid for the choice, and not for the weights.
    var hasChoiceBias = false
    /// Groups of neighbouring experts; only those in the best of them are chosen.
    var groups = 1
    /// The number of these best groups.
    var chosenGroups = 1
    /// Whether weights are divided by their sum.
    var normalises = true
    /// What is added to this sum.
    var epsilon: Float = 0
    /// The factor of weights, after that.
    var scale = 1.0
  }

  private let form: Form
  private let router: Tensor  // [X, D]
  private let choiceBias: Tensor?  // [X]
  private let gate: Tensor?  // [X, F, E]
  private let up: Tensor  // [X, F, E]
  private let down: Tensor  // [X, E, F]
  private let shared: Perceptron?
  private let sharedGate: Tensor?  // [1, D]
  private let latent: (inward: Projection, outward: Projection)?  // [E, D], [D, E]

  /// The mixer whose tensors have these names behind the prefix of `weights`: one spelling for all
  /// architectures.
  init(_ form: Form, _ weights: WeightSource) {
    self.form = form
    let (x, d, f) = (form.count, form.width, form.innerWidth)
    let e = form.latentWidth ?? d
    router = weights.preciseMatrix("router.weight", [x, d])
    choiceBias = form.hasChoiceBias ? weights.vector("router.bias", [x]) : nil
    let stacks = weights.under("experts")
    gate = form.hasGate ? stacks.experts("gate_proj.weight", count: x, [f, e]) : nil
    up = stacks.experts("up_proj.weight", count: x, [f, e])
    down = stacks.experts("down_proj.weight", count: x, [e, f])
    shared = form.sharedWidth.map {
      Perceptron(
        weights.under("shared"),
        names: (up: "up_proj", gate: form.hasGate ? "gate_proj" : nil, down: "down_proj"), width: d,
        innerWidth: $0, form.activation, hasBias: false)
    }
    sharedGate =
      form.hasSharedGate
      ? weights.vector("shared_gate.weight", [d]) { $0.reshaped([1, d]) } : nil
    latent = form.latentWidth.map {
      (
        weights.projection("latent_in", out: $0, in: d),
        weights.projection("latent_out", out: d, in: $0)
      )
    }
  }

  var expertCount: Int? { form.count }

  /// The product with the router, [B·T, X], before softmax or sigmoid and without the bias. It is as
  /// precise as the router's matrix: roundings would choose other experts.
  func routing(of x: Tensor) -> Tensor? { Linear.apply(x, weight: router, precision: .exact) }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    var y = sharedOutput(x)  // [B·T, D]
    guard let latent else {
      add(chosenFor: x, reading: x, to: &y)
      return y
    }
    let inner = latent.inward(x)  // [B·T, E]
    var sum = Tensor(zeros: inner.shape)  // [B·T, E]
    add(chosenFor: x, reading: inner, to: &sum)
    Kernels.add(latent.outward(sum), to: &y)
    return y
  }

  /// The output of the expert that all tokens share, [M, D]; zeros if there is none.
  private func sharedOutput(_ x: Tensor) -> Tensor {
    guard let shared else { return Tensor(zeros: x.shape) }
    let output = shared(x)  // [M, D]
    guard let sharedGate else { return output }
    var gates = Linear.apply(x, weight: sharedGate)  // [M, 1]
    Kernels.sigmoid(&gates)
    var y = Tensor(zeros: x.shape)  // [M, D]
    Kernels.add(output, scaledBy: gates.values, toRows: Array(0..<x.rowCount), of: &y)
    return y
  }

  /// Adds the weighted outputs of the chosen experts.
  ///
  /// The tokens of one expert are multiplied together. A token gets its experts in the order of their
  /// places, so that the sum does not depend on other tokens.
  ///
  /// - Parameters:
  ///   - x: [M, D], what the router reads.
  ///   - inputs: [M, E], what the experts read.
  private func add(chosenFor x: Tensor, reading inputs: Tensor, to y: inout Tensor) {
    for (expert, uses) in choices(for: x).enumerated() where !uses.tokens.isEmpty {
      let isAll = uses.tokens.count == inputs.rowCount
      let own = isAll ? inputs : Kernels.gather(inputs, rows: uses.tokens)  // [m, E]
      var inner = Linear.apply(own, weight: up.element(expert))  // [m, F]
      form.activation.apply(
        to: &inner, gate: gate.map { Linear.apply(own, weight: $0.element(expert)) })
      let output = Linear.apply(inner, weight: down.element(expert))  // [m, E]
      Kernels.add(output, scaledBy: uses.weights, toRows: uses.tokens, of: &y)
    }
  }

  /// The tokens that use an expert, in their order, and how much it counts for each.
  private typealias Uses = (tokens: [Int], weights: [Float])

  /// The uses of each expert by the tokens of `x`, [M, D].
  private func choices(for x: Tensor) -> [Uses] {
    let logits = Linear.apply(x, weight: router, precision: .exact)  // [M, X]
    var scores = logits  // [M, X]
    var merits = logits  // [M, X]: softmax keeps their order
    switch form.scores {
    case .softmax: scores = Kernels.softmax(logits)
    case .sigmoid:
      Kernels.sigmoid(&scores)
      merits = scores
      if let choiceBias { Kernels.add(choiceBias, to: &merits) }
    }
    let groups =
      form.groups > 1 ? Kernels.ChoiceGroups(count: form.groups, chosen: form.chosenGroups) : nil
    let chosen = Kernels.largest(merits, count: form.chosen, groups: groups)
    var uses = [Uses](repeating: ([], []), count: form.count)
    scores.withFloats { scores in
      for token in 0..<x.rowCount {
        let experts = chosen[token * form.chosen..<(token + 1) * form.chosen]
        var factor = Float(form.scale)
        if form.normalises {
          factor /= experts.reduce(form.epsilon) { $0 + scores[token * form.count + $1] }
        }
        for expert in experts {
          uses[expert].tokens.append(token)
          uses[expert].weights.append(factor * scores[token * form.count + expert])
        }
      }
    }
    return uses
  }
}
