import SextantArtifacts
import SextantModels
import SextantTensor

/// Fits a translator to the divergence on a sample of tokens that is kept in memory.
struct LensFit {
  private let training: TrainingReadout
  /// The size of the stream that is read out: parameters are counted in it.
  private let unit: Double
  private let rows: [Tensor]  // tiles of the site's stream, [M, D]
  private let targets: [Tensor]  // the same tokens' stream that is read out
  private let count: Int

  init(_ readout: Readout, unit: Double, rows: [Tensor], targets: [Tensor]) {
    // Fits compare small differences: exact products.
    training = TrainingReadout(readout, precision: .exact)
    self.unit = unit
    self.rows = rows.flatMap { $0.tiles(of: Readout.tileRows) }
    self.targets = targets.flatMap { $0.tiles(of: Readout.tileRows) }
    count = rows.reduce(0) { $0 + $1.rowCount }
  }

  /// The mean divergence of a translator, nats per token; infinite if it is not finite.
  func loss(_ translator: Translator) -> Double {
    let loss = evaluate(rows.map { translator($0) }) { _, _ in }
    return loss.isFinite ? loss : .infinity
  }

  /// The mean divergence of translated tiles; `gradient` gets each tile's number and gradient.
  private func evaluate(
    _ translated: [Tensor], _ gradient: (Int, Tensor) -> Void
  ) -> Double {
    var sum = 0.0
    for (index, tile) in translated.enumerated() {
      let (losses, slope) = training.lossGradient(
        .kl, of: tile, target: ReadoutTarget(training.readout, residual: targets[index]),
        next: Array(repeating: nil, count: tile.rowCount), weight: 1 / Float(max(count, 1)))
      sum += losses.reduce(0) { $0 + Double($1) } / Double(max(count, 1))
      gradient(index, slope)
    }
    return sum
  }

  /// The translator with the bias that makes the divergence small.
  func fittingBias(of translator: Translator, steps: Int) -> Translator {
    guard steps > 0, count > 0 else { return translator }
    let moved = rows.map { translator($0) }
    let width = translator.bias.count
    let search = LBFGS(memory: 10, iterationLimit: steps, tolerance: 1e-5)
    let minimum = search.minimise(from: [Double](repeating: 0, count: width)) { shift in
      let bias = Tensor(shift.map { Float($0 * unit) }, shape: [width])
      var gradient = [Double](repeating: 0, count: width)
      let shifted = moved.map { tile in
        var tile = tile
        Kernels.add(bias, to: &tile)
        return tile
      }
      let value = evaluate(shifted) { CrossProducts.addRows($1, to: &gradient) }
      return (value, gradient.map { $0 * unit })
    }
    var fitted = translator
    let start = translator.bias.values
    fitted.bias = Tensor(
      zip(start, minimum.point).map { $0 + Float($1 * unit) }, shape: [width])
    return fitted
  }

  /// The translator with matrix and bias fitted together; nil if the stream cannot be whitened.
  ///
  /// - Parameter moments: of the site's stream. In coordinates in which it is white, all directions
  ///   of the matrix are about equally steep, so that few steps go far.
  func fittingAll(of translator: Translator, steps: Int, moments: JointMoments) -> Translator? {
    let width = translator.bias.count
    var covariance = moments.covariance
    // Directions with almost no variance would only add noise.
    let floor = (0..<width).reduce(0.0) { $0 + covariance[$1 * width + $1] } / Double(width) * 1e-3
    for index in 0..<width { covariance[index * width + index] += floor }
    guard steps > 0, count > 0, floor > 0,
      let (whitening, _) = LinearAlgebra.inverseSquareRoot(symmetric: covariance, size: width)
    else { return nil }
    let center = LinearAlgebra.product(
      whitening, moments.mean, rows: width, inner: width, columns: 1)
    let matrix = Tensor(whitening.map { Float($0) }, shape: [width, width])
    let offset = Tensor(center.map { Float(-$0) }, shape: [width])
    let white = rows.map { Linear.apply($0, weight: matrix, bias: offset) }  // [M, D] each
    let moved = rows.map { translator($0) }
    let search = LBFGS(memory: 10, iterationLimit: steps, tolerance: 1e-5)
    let start = [Double](repeating: 0, count: width * width + width)
    let minimum = search.minimise(from: start) { point in
      let change = Translator.parts(point, width, scale: unit)
      let translated = zip(white, moved).map { white, moved in
        var tile = Linear.apply(white, weight: change.weight, bias: change.bias)
        Kernels.add(moved, to: &tile)
        return tile
      }
      var slope = (
        weight: Tensor(zeros: [width, width]), bias: [Double](repeating: 0, count: width)
      )
      let value = evaluate(translated) { index, gradient in
        Linear.addWeightGradient(gradient, white[index], to: &slope.weight)
        CrossProducts.addRows(gradient, to: &slope.bias)
      }
      let gradient = slope.weight.values.map { Double($0) * unit } + slope.bias.map { $0 * unit }
      return (value, gradient)
    }
    // x + W x + b + Z (whitening x - center) + c.
    let z = minimum.point[..<(width * width)].map { $0 * unit }
    let added = LinearAlgebra.product(z, whitening, rows: width, inner: width, columns: width)
    let shift = LinearAlgebra.product(z, center, rows: width, inner: width, columns: 1)
    var fitted = translator
    fitted.weight = Tensor(
      zip(translator.weight.values, added).map { $0 + Float($1) }, shape: [width, width])
    fitted.bias = Tensor(
      (0..<width).map { index in
        let bias = Double(translator.bias.values[index]) - shift[index]
        return Float(bias + minimum.point[width * width + index] * unit)
      }, shape: [width])
    return fitted
  }
}

extension Translator {
  /// The matrix and bias from adjacent memory, times a scale.
  fileprivate static func parts(_ point: [Double], _ width: Int, scale: Double) -> Translator {
    Translator(
      weight: Tensor(
        point[..<(width * width)].map { Float($0 * scale) }, shape: [width, width]),
      bias: Tensor(point[(width * width)...].map { Float($0 * scale) }, shape: [width]))
  }
}

extension Tensor {
  /// Parts of at most `count` rows.
  fileprivate func tiles(of count: Int) -> [Tensor] {
    stride(from: 0, to: rowCount, by: count).map { rows($0..<min($0 + count, rowCount)) }
  }
}
