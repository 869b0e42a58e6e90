import Glibc

/// Numbers that follow from a seed, the same everywhere: SplitMix64 (Steele, Lea and Flood, 2014).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) {
    state = seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number from 0 to below 1, of 53 bits.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// An index below `count`.
  mutating func index(below count: Int) -> Int { Int(unit() * Double(count)) }

  /// A normally distributed number of mean 0 and variance 1 (Box and Muller, 1958).
  mutating func gaussian() -> Double {
    let radius = sqrt(-2 * log(1 - unit()))
    return radius * cos(2 * Double.pi * unit())
  }

  /// Unit vectors of n elements, in directions that are equally likely.
  mutating func unitVector(_ n: Int) -> [Double] {
    let vector = (0..<n).map { _ in gaussian() }
    let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return vector.map { $0 / norm }
  }
}
