import SextantBytes
import SextantReport

/// Tells the progress of long work on standard error: on one line of a terminal, elsewhere a line a minute.
final class Progress {
  private var line: ProgressLine
  private let clock = Stopwatch()

  /// Starts to measure.
  init(_ title: String, _ unit: ProgressLine.Unit) {
    line = ProgressLine(title, unit, isTerminal: StandardStreams.errorIsTerminal)
  }

  deinit { clear() }

  /// Shows the progress of some work while it runs.
  ///
  /// - Parameter work: receives a function to report how much is done, and of how much in all.
  static func show<Result>(
    _ title: String, _ unit: ProgressLine.Unit,
    _ work: (_ update: (Int, Int) -> Void) throws(Refusal) -> Result
  ) throws(Refusal) -> Result {
    let progress = Progress(title, unit)
    defer { progress.clear() }
    return try work { progress.update($0, $1) }
  }

  /// Shows how much is done, if a line is due.
  ///
  /// - Parameter note: additional text.
  func update(_ done: Int, _ total: Int, note: @autoclosure () -> String = "") {
    if let text = line.text(done, of: total, after: clock.seconds, note: note()) {
      StandardStreams.writeError(text)
    }
  }

  /// Removes the line, so that the following output is on a line of its own.
  func clear() {
    if let text = line.clearing() { StandardStreams.writeError(text) }
  }
}
