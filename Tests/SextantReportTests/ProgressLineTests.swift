import SextantReport
import Testing

struct ProgressLineTests {
  @Test func aTerminalGetsOneLineThatIsWrittenAnew() {
    var line = ProgressLine("read", .items("texts"), isTerminal: true)
    #expect(line.text(1, of: 4, after: 0.05) == nil && !line.isShown)
    let first = line.text(1, of: 4, after: 0.5, note: "loss 2")
    #expect(first?.hasPrefix("\r\u{1B}[Kread  25%  1 of 4  2.0 texts/s") == true)
    #expect(first?.hasSuffix("loss 2") == true)
    #expect(line.isShown)
    #expect(line.text(2, of: 4, after: 0.55) == nil)
    #expect(line.text(2, of: 4, after: 0.75) != nil)
    #expect(line.clearing() == "\r\u{1B}[K")
    #expect(line.clearing() == nil)
  }

  @Test func elsewhereThereIsALineAMinute() {
    var line = ProgressLine("convert", .bytes, isTerminal: false)
    let times = stride(from: 0.0, through: 300, by: 0.5)
    let lines = times.compactMap { line.text(Int($0 * 1e6), of: 400_000_000, after: $0) }
    #expect(lines.count == 5)
    #expect(lines.first?.hasPrefix("convert  15%  60") == true)
    #expect(lines.allSatisfy { $0.hasSuffix("left\n") && !$0.contains("\u{1B}") })
    #expect(line.clearing() == nil)
  }

  @Test func manyShortWorksInARowAreToldOnceAMinute() {
    // Works of 20 s: the fourth begins 60 s after the last line.
    let silences = [0.0, 20, 40, 60]
    let lines = silences.compactMap { silence in
      var line = ProgressLine("read", .items("texts"), isTerminal: false, after: silence)
      return line.text(1, of: 2, after: 10)
    }
    #expect(lines.count == 1)
    var line = ProgressLine("read", .items("texts"), isTerminal: false, after: 59)
    #expect(line.text(1, of: 90, after: 1)?.hasPrefix("read  1%") == true)
    #expect(line.text(2, of: 90, after: 60) == nil && line.text(3, of: 90, after: 61) != nil)
    // On a terminal, each work has its line at once.
    var own = ProgressLine("read", .items("texts"), isTerminal: true, after: 59)
    #expect(own.text(1, of: 90, after: 0.05) == nil)
  }

  @Test func countsBeyondTheTotalAndNothingDoneDoNoHarm() {
    var line = ProgressLine("read", .bytes, isTerminal: true)
    #expect(line.text(0, of: 4, after: 1) == nil)
    #expect(line.text(1, of: 0, after: 2) == nil)
    #expect(line.text(Int.max, of: 4, after: 3)?.contains("100%") == true)
    #expect(line.text(1, of: Int.max, after: 1e300) != nil)
  }
}
