import SextantTestSupport
import Testing

@testable import SextantTensor

@Suite struct PagedRowsTests {
  private static let layout = HeadColumns(count: 2, width: 5)

  /// Rows [B·T, 2·5] whose elements encode their positions.
  private func rows(_ batch: Int, _ positions: Range<Int>) -> Tensor {
    let values = (0..<batch).flatMap { sequence in
      positions.flatMap { position in
        (0..<10).map { Float(sequence * 100_000 + position * 10 + $0) }
      }
    }
    return Tensor(values, shape: [batch * positions.count, 10])
  }

  private func filled(_ batch: Int, _ count: Int, _ order: PagedRows.Order) -> PagedRows {
    var result = PagedRows(batch: batch, heads: 2, width: 5, order: order)
    result.append(rows(batch, 0..<count), Self.layout)
    return result
  }

  @Test(arguments: [PagedRows.Order.keys, .values], [1, 2, 63, 64, 65, 200])
  func positionsComeBackInTheOrderInWhichTheyWereAdded(order: PagedRows.Order, count: Int) {
    let expected = rows(3, 0..<count).reshaped([3, count, 2, 5])
    let whole = filled(3, count, order)
    #expect(whole.tensor == expected)
    #expect(PagedRows(expected, order: order) == whole)
    var stepped = PagedRows(batch: 3, heads: 2, width: 5, order: order)
    for step in [1, 2, 60, 70] where stepped.counts[0] + step <= count {
      stepped.append(rows(3, stepped.counts[0]..<stepped.counts[0] + step), Self.layout)
    }
    if stepped.counts[0] < count { stepped.append(rows(3, stepped.counts[0]..<count), Self.layout) }
    #expect(stepped == whole)
  }

  @Test func anAdditionWritesInPlaceUnlessThePageIsShared() {
    var own = filled(1, 70, .keys)
    let (first, last) = (own.pages[0][0].base, own.pages[0][1].base)
    own.append(rows(1, 70..<71), Self.layout)
    #expect(own.pages[0].map(\.base) == [first, last])
    var fork = own
    fork.append(rows(1, 71..<72), Self.layout)
    #expect(fork.pages[0][0].base == first)
    #expect(fork.pages[0][1].base != last)
    #expect(own == filled(1, 71, .keys))
    #expect(fork == filled(1, 72, .keys))
  }

  @Test func selectedSequencesShareTheirPages() {
    let whole = filled(3, 130, .values)
    var selected = whole.selecting([2, 2, 0])
    #expect(selected.pages[0].map(\.base) == whole.pages[2].map(\.base))
    #expect(selected.tensor.rows(2..<3) == whole.tensor.rows(0..<1))
    selected.append(rows(3, 130..<131), Self.layout)
    #expect(selected.pages[0][1].base == selected.pages[1][1].base)
    #expect(selected.pages[0][2].base != selected.pages[1][2].base)
    #expect(
      selected.tensor.rows(1..<2).reshaped([131, 10]).rows(0..<130).values
        == whole.tensor.rows(2..<3).values)
  }

  @Test func otherPositionsAreNotEqual() {
    let a = filled(2, 10, .keys)
    #expect(a != filled(2, 11, .keys))
    #expect(a != filled(1, 10, .keys))
    #expect(a != filled(2, 10, .values))
    var b = PagedRows(batch: 2, heads: 2, width: 5, order: .keys)
    b.append(rows(2, 1..<11), Self.layout)
    #expect(a != b)
  }
}
