import Glibc
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct CrossProductTests {
  /// OpenBLAS takes kernels for SSE3 for a processor that is newer than itself.
  @Test(.enabled(if: getenv("OPENBLAS_CORETYPE") == nil))
  func kernelsOfOpenBLASFitTheProcessor() {
    let levels = KernelLevel.available.map(\.testDescription)
    if levels.contains("avx512") {
      #expect(BLAS.core == "SkylakeX")
    } else if levels.contains("avx2") {
      #expect(BLAS.core == "Haswell")
    }
    #expect(getenv("OPENBLAS_CORETYPE") == nil)
  }

  @Test(arguments: [0, 1, 3, 300], [1, 5, 130])
  func equalTheirDefinition(rows: Int, width: Int) {
    var random = SplitMix64(seed: UInt64(rows + width))
    let wide = Tensor(random.floats(rows * (width + 3)), shape: [rows, width + 3])
    let x = wide.columns(2..<width + 2)
    let values = Tensor(copying: x).values.map(Double.init)
    let center = random.floats(width).map(Double.init)
    for center in [nil, center] {
      var sums = [Double](repeating: 0.5, count: width * width)
      CrossProducts.add(of: x, minus: center, to: &sums)
      var worst = 0.0
      for i in 0..<width {
        for j in 0..<width {
          let expected = (0..<rows).reduce(0.5) { sum, m in
            sum + (values[m * width + i] - (center?[i] ?? 0))
              * (values[m * width + j] - (center?[j] ?? 0))
          }
          worst = max(worst, abs(sums[i * width + j] - expected))
        }
      }
      #expect(worst < 1e-11)
    }
    var totals = [Double](repeating: 1, count: width)
    CrossProducts.addRows(x, to: &totals)
    let expected = (0..<width).map { column in
      (0..<rows).reduce(1.0) { $0 + values[$1 * width + column] }
    }
    #expect(zip(totals, expected).allSatisfy { abs($0 - $1) < 1e-12 })
  }

  @Test func areSymmetricAndIndependentOfTheThreadCount() {
    var random = SplitMix64(seed: 40)
    let width = 200
    let x = Tensor(random.floats(500 * width), shape: [500, width])
    var one = [Double](repeating: 0, count: width * width)
    CrossProducts.add(of: x, to: &one, pool: WorkerPool(threads: 1))
    var three = [Double](repeating: 0, count: width * width)
    CrossProducts.add(of: x, to: &three, pool: WorkerPool(threads: 3))
    #expect(one == three)
    let transposed = (0..<width * width).map { one[$0 % width * width + $0 / width] }
    #expect(transposed == one)
  }
}
