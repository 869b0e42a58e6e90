/// One axis of a chart: the scale from numbers to pixels, and the numbers that are written next to
/// it.
struct Axis {
  /// The numbers at the ends of the axis.
  let range: ClosedRange<Double>
  /// The numbers that get a label.
  let ticks: [Double]
  private let digits: Int

  /// An axis that shows all of `values`, with round numbers at about `tickCount` places.
  ///
  /// - Parameter fixed: the ends, if they are known; else they are round numbers.
  init(
    showing values: [Double], fixed: ClosedRange<Double>? = nil, tickCount: Int = 6,
    isWhole: Bool = false
  ) {
    let finite = values.filter(Self.fits)
    let known = fixed.flatMap { Self.fits($0.lowerBound) && Self.fits($0.upperBound) ? $0 : nil }
    var (low, high) = (
      known?.lowerBound ?? finite.min() ?? 0, known?.upperBound ?? finite.max() ?? 1
    )
    if high - low <= max(abs(low), abs(high)) * 1e-12 || high - low < 1e-300 {
      let room = max(0.5, max(abs(low), abs(high)) * 1e-9)
      (low, high) = (low - room, high + room)
    }
    var (step, digits) = Self.step(for: (high - low) / Double(max(tickCount, 1)))
    if isWhole && step < 1 { (step, digits) = (1, 0) }
    if known == nil {
      (low, high) = ((low / step).rounded(.down) * step, (high / step).rounded(.up) * step)
    }
    range = low...high
    // Far from zero, steps may be smaller than the precision of the numbers.
    let (first, last) = ((low / step - 1e-9).rounded(.up), (high / step + 1e-9).rounded(.down))
    let isSane = first <= last && last - first < 100 && abs(first) < 1e15 && abs(last) < 1e15
    ticks = isSane ? (Int(first)...Int(last)).map { Double($0) * step } : [low, high]
    self.digits = digits
  }

  /// Whether an axis can show a number: it is finite, and so are sums and differences of such.
  private static func fits(_ value: Double) -> Bool { abs(value) <= 1e300 }

  /// The share of the axis at which a number is.
  func share(_ value: Double) -> Double {
    (value - range.lowerBound) / (range.upperBound - range.lowerBound)
  }

  /// The text at a tick.
  func label(_ value: Double) -> String {
    digits > 6 ? Format.figure(value) : Format.fixed(value, digits)
  }

  /// The smallest of 1, 2 and 5 times a power of ten that is not smaller than `size`, and how
  /// many digits after the point it needs.
  private static func step(for size: Double) -> (Double, digits: Int) {
    var (power, digits) = (1.0, 0)
    guard size.isFinite, size > 0 else { return (1, 0) }
    while power > size { (power, digits) = (power / 10, digits + 1) }
    while power * 10 <= size { (power, digits) = (power * 10, digits - 1) }
    let factor = [1.0, 2, 5, 10].first { power * $0 >= size * (1 - 1e-9) } ?? 10
    if factor == 10 { digits -= 1 }
    return (power * factor, max(digits, 0))
  }
}
