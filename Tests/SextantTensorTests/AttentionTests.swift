import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

/// Attention of the last `queries` of all positions, in f64.
///
/// - Parameters:
///   - q: [queries, H, W].
///   - keys: [positions, G, W].
///   - values: [positions, G, value width].
private func attention(
  _ q: Tensor, _ keys: Tensor, _ values: Tensor, scale: Double, slopes: [Float]? = nil,
  window: Int = .max
) -> [Double] {
  let (queries, heads, width) = (q.shape[0], q.shape[1], q.shape[2])
  let (positions, keyHeads, valueWidth) = (keys.shape[0], keys.shape[1], values.shape[2])
  let (q, keys, values) = (q.values, keys.values, values.values)
  var result: [Double] = []
  for t in 0..<queries {
    let own = positions - queries + t
    for head in 0..<heads {
      let keyHead = head / (heads / keyHeads)
      let seen = max(0, own - window + 1)...own
      let scores = seen.map { j in
        let dot = (0..<width).reduce(0.0) {
          $0 + Double(q[(t * heads + head) * width + $1])
            * Double(keys[(j * keyHeads + keyHead) * width + $1])
        }
        return scale * dot + Double(slopes?[head] ?? 0) * Double(j - own)
      }
      let largest = scores.max() ?? 0
      let weights = scores.map { exp($0 - largest) }
      let total = weights.reduce(0, +)
      for channel in 0..<valueWidth {
        let sum = zip(seen, weights).reduce(0.0) {
          $0 + $1.1 * Double(values[($1.0 * keyHeads + keyHead) * valueWidth + channel])
        }
        result.append(sum / total)
      }
    }
  }
  return result
}

extension Tensor {
  /// [A, …] as [1, A, …].
  fileprivate var asBatch: Tensor { reshaped([1] + shape) }
}

private func random(_ shape: [Int], _ random: inout SplitMix64, gain: Float = 2) -> Tensor {
  Tensor(random.floats(shape.reduce(1, *)).map { gain * $0 }, shape: shape)
}

