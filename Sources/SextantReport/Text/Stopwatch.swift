/// Measures elapsed time, independent of changes of the calendar clock.
package struct Stopwatch {
  private let start = ContinuousClock.now

  /// Starts now.
  package init() {}

  /// Seconds since the stopwatch was made.
  package var seconds: Double {
    let (seconds, attoseconds) = start.duration(to: .now).components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }
}
