import SextantArtifacts
import SextantTensor

/// Translators in training: parameters, gradients, and the optimiser's state.
struct LensParameters {
  private var weights: [Parameter]  // [D, D] each
  private var biases: [Parameter]  // [D] each
  private let options: TunedLensOptions.Optimizer
  private let isBiasOnly: Bool

  init(_ translators: [Translator], _ options: TunedLensOptions.Optimizer, isBiasOnly: Bool) {
    weights = translators.map { Parameter($0.weight, options.kind) }
    biases = translators.map { Parameter($0.bias, options.kind) }
    self.options = options
    self.isBiasOnly = isBiasOnly
  }

  /// The translators as they are.
  var translators: [Translator] {
    zip(weights, biases).map { Translator(weight: $0.value, bias: $1.value) }
  }

  /// Their gradients, before clipping.
  var gradients: [Translator] {
    zip(weights, biases).map { Translator(weight: $0.gradient, bias: $1.gradient) }
  }

  /// The values that checkpoints keep: the translators, then each state of the optimiser, by site.
  var snapshot: [[Translator]] {
    [translators]
      + options.kind.memories.indices.map { memory in
        zip(weights, biases).map {
          Translator(weight: $0.memories[memory], bias: $1.memories[memory])
        }
      }
  }

  /// Goes back to a snapshot.
  mutating func restore(_ snapshot: [[Translator]]) {
    for index in weights.indices {
      weights[index].value = snapshot[0][index].weight
      biases[index].value = snapshot[0][index].bias
      for memory in 1..<snapshot.count {
        weights[index].memories[memory - 1] = snapshot[memory][index].weight
        biases[index].memories[memory - 1] = snapshot[memory][index].bias
      }
    }
  }

  /// The translator of a site.
  func translator(_ index: Int) -> Translator {
    Translator(weight: weights[index].value, bias: biases[index].value)
  }

  /// Forgets the gradients of the step before.
  mutating func clearGradients() {
    for index in weights.indices {
      weights[index].clear()
      biases[index].clear()
    }
  }

  /// Adds the contribution of one site's rows: `gradient` [M, D] by the translated rows, `x` [M,
  /// D].
  mutating func add(_ gradient: Tensor, _ x: some MatrixRows, at index: Int) {
    if !isBiasOnly { Linear.addWeightGradient(gradient, x, to: &weights[index].gradient) }
    var sums = [Double](repeating: 0, count: gradient.columnCount)
    CrossProducts.addRows(gradient, to: &sums)
    biases[index].gradient.withMutableFloats { bias in
      for column in sums.indices { bias[column] += Float(sums[column]) }
    }
  }

  /// The squared norm of each gradient before clipping, by site.
  var squaredGradientNorms: (weights: [Double], biases: [Double]) {
    (
      weights.map { Kernels.squaredNorm($0.gradient) },
      biases.map { Kernels.squaredNorm($0.gradient) }
    )
  }

  /// Clips the gradients and takes a step, counted from 0.
  ///
  /// - Parameter gradientNorm: the norm of all gradients together, those of other ranks included.
  mutating func step(_ step: Int, of steps: Int, gradientNorm: Double) {
    let share = Float(min(1, options.clipNorm / (gradientNorm + 1e-6)))
    for index in weights.indices {
      if !isBiasOnly { weights[index].step(step, of: steps, options, share: share) }
      biases[index].step(step, of: steps, options, share: share)
    }
  }
}

/// One tensor in training.
private struct Parameter {
  var value: Tensor
  var gradient: Tensor
  var memories: [Tensor]

  init(_ value: Tensor, _ kind: TunedLensOptions.Optimizer.Kind) {
    self.value = value
    gradient = Tensor(zeros: value.shape)
    memories = kind.memories.map { _ in Tensor(zeros: value.shape) }
  }

  mutating func clear() {
    gradient.withMutableFloats { $0.update(repeating: 0) }
  }

  mutating func step(
    _ step: Int, of steps: Int, _ options: TunedLensOptions.Optimizer, share: Float
  ) {
    let rate = options.rate(step: step, of: steps)
    let weightDecay = Float(options.weightDecay)
    switch options.kind {
    case .sgd:
      Kernels.nesterovStep(
        &value, gradient: gradient, share: share, momentum: &memories[0],
        decay: Float(options.momentum), rate: Float(rate), weightDecay: weightDecay,
        isFirst: step == 0)
    case .adam:
      var (mean, square, largest) = (memories[0], memories[1], memories[2])
      memories = []  // so that the three are written in place
      Kernels.adamStep(
        &value, gradient: gradient, share: share, mean: &mean, square: &square, largest: &largest,
        decays: (options.momentum, 0.999), rate: rate, weightDecay: weightDecay, step: step + 1)
      memories = [mean, square, largest]
    }
  }
}
