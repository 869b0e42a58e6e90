import Glibc

/// Numbers that follow from a seed, the same everywhere: SplitMix64 (Steele, Lea and Flood, 2014).
package struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// A generator that starts from `seed`.
  package init(seed: UInt64) {
    state = seed
  }

  /// The next 64 bits.
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mixed(state)
  }

  /// The bits of a number, mixed so that they look random: it makes numbers from the state.
  package static func mixed(_ value: UInt64) -> UInt64 {
    var z = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number from 0 to below 1, of 53 bits.
  package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// An index below `count`.
  package mutating func index(below count: Int) -> Int { Int(unit() * Double(count)) }

  /// A normally distributed number of mean 0 and variance 1 (Box and Muller, 1958).
  package mutating func gaussian() -> Double {
    let radius = sqrt(-2 * log(1 - unit()))
    return radius * cos(2 * Double.pi * unit())
  }

  /// Unit vectors of n elements, in directions that are equally likely.
  package mutating func unitVector(_ n: Int) -> [Double] {
    let vector = (0..<n).map { _ in gaussian() }
    let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return vector.map { $0 / norm }
  }
}
