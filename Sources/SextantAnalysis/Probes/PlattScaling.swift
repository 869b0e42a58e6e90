import Glibc

/// Turns scores into log-odds, a · score + b, by the targets of Platt (1999): (N₊ + 1) / (N₊ + 2) and
/// 1 / (N₋ + 2) instead of 1 and 0, so that separable scores have a finite scale, too.
enum PlattScaling {
  /// Scale and bias by Newton's method with halved steps (Lin, Lin and Weng, 2007).
  static func fit(_ scores: [Double], _ labels: [Bool]) -> (scale: Double, bias: Double) {
    let count = Double(scores.count)
    let positives = Double(labels.count { $0 })
    let (high, low) = ((positives + 1) / (positives + 2), 1 / (count - positives + 2))
    let prior = log((positives + 1) / (count - positives + 1))
    let mean = scores.reduce(0, +) / count
    let variance = scores.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    guard variance > 0, variance.isFinite else { return (0, prior) }
    let deviation = variance.squareRoot()
    let units = scores.map { ($0 - mean) / deviation }
    let loss = { (a: Double, b: Double) -> Double in
      var sum = 0.0
      for (unit, label) in zip(units, labels) {
        let value = a * unit + b
        sum += max(value, 0) - (label ? high : low) * value + log1p(exp(-abs(value)))
      }
      return sum
    }
    var (a, b) = (0.0, prior)
    var current = loss(a, b)
    for _ in 0..<100 {
      var (ga, gb, haa, hab, hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12)
      for (unit, label) in zip(units, labels) {
        let probability = 1 / (1 + exp(-(a * unit + b)))
        let (residual, weight) = (
          probability - (label ? high : low), probability * (1 - probability)
        )
        ga += residual * unit
        gb += residual
        haa += weight * unit * unit
        hab += weight * unit
        hbb += weight
      }
      let determinant = haa * hbb - hab * hab
      guard max(abs(ga), abs(gb)) > 1e-10 * count, determinant > 0 else { break }
      let (da, db) = (
        -(hbb * ga - hab * gb) / determinant, -(haa * gb - hab * ga) / determinant
      )
      var length = 1.0
      var next = loss(a + da, b + db)
      while next > current, length > 1e-10 {
        length /= 2
        next = loss(a + length * da, b + length * db)
      }
      guard next < current else { break }
      (a, b, current) = (a + length * da, b + length * db, next)
    }
    return (a / deviation, b - a * mean / deviation)
  }
}
