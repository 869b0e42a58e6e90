import SextantTensor
import SextantTestSupport
import Testing

@Suite struct ChoiceTests {
  /// The definition: all columns sorted, equal numbers by column.
  private func sorted(_ scores: [Float], _ columns: [Int]) -> [Int] {
    columns.sorted { a, b in
      let (x, y) = (scores[a], scores[b])
      if x.isNaN || y.isNaN { return x.isNaN && y.isNaN ? a < b : y.isNaN }
      return x == y ? a < b : x > y
    }
  }

  @Test(arguments: [1, 2, 7, 32, 129], [false, true])
  func itIsTheBeginningOfTheSortedColumns(width: Int, isCoarse: Bool) {
    var random = SplitMix64(seed: UInt64(width))
    let rows = 9
    // Coarse scores are often equal.
    let values = random.floats(rows * width).map { isCoarse ? ($0 * 3).rounded() : $0 }
    let scores = Tensor(values, shape: [rows, width])
    for count in Set([0, 1, min(3, width), width / 2, width]) {
      let found = Kernels.largest(scores, count: count)
      let expected = (0..<rows).flatMap { row in
        sorted(Array(values[row * width..<(row + 1) * width]), Array(0..<width)).prefix(count)
      }
      #expect(found == expected)
    }
  }

  @Test func equalNumbersComeByColumnAndNaNLast() {
    let scores = Tensor(
      [2, .nan, 5, 5, -.infinity, 2, .nan, 5], shape: [1, 8])
    #expect(Kernels.largest(scores, count: 8) == [2, 3, 7, 0, 5, 4, 1, 6])
    #expect(Kernels.largest(scores.columns(3..<7), count: 2) == [0, 2])
    #expect(Kernels.largest(Tensor([0, -0.0, 0], shape: [1, 3]), count: 3) == [0, 1, 2])
  }

  @Test(arguments: [(2, 1), (4, 2), (4, 3), (8, 4), (1, 1)], [false, true])
  func onlyColumnsOfTheBestGroupsAreChosen(groups: (count: Int, chosen: Int), isCoarse: Bool) {
    var random = SplitMix64(seed: UInt64(groups.count))
    let (rows, size) = (17, 6)
    let width = groups.count * size
    let values = random.floats(rows * width).map { isCoarse ? ($0 * 2).rounded() : $0 }
    for count in [1, 4, groups.chosen * size] {
      let found = Kernels.largest(
        Tensor(values, shape: [rows, width]), count: count,
        groups: Kernels.ChoiceGroups(count: groups.count, chosen: groups.chosen))
      let expected = (0..<rows).flatMap { row in
        let scores = Array(values[row * width..<(row + 1) * width])
        let merits = (0..<groups.count).map { group in
          scores[group * size..<(group + 1) * size].sorted(by: >).prefix(2).reduce(0, +)
        }
        let best = Set(sorted(merits, Array(0..<groups.count)).prefix(groups.chosen))
        return sorted(scores, (0..<width).filter { best.contains($0 / size) }).prefix(count)
      }
      #expect(found == expected)
    }
  }

  @Test func theSumOfTheTwoBestDecidesBetweenGroups() {
    // The largest single score is in the first group, the best pair in the second.
    let scores = Tensor([9, 0, 0, 5, 5, 0, 4, 4, 4], shape: [1, 9])
    let groups = Kernels.ChoiceGroups(count: 3, chosen: 1)
    #expect(Kernels.largest(scores, count: 2, groups: groups) == [3, 4])
    let single = Kernels.ChoiceGroups(count: 3, chosen: 2)
    #expect(Kernels.largest(scores.columns(0..<3), count: 2, groups: single) == [0, 1])
  }
}

@Suite struct ExpertTests {
  @Test(arguments: [DataType.f32, .bf16, .f16, .q8])
  func oneMatrixOfAStackMultipliesGatheredRows(type: DataType) throws {
    var random = SplitMix64(seed: 41)
    let (experts, outputs, inner, tokens) = (5, 7, 64, 12)
    let plain = Tensor(random.floats(experts * outputs * inner), shape: [experts, outputs, inner])
    let stack = try #require(plain.converted(to: type))
    let wide = try #require(stack.converted(to: .f32)).values
    let x = random.floats(tokens * inner)
    for rows in [[3], [11, 0, 4], Array(0..<12)] {
      for expert in 0..<experts {
        let matrix = stack.element(expert)
        #expect(matrix.shape == [outputs, inner])
        let y = Linear.apply(
          Kernels.gather(Tensor(x, shape: [tokens, inner]), rows: rows), weight: matrix,
          precision: .exact)
        let expected = rows.flatMap { row in
          (0..<outputs).map { n in
            (0..<inner).reduce(0.0) {
              $0 + Double(x[row * inner + $1])
                * Double(wide[(expert * outputs + n) * inner + $1])
            }
          }
        }
        #expect(excess(y.values, over: expected, absolute: 1e-5, relative: 0) <= 1)
      }
    }
  }

  @Test func aMatrixOfAStackSharesItsMemory() {
    var stack = Tensor((0..<24).map(Float.init), shape: [4, 2, 3])
    var second = stack.element(1)
    let apart = stack.withFloats { base in
      second.withFloats { own in own.baseAddress.map { $0 - (base.baseAddress ?? $0) } }
    }
    #expect(apart == 6)
    #expect(second.values == [6, 7, 8, 9, 10, 11])
    // A write to either of the two reaches the other in no way.
    second.withMutableFloats { $0[0] = -1 }
    #expect(stack.values[6] == 6)
    let third = stack.element(2)
    stack.withMutableFloats { $0[12] = -2 }
    #expect(third.values == [12, 13, 14, 15, 16, 17])
    // It outlives the stack.
    stack = Tensor(zeros: [1])
    #expect(third.element(1).values == [15, 16, 17])
  }

  @Test(arguments: [1, 37, 3000])
  func rowsAreAddedToTheirPlacesInOrder(width: Int) {
    var random = SplitMix64(seed: UInt64(width))
    let rows = [2, 0, 2, 5, 2]
    let (x, start) = (random.floats(rows.count * width), random.floats(6 * width))
    let weights = random.floats(rows.count)
    var expected = start.map(Double.init)
    for (index, row) in rows.enumerated() {
      for column in 0..<width {
        expected[row * width + column] += Double(weights[index]) * Double(x[index * width + column])
      }
    }
    var y = Tensor(start, shape: [6, width])
    Kernels.add(
      Tensor(x, shape: [rows.count, width]), scaledBy: weights, toRows: rows, of: &y,
      pool: WorkerPool(threads: 3))
    #expect(excess(y.values, over: expected, absolute: 1e-6, relative: 0) <= 1)
    #expect(y.rows(3..<5).values == Array(start[3 * width..<5 * width]))
    let before = y
    Kernels.add(Tensor(zeros: [0, width]), scaledBy: [], toRows: [], of: &y)
    #expect(y == before)
  }
}
