import SextantBytes
import SextantReport

/// One line on standard error that says how far long work is; silent unless that is a terminal.
final class Progress {
  /// What is counted.
  enum Unit {
    /// Bytes, shown as MB.
    case bytes
    /// Things of this name, such as `texts`.
    case items(String)
  }

  private let title: String
  private let unit: Unit
  private let clock = Stopwatch()
  private let isShown = StandardStreams.errorIsTerminal
  private var shownAt = 0.0

  /// Starts to measure.
  init(_ title: String, _ unit: Unit) {
    self.title = title
    self.unit = unit
  }

  deinit { clear() }

  /// Shows how much is done, at most ten times a second.
  ///
  /// - Parameter note: what else there is to say.
  func update(_ done: Int, _ total: Int, note: @autoclosure () -> String = "") {
    let seconds = clock.seconds
    guard isShown, seconds - shownAt >= 0.1, done > 0, total > 0 else { return }
    shownAt = seconds
    let rate = Double(done) / seconds
    let left = Double(total - done) / rate
    let said = note()
    let percent = Int(clamping: 100 * Double(done) / Double(total))
    StandardStreams.writeError(
      "\r\u{1B}[K\(title)  \(percent)%  \(text(done)) of \(text(total))  \(rateText(rate))"
        + "  \(Format.duration(left)) left\(said.isEmpty ? "" : "  " + said)")
  }

  private func text(_ count: Int) -> String {
    switch unit {
    case .bytes: Format.bytes(count)
    case .items: Format.count(count)
    }
  }

  private func rateText(_ rate: Double) -> String {
    switch unit {
    case .bytes: "\(Format.bytes(Int(clamping: rate)))/s"
    case .items(let name): "\(Format.fixed(rate, rate < 10 ? 1 : 0)) \(name)/s"
    }
  }

  /// Removes the line, so that what follows stands alone.
  func clear() {
    if shownAt > 0 { StandardStreams.writeError("\r\u{1B}[K") }
    shownAt = 0
  }
}