@Suite struct AttentionTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    let (positions, queries, heads, keyHeads, width): (Int, Int, Int, Int, Int)

    var testDescription: String {
      "\(queries) of \(positions) positions, \(heads) heads, \(keyHeads) keys, width \(width)"
    }
  }

  static let shapes = [
    (1, 1, 1, 1, 2), (5, 5, 2, 1, 12), (64, 64, 3, 3, 16), (65, 65, 4, 2, 33), (130, 1, 6, 2, 64),
    (130, 3, 2, 2, 80), (200, 70, 3, 1, 17), (257, 5, 8, 1, 128), (70, 7, 1, 1, 512),
    (90, 9, 8, 2, 256), (600, 1, 6, 2, 20), (513, 5, 3, 1, 33),
  ].map { Shape(positions: $0, queries: $1, heads: $2, keyHeads: $3, width: $4) }

  @Test(arguments: KernelLevel.available, shapes)
  func everyLevelEqualsTheF64Attention(_ level: KernelLevel, shape: Shape) {
    var generator = SplitMix64(seed: UInt64(shape.positions))
    let keys = random([shape.positions, shape.keyHeads, shape.width], &generator)
    let values = random([shape.positions, shape.keyHeads, shape.width], &generator)
    let q = random([shape.queries, shape.heads, shape.width], &generator)
    let slopes = generator.floats(shape.heads).map(abs)
    let scale = 1 / Float(shape.width).squareRoot()
    for (slopes, window) in [(nil, 0), (slopes, 0), (nil, 3), (slopes, 66)] {
      let expected = attention(
        q, keys, values, scale: Double(scale), slopes: slopes, window: window == 0 ? .max : window)
      let y = level.attend(
        q, PagedRows(keys.asBatch, order: .keys), PagedRows(values.asBatch, order: .values),
        scale: scale, slopes: slopes, window: window)
      #expect(excess(y, over: expected, absolute: 4e-6, relative: 2e-6) <= 1)
    }
  }

  @Test(arguments: KernelLevel.available, [(192, 128), (20, 33), (5, 256), (576, 512)])
  func valuesMayBeWiderOrNarrowerThanKeys(_ level: KernelLevel, width: (key: Int, value: Int)) {
    var generator = SplitMix64(seed: UInt64(width.key))
    let (positions, queries, heads, keyHeads) = (70, 6, 4, 2)
    let keys = random([positions, keyHeads, width.key], &generator)
    let values = random([positions, keyHeads, width.value], &generator)
    let q = random([queries, heads, width.key], &generator)
    let expected = attention(q, keys, values, scale: 0.05)
    let pages = (PagedRows(keys.asBatch, order: .keys), PagedRows(values.asBatch, order: .values))
    let y = level.attend(q, pages.0, pages.1, scale: 0.05, slopes: nil, window: 0)
    #expect(excess(y, over: expected, absolute: 4e-6, relative: 2e-6) <= 1)
    let tensor = Kernels.attend(
      q.reshaped([queries, heads * width.key]), HeadColumns(count: heads, width: width.key),
      keys: pages.0, values: pages.1, scale: 0.05)
    #expect(tensor.shape == [queries, heads * width.value])
    #expect(excess(tensor.values, over: expected, absolute: 4e-6, relative: 2e-6) <= 1)
  }

  @Test(arguments: KernelLevel.available)
  func aRowDependsOnNoOtherBitForBit(_ level: KernelLevel) {
    var generator = SplitMix64(seed: 7)
    let (positions, heads, keyHeads, width) = (520, 3, 1, 5)
    let keys = random([positions, keyHeads, width], &generator)
    let values = random([positions, keyHeads, width], &generator)
    let q = random([positions, heads, width], &generator)
    let slopes = generator.floats(heads).map { abs($0) / 50 }
    let row = heads * width
    for window in [0, 100] {
      func run(_ end: Int, _ queries: Int, bySegments: Bool = false) -> [UInt32] {
        level.attend(
          q.rows(end - queries..<end), PagedRows(keys.rows(0..<end).asBatch, order: .keys),
          PagedRows(values.rows(0..<end).asBatch, order: .values), scale: 0.2, slopes: slopes,
          window: window, bySegments: bySegments
        ).map(\.bitPattern)
      }
      let whole = run(positions, positions)
      for end in [1, 2, 63, 64, 65, 256, 257, 520] {
        for queries in Set([1, min(end, 5)]) {
          let expected = Array(whole[(end - queries) * row..<end * row])
          #expect(run(end, queries) == expected)
          #expect(run(end, queries, bySegments: true) == expected)
        }
      }
    }
  }

  /// Sequences of different lengths, whose positions the threads share or do not.
  @Test func threadsThatSharePositionsChangeNoBits() {
    var generator = SplitMix64(seed: 12)
    let (heads, keyHeads, width) = (6, 2, 16)
    let sequences = [700, 3, 300].map { count in
      PagedRows.Order.both.map {
        PagedRows(random([1, count, keyHeads, width], &generator), order: $0)
      }
    }
    let (keys, values) = (
      PagedRows.joining(sequences.map { $0[0] }), PagedRows.joining(sequences.map { $0[1] })
    )
    let q = random([3, heads * width], &generator)
    let layout = HeadColumns(count: heads, width: width)
    // One thread has enough chunks: it takes rows; two threads share the positions.
    let results = [1, 2].map { threads in
      Kernels.attend(
        q, layout, keys: keys, values: values, scale: 0.2, pool: WorkerPool(threads: threads))
    }
    #expect(results[0].values.map(\.bitPattern) == results[1].values.map(\.bitPattern))
    for (row, sequence) in sequences.enumerated() {
      let alone = Kernels.attend(
        q.rows(row..<row + 1), layout, keys: sequence[0], values: sequence[1], scale: 0.2)
      let found = results[0].rows(row..<row + 1)
      #expect(alone.values.map(\.bitPattern) == found.values.map(\.bitPattern))
    }
  }

  @Test(arguments: KernelLevel.available)
  func aLaterTokensNaNReachesNoEarlierRow(_ level: KernelLevel) {
    var generator = SplitMix64(seed: 8)
    let q = random([6, 1, 8], &generator)
    var (keys, values) = (random([6, 1, 8], &generator), random([6, 1, 8], &generator))
    keys.withMutableFloats { $0[4 * 8 + 3] = .nan }
    values.withMutableFloats { $0[5 * 8 + 3] = .infinity }
    let y = level.attend(
      q, PagedRows(keys.asBatch, order: .keys), PagedRows(values.asBatch, order: .values),
      scale: 1, slopes: nil, window: 0)
    #expect(y.prefix(4 * 8).allSatisfy { $0.isFinite })
    #expect(y.suffix(2 * 8).allSatisfy { $0.isNaN })
  }

  @Test func largeScoresOverflowNothing() {
    var generator = SplitMix64(seed: 9)
    let (keys, q) = (random([1, 70, 1, 8], &generator), random([70, 8], &generator))
    let values = random([1, 70, 1, 8], &generator)
    let y = Kernels.attend(
      q, HeadColumns(count: 1, width: 8), keys: PagedRows(keys, order: .keys),
      values: PagedRows(values, order: .values), scale: 1e4)
    // Weights are between 0 and 1 for any scores, so that a mean of values is not larger than the
    // values.
    let largest = values.values.map(abs).max() ?? 0
    #expect(y.values.allSatisfy { abs($0) <= largest * 1.00001 })
  }

  @Test func aBatchAttendsToItsOwnPages() {
    var generator = SplitMix64(seed: 10)
    let (batch, positions, queries, heads, width) = (3, 70, 9, 4, 10)
    let keys = random([batch, positions, 2, width], &generator)
    let values = random([batch, positions, 2, width], &generator)
    // Query heads between other columns, as in a joint projection.
    let layout = HeadColumns(first: 3, count: heads, width: width, stride: width + 5)
    let joint = random([batch * queries, 3 + heads * (width + 5)], &generator)
    let y = Kernels.attend(
      joint, layout, keys: PagedRows(keys, order: .keys),
      values: PagedRows(values, order: .values), scale: 0.3)
    for sequence in 0..<batch {
      let rows = joint.rows(sequence * queries..<(sequence + 1) * queries)
      let q = (0..<heads).map { head in
        let first = layout.first + head * layout.stride
        return Tensor(copying: rows.columns(first..<first + width))
      }
      let own = (0..<queries).flatMap { row in q.flatMap { $0.rows(row..<row + 1).values } }
      let expected = attention(
        Tensor(own, shape: [queries, heads, width]),
        keys.rows(sequence..<sequence + 1).reshaped([positions, 2, width]),
        values.rows(sequence..<sequence + 1).reshaped([positions, 2, width]), scale: 0.3)
      let found = y.rows(sequence * queries..<(sequence + 1) * queries).values
      #expect(excess(found, over: expected, absolute: 4e-6, relative: 2e-6) <= 1)
    }
  }

  @Test func rotationTurnsPairsAndLeavesTheRest() {
    var generator = SplitMix64(seed: 11)
    let (batch, length, half) = (2, 3, 5)
    let layout = HeadColumns(first: 1, count: 2, width: 13, stride: 15)
    let x = random([batch * length, 32], &generator)
    let angles = (0..<length * half).map { Double($0) * 0.37 }
    var y = x
    Kernels.rotate(
      &y, layout,
      by: (
        Tensor(angles.map { Float(cos($0)) }, shape: [length, half]),
        Tensor(angles.map { Float(sin($0)) }, shape: [length, half])
      ))
    var expected = x.values.map(Double.init)
    for row in 0..<batch * length {
      for head in 0..<2 {
        for pair in 0..<half {
          let a = row * 32 + 1 + head * 15 + pair
          let angle = angles[row % length * half + pair]
          let (low, high) = (expected[a], expected[a + half])
          expected[a] = low * cos(angle) - high * sin(angle)
          expected[a + half] = high * cos(angle) + low * sin(angle)
        }
      }
    }
    #expect(excess(y.values, over: expected, absolute: 1e-6, relative: 0) <= 1)
  }
}

