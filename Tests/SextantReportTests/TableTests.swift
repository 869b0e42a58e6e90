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
