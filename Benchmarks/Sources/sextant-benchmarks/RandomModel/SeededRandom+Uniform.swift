import SextantTensor

extension SeededRandom {
  /// A number from 0 up to, but not including, 1.
  mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-24 }
}
