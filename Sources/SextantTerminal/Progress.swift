import SextantBytes
import SextantReport

/// Tells the progress of long work on standard error: on one line of a terminal, elsewhere a line a minute.
package final class Progress {
  private var line: ProgressLine
  private let clock = Stopwatch()
  /// The time since the last line of all work, or since the first work began.
  private nonisolated(unsafe) static var silence = Stopwatch()

  /// Starts to measure.
  package init(_ title: String, _ unit: ProgressLine.Unit) {
    line = ProgressLine(
      title, unit, isTerminal: StandardStreams.errorIsTerminal, after: Self.silence.seconds)
  }

  deinit { clear() }

  /// Shows the progress of some work while it runs.
  ///
  /// - Parameter work: receives a function to report how much is done, and of how much in all.
  package static func show<Result>(
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
  package func update(_ done: Int, _ total: Int, note: @autoclosure () -> String = "") {
    if let text = line.text(done, of: total, after: clock.seconds, note: note()) {
      StandardStreams.writeError(text)
      Self.silence = Stopwatch()
    }
  }

  /// Removes the line, so that the following output is on a line of its own.
  package func clear() {
    if let text = line.clearing() { StandardStreams.writeError(text) }
  }
}

extension Progress {
  /// The progress of work in several steps, each of which has a title.
  package final class Steps {
    private let unit: ProgressLine.Unit
    private var shown: (title: String, progress: Progress)?

    /// Work whose steps count things of this unit.
    package init(_ unit: ProgressLine.Unit) { self.unit = unit }

    /// Shows how much of a step is done, if a line is due.
    package func update(_ title: String, _ done: Int, _ total: Int) {
      if shown?.title != title {
        clear()
        shown = (title, Progress(title, unit))
      }
      shown?.progress.update(done, total)
    }

    /// Removes the line, so that the following output is on a line of its own.
    package func clear() {
      shown?.progress.clear()
      shown = nil
    }
  }
}
