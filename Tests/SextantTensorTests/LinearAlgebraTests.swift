import SextantTensor
import SextantTestSupport
import Testing

/// Each function is tested by the property that defines it, on sizes around the block size.
struct LinearAlgebraTests {
  /// A symmetric positive semidefinite matrix of `rank`, from random rows.
  private func covariance(size n: Int, rank: Int) -> [Double] {
    var random = SplitMix64(seed: UInt64(n * 1000 + rank))
    let rows = (0..<rank * n).map { _ in Double.random(in: -1...1, using: &random) }
    return naive(rows, rows, n, rank, n, true, false)
  }

  private func naive(
    _ a: [Double], _ b: [Double], _ m: Int, _ k: Int, _ n: Int, _ ta: Bool, _ tb: Bool
  ) -> [Double] {
    var c = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
      for j in 0..<n {
        for l in 0..<k {
          c[i * n + j] += (ta ? a[l * m + i] : a[i * k + l]) * (tb ? b[j * k + l] : b[l * n + j])
        }
      }
    }
    return c
  }

  private func expectClose(_ a: [Double], _ b: [Double], _ bound: Double) {
    #expect(a.count == b.count)
    #expect(zip(a, b).allSatisfy { abs($0 - $1) <= bound })
  }

  @Test(
    arguments: [(1, 1, 1), (3, 5, 2), (64, 7, 9), (65, 130, 33), (150, 2, 71), (150, 70, 1)],
    [0, 1, 2, 3])
  func productIsTheSumOverTheInnerIndex(_ sizes: (m: Int, k: Int, n: Int), _ form: Int) {
    var random = SplitMix64(seed: 7)
    let a = (0..<sizes.m * sizes.k).map { _ in Double.random(in: -1...1, using: &random) }
    let b = (0..<sizes.k * sizes.n).map { _ in Double.random(in: -1...1, using: &random) }
    let (ta, tb) = (form & 1 == 1, form & 2 == 2)
    expectClose(
      LinearAlgebra.product(
        a, b, rows: sizes.m, inner: sizes.k, columns: sizes.n, transposingFirst: ta,
        transposingSecond: tb), naive(a, b, sizes.m, sizes.k, sizes.n, ta, tb), 1e-12)
  }

  @Test(arguments: [1, 2, 17, 90])
  func eigenvectorsDiagonalise(_ n: Int) throws {
    let a = covariance(size: n, rank: n + 3)
    let (values, vectors) = try #require(LinearAlgebra.eigen(symmetric: a, size: n))
    #expect(values == values.sorted())
    let product = naive(vectors, a, n, n, n, false, false)  // V A = Λ V
    for row in 0..<n {
      expectClose(
        Array(product[row * n..<(row + 1) * n]),
        vectors[row * n..<(row + 1) * n].map { $0 * values[row] }, 1e-10)
      let largest = vectors[row * n..<(row + 1) * n].max { abs($0) < abs($1) }
      #expect(try #require(largest) > 0)
    }
    var identity = [Double](repeating: 0, count: n * n)
    for index in 0..<n { identity[index * n + index] = 1 }
    expectClose(naive(vectors, vectors, n, n, n, false, true), identity, 1e-12)
  }

  @Test(arguments: [(1, 1), (5, 3), (70, 2)])
  func solutionsSolve(_ n: Int, _ count: Int) throws {
    let a = covariance(size: n, rank: 2 * n)
    var random = SplitMix64(seed: 3)
    let b = (0..<n * count).map { _ in Double.random(in: -1...1, using: &random) }
    let x = try #require(
      LinearAlgebra.solve(positiveDefinite: a, size: n, rightSides: b, count: count))
    expectClose(naive(a, x, n, n, count, false, false), b, 1e-9)
  }

  @Test func indefiniteAndInfiniteMatricesHaveNoSolution() {
    #expect(
      LinearAlgebra.solve(positiveDefinite: [1, 2, 2, 1], size: 2, rightSides: [1, 1]) == nil)
    #expect(
      LinearAlgebra.solve(positiveDefinite: [.nan, 0, 0, 1], size: 2, rightSides: [1, 1]) == nil)
    #expect(LinearAlgebra.eigen(symmetric: [.infinity], size: 1) == nil)
    #expect(LinearAlgebra.pseudoInverse(symmetric: [.nan], size: 1) == nil)
    #expect(LinearAlgebra.inverseSquareRoot(symmetric: [.nan], size: 1) == nil)
  }

  @Test(arguments: [(4, 4), (20, 6), (40, 1)])
  func pseudoInverseFulfilsPenrose(_ n: Int, _ rank: Int) throws {
    let a = covariance(size: n, rank: rank)
    let inverse = try #require(LinearAlgebra.pseudoInverse(symmetric: a, size: n))
    let product = naive(a, inverse, n, n, n, false, false)
    expectClose(naive(product, a, n, n, n, false, false), a, 1e-8)
    expectClose(
      naive(inverse, product, n, n, n, false, false), inverse, 1e-8 * (inverse.map(abs).max() ?? 0))
    expectClose(
      product, LinearAlgebra.transposed(product, rows: n, columns: n), 1e-8)
  }

  @Test(arguments: [(6, 6), (30, 11)])
  func whiteningMakesTheIdentityOnTheRange(_ n: Int, _ rank: Int) throws {
    let a = covariance(size: n, rank: rank)
    let (whitening, unwhitening) = try #require(
      LinearAlgebra.inverseSquareRoot(symmetric: a, size: n))
    expectClose(naive(unwhitening, unwhitening, n, n, n, false, false), a, 1e-9)
    let white = naive(
      naive(whitening, a, n, n, n, false, false), whitening, n, n, n, false, false)
    let trace = (0..<n).reduce(0) { $0 + white[$1 * n + $1] }
    #expect(abs(trace - Double(rank)) < 1e-7)  // a projection: its trace is its rank
    expectClose(naive(white, white, n, n, n, false, false), white, 1e-7)
  }

  @Test func aZeroMatrixHasAZeroInverse() throws {
    #expect(LinearAlgebra.pseudoInverse(symmetric: [0, 0, 0, 0], size: 2) == [0, 0, 0, 0])
  }
}