extension PagedRows.Order {
  fileprivate static let both = [Self.keys, .values]
}

extension KernelLevel {
  /// Attention of q [queries, H, W] to one sequence's pages; gives y [queries, H, value width].
  fileprivate func attend(
    _ q: Tensor, _ keys: PagedRows, _ values: PagedRows, scale: Float, slopes: [Float]?,
    window: Int, bySegments: Bool = false
  ) -> [Float] {
    let (queries, heads, width) = (q.shape[0], q.shape[1], q.shape[2])
    var y = [Float](repeating: .nan, count: queries * heads * values.width)
    let group = heads / keys.heads
    keys.withPages(ofSequence: 0) { keyPages in
      values.withPages(ofSequence: 0) { valuePages in
        withPointers([q.values, slopes ?? []]) { pointers in
          y.withUnsafeMutableBufferPointer { y in
            var job = sxk_attention(
              q: pointers[0], q_stride: heads * width, q_head_stride: width, keys: keyPages,
              values: valuePages, slopes: slopes == nil ? nil : pointers[1], y: y.baseAddress,
              y_stride: heads * values.width, position: keys.counts[0] - queries, window: window,
              group: group, width: width, value_width: values.width, scale: scale)
            for head in 0..<keys.heads {
              if bySegments {
                attendBySegments(&job, head, rows: queries * group, positions: keys.counts[0])
                continue
              }
              // In two ranges that split a tile.
              let middle = queries * group / 2
              table.attend(&job, head, 0, middle)
              table.attend(&job, head, middle, queries * group)
            }
          }
        }
      }
    }
    return y
  }

  private func attendBySegments(
    _ job: inout sxk_attention, _ head: Int, rows: Int, positions: Int
  ) {
    let segments = (positions + Int(SXK_SEGMENT) - 1) / Int(SXK_SEGMENT)
    let size = table.attention_part_size(&job)
    var parts = [Float](repeating: .nan, count: rows * segments * size)
    parts.withUnsafeMutableBufferPointer { parts in
      guard let first = parts.baseAddress else { return }
      // The last segment first.
      for segment in (0..<segments).reversed() {
        table.attend_segment(&job, head, rows, segment, first + segment * size, segments * size)
      }
      table.attend_merge(&job, head, rows, segments, first, segments * size)
    }
  }
}
