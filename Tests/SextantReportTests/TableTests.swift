import SextantReport
import Testing

struct TableTests {
  private var table: Table {
    var table = Table(["name", "#count"])
    table.add(["a", "1"])
    table.add(["longer", "1,000"])
    return table
  }

  @Test func numbersAlignToTheRight() {
    #expect(table.lines == ["name    count", "a           1", "longer  1,000"])
  }

  @Test func anyNumberHasAText() {
    #expect(
      [0, 2, -3, 0.5, 1e19, -1e19].map { Format.plain($0) } == [
        "0", "2", "-3", "0.5", "1e+19", "-1e+19",
      ])
    #expect(Format.plain(.infinity) == "inf" && Format.plain(.nan) == "nan")
    for value in [Double.nan, .infinity, -.infinity] {
      #expect(Format.figure(value) == "-" && Format.fixed(value, 3) == "-")
      #expect(Format.duration(value) == "-")
    }
    #expect(Format.fixed(1e300, 2) == "1e+300" && Format.duration(1e300) == "-")
    #expect(Format.duration(-1e300) == "0:00")
  }

  @Test func longTablesShowTheirEnds() {
    var long = Table(["n"])
    for row in 0..<10 { long.add(["\(row)"]) }
    #expect(long.abbreviated(to: 3).lines == ["n", "0", "1", "… 7 more", "9"])
    #expect(long.abbreviated(to: 10) == long)
  }

  @Test func csvQuotesWhatWouldBreakIt() {
    var table = Table(["text", "#n"])
    table.add(["a,b", "1"])
    table.add(["say \"so\"\nnow", "2"])
    #expect(table.csv == "text,n\r\n\"a,b\",1\r\n\"say \"\"so\"\"\nnow\",2\r\n")
  }
}
