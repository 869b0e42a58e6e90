import SextantBytes

/// The progress of long work: on a terminal one line that is updated ten times a second, elsewhere,
/// such as in the log of a server, one line a minute.
package struct ProgressLine: Sendable {
  /// The unit of progress.
  package enum Unit: Sendable {
    /// Bytes, shown as MB.
    case bytes
    /// Things of this name, such as `texts`.
    case items(String)
  }

  private let title: String
  private let unit: Unit
  private let isTerminal: Bool
  private var shownAt: Double

  /// Whether the terminal shows a line that the next one has to replace.
  package private(set) var isShown = false

  /// A line for work of this title.
  ///
  /// - Parameters:
  ///   - isTerminal: whether the line goes to a terminal.
  ///   - silence: seconds before this work without a line, so that many short works in a row show one a minute,
  ///     too.
  package init(_ title: String, _ unit: Unit, isTerminal: Bool, after silence: Double = 0) {
    self.title = title
    self.unit = unit
    self.isTerminal = isTerminal
    shownAt = isTerminal ? 0 : -silence
  }

  /// The text to write now; nil if nothing is due.
  ///
  /// - Parameters:
  ///   - seconds: since the work began.
  ///   - note: additional text.
  package mutating func text(
    _ done: Int, of total: Int, after seconds: Double, note: @autoclosure () -> String = ""
  ) -> String? {
    guard seconds - shownAt >= (isTerminal ? 0.1 : 60), done > 0, total > 0 else { return nil }
    (shownAt, isShown) = (seconds, isTerminal)
    let rate = Double(done) / seconds
    let left = Double(total - done) / rate
    let said = note()
    let percent = Int(clamping: min(100, 100 * Double(done) / Double(total)))
    let line =
      "\(title)  \(percent)%  \(text(done)) of \(text(total))  \(rateText(rate))"
      + "  \(Format.duration(left)) left\(said.isEmpty ? "" : "  " + said)"
    return isTerminal ? "\r\u{1B}[K\(line)" : "\(line)\n"
  }

  /// The text that removes the line; nil if there is none.
  package mutating func clearing() -> String? {
    defer { isShown = false }
    return isShown ? "\r\u{1B}[K" : nil
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
}
