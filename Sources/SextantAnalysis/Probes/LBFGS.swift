/// Minimises a smooth function by L-BFGS with a strong Wolfe line search (Nocedal and Wright,
/// Numerical Optimization, 2006, algorithms 7.4, 7.5, 3.5 and 3.6).
struct LBFGS {
  /// Steps that the curvature is estimated from.
  var memory = 20
  /// Steps at most.
  var iterationLimit = 1000
  /// The minimum counts as reached when √(gᵀ H g) is at most this, for the gradient g and the initial
  /// inverse Hessian H.
  var tolerance = 1e-8
  /// The initial inverse Hessian times a vector; nil for the identity, scaled by the last step.
  var preconditioner: (([Double]) -> [Double])?
  /// The inner product of two vectors. Vectors may be stored as coefficients of others.
  var dot: ([Double], [Double]) -> Double = Self.dot

  /// The result.
  struct Minimum {
    var point: [Double]
    var value: Double
    var iterations: Int
    /// Whether the tolerance was reached.
    var converged: Bool
  }

  /// A point with the function's value and gradient there.
  private struct Sample {
    var point: [Double]
    var value: Double
    var gradient: [Double]
  }

  /// A step and how it changed the gradient.
  private struct Pair {
    var step: [Double]
    var change: [Double]
    var curvature: Double
  }

  /// Minimises from `start`.
  func minimise(
    from start: [Double], _ function: @escaping ([Double]) -> (value: Double, gradient: [Double])
  ) -> Minimum {
    let evaluate = { (point: [Double]) -> Sample in
      let (value, gradient) = function(point)
      return Sample(point: point, value: value, gradient: gradient)
    }
    var current = evaluate(start)
    var pairs: [Pair] = []
    for iteration in 0..<iterationLimit {
      let direction = direction(current.gradient, pairs)
      let slope = dot(direction, current.gradient)
      // -slope is gᵀ H g, as far as the pairs have approximated H.
      guard slope < 0, (-slope).squareRoot() > tolerance else {
        return Minimum(
          point: current.point, value: current.value, iterations: iteration,
          converged: slope <= 0)
      }
      let length = pairs.isEmpty && preconditioner == nil ? min(1, 1 / (-slope).squareRoot()) : 1
      guard let next = search(current, direction, slope, length, evaluate) else {
        // Rounding hides any decrease: f64 cannot represent a lower minimum.
        return Minimum(
          point: current.point, value: current.value, iterations: iteration,
          converged: (-slope).squareRoot() < 1e-6)
      }
      let step = zip(next.point, current.point).map { $0 - $1 }
      let change = zip(next.gradient, current.gradient).map { $0 - $1 }
      let curvature = dot(step, change)
      if curvature > 1e-300 {
        pairs.append(Pair(step: step, change: change, curvature: curvature))
        if pairs.count > memory { pairs.removeFirst() }
      }
      current = next
    }
    return Minimum(
      point: current.point, value: current.value, iterations: iterationLimit, converged: false)
  }

  /// -H g by the two-loop recursion.
  private func direction(_ gradient: [Double], _ pairs: [Pair]) -> [Double] {
    var q = gradient
    var factors: [Double] = []
    for pair in pairs.reversed() {
      let factor = dot(pair.step, q) / pair.curvature
      factors.append(factor)
      Self.add(-factor, pair.change, to: &q)
    }
    if let preconditioner {
      q = preconditioner(q)
    } else if let last = pairs.last {
      let scale = last.curvature / dot(last.change, last.change)
      for index in q.indices { q[index] *= scale }
    }
    for (pair, factor) in zip(pairs, factors.reversed()) {
      let own = dot(pair.change, q) / pair.curvature
      Self.add(factor - own, pair.step, to: &q)
    }
    return q.map { -$0 }
  }

  // MARK: Line search

  private static let (decrease, flatness) = (1e-4, 0.9)

  /// A point along `direction` that meets the strong Wolfe conditions; nil if none is found.
  private func search(
    _ start: Sample, _ direction: [Double], _ slope: Double, _ length: Double,
    _ evaluate: @escaping ([Double]) -> Sample
  ) -> Sample? {
    let at = { (length: Double) -> (Sample, Double) in
      let point = zip(start.point, direction).map { $0 + length * $1 }
      let sample = evaluate(point)
      return (sample, dot(sample.gradient, direction))
    }
    var (low, lowSlope, lowLength) = (start, slope, 0.0)
    var length = length
    for attempt in 0..<30 {
      let (sample, own) = at(length)
      let isHigh = sample.value > start.value + Self.decrease * length * slope
      if !sample.value.isFinite || isHigh || (attempt > 0 && sample.value >= low.value) {
        return zoom(
          start, slope, (low, lowSlope, lowLength), (sample, own, length), at)
      }
      if abs(own) <= -Self.flatness * slope { return sample }
      if own >= 0 {
        return zoom(
          start, slope, (sample, own, length), (low, lowSlope, lowLength), at)
      }
      (low, lowSlope, lowLength) = (sample, own, length)
      length *= 2
    }
    return low.value < start.value ? low : nil
  }

  private typealias Probe = (sample: Sample, slope: Double, length: Double)

  /// Narrows an interval that contains a point that meets the conditions.
  private func zoom(
    _ start: Sample, _ slope: Double, _ low: Probe, _ high: Probe,
    _ at: (Double) -> (Sample, Double)
  ) -> Sample? {
    var (low, high) = (low, high)
    for _ in 0..<40 {
      let length = Self.between(low, high)
      let (sample, own) = at(length)
      if !sample.value.isFinite || sample.value > start.value + Self.decrease * length * slope
        || sample.value >= low.sample.value
      {
        high = (sample, own, length)
      } else {
        if abs(own) <= -Self.flatness * slope { return sample }
        if own * (high.length - low.length) >= 0 { high = low }
        low = (sample, own, length)
      }
      if abs(high.length - low.length) <= 1e-12 * max(abs(low.length), 1e-12) { break }
    }
    return low.sample.value < start.value ? low.sample : nil
  }

  /// The minimum of the cubic through two ends, kept away from both; else the middle.
  private static func between(_ a: Probe, _ b: Probe) -> Double {
    let middle = (a.length + b.length) / 2
    guard a.sample.value.isFinite, b.sample.value.isFinite else { return middle }
    let d1 = a.slope + b.slope - 3 * (a.sample.value - b.sample.value) / (a.length - b.length)
    let square = d1 * d1 - a.slope * b.slope
    guard square >= 0 else { return middle }
    let d2 = (b.length > a.length ? 1 : -1) * square.squareRoot()
    let length =
      b.length - (b.length - a.length) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
    let (least, most) = (min(a.length, b.length), max(a.length, b.length))
    let margin = 0.1 * (most - least)
    guard length.isFinite, length >= least + margin, length <= most - margin else {
      return middle
    }
    return length
  }

  static func dot(_ a: [Double], _ b: [Double]) -> Double {
    var sum = 0.0
    for index in a.indices { sum += a[index] * b[index] }
    return sum
  }

  private static func add(_ factor: Double, _ a: [Double], to b: inout [Double]) {
    for index in b.indices { b[index] += factor * a[index] }
  }
}
