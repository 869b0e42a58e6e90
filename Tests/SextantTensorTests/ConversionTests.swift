import CSextantKernels
import SextantTensor
import SextantTestSupport
import Testing

/// The value of a half with `exponentBits` and `mantissaBits`, by its definition; nil for NaN.
private func value(_ bits: UInt16, exponentBits: Int, mantissaBits: Int) -> Double? {
  let exponent = Int(bits >> mantissaBits) & (1 << exponentBits - 1)
  let mantissa = Double(Int(bits) & (1 << mantissaBits - 1)) / Double(1 << mantissaBits)
  let sign: Double = bits >> 15 == 1 ? -1 : 1
  let bias = 1 << (exponentBits - 1) - 1
  switch exponent {
  case 0: return sign * mantissa * Double(sign: .plus, exponent: 1 - bias, significand: 1)
  case 1 << exponentBits - 1: return mantissa == 0 ? sign * .infinity : nil
  default:
    return sign * (1 + mantissa) * Double(sign: .plus, exponent: exponent - bias, significand: 1)
  }
}

/// A 16-bit float format and its kernels.
private struct Half: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let exponentBits: Int
  let mantissaBits: Int
  let widen: @Sendable (KernelLevel, [UInt16]) -> [Float]
  let narrow: @Sendable (KernelLevel, [Float]) -> [UInt16]

  func value(_ bits: UInt16) -> Double? {
    SextantTensorTests.value(bits, exponentBits: exponentBits, mantissaBits: mantissaBits)
  }

  static let all = [
    Half(
      testDescription: "bf16", exponentBits: 8, mantissaBits: 7,
      widen: { level, x in
        [Float](unsafeUninitializedCapacity: x.count) {
          level.table.f32_from_bf16($0.baseAddress, x, x.count)
          $1 = x.count
        }
      },
      narrow: { level, x in
        [UInt16](unsafeUninitializedCapacity: x.count) {
          level.table.bf16_from_f32($0.baseAddress, x, x.count)
          $1 = x.count
        }
      }),
    Half(
      testDescription: "f16", exponentBits: 5, mantissaBits: 10,
      widen: { level, x in
        [Float](unsafeUninitializedCapacity: x.count) {
          level.table.f32_from_f16($0.baseAddress, x, x.count)
          $1 = x.count
        }
      },
      narrow: { level, x in
        [UInt16](unsafeUninitializedCapacity: x.count) {
          level.table.f16_from_f32($0.baseAddress, x, x.count)
          $1 = x.count
        }
      }),
  ]
}

@Suite struct ConversionTests {
  static let allBits = (0...UInt16.max).map { $0 }

  @Test(arguments: KernelLevel.available, Half.all)
  private func wideningIsExactForEveryValue(_ level: KernelLevel, _ half: Half) {
    let wide = half.widen(level, Self.allBits)
    let wrong = Self.allBits.filter { bits in
      let float = wide[Int(bits)]
      guard let exact = half.value(bits) else { return !float.isNaN }
      return Double(float) != exact || (float.sign == .minus) != (bits >> 15 == 1)
    }
    #expect(wrong.isEmpty)
  }

  @Test(arguments: KernelLevel.available, Half.all)
  private func narrowingUndoesWidening(_ level: KernelLevel, _ half: Half) {
    let back = half.narrow(level, half.widen(level, Self.allBits))
    let wrong = Self.allBits.filter { bits in
      // NaN comes back quiet, with its sign and the rest of its payload.
      let quiet = half.value(bits) == nil ? UInt16(1) << (half.mantissaBits - 1) : 0
      return back[Int(bits)] != bits | quiet
    }
    #expect(wrong.isEmpty)
  }

  @Test(arguments: KernelLevel.available, Half.all)
  private func narrowingRoundsToNearestEven(_ level: KernelLevel, _ half: Half) {
    // Around the midpoint of each value and the next; beyond the largest, "next" is 2^(max + 1).
    let infinity = UInt16((1 << half.exponentBits - 1) << half.mantissaBits)
    var inputs: [Float] = []
    var expected: [UInt16] = []
    for bits in 0..<infinity {
      guard let low = half.value(bits) else { continue }
      let step = low - (bits == 0 ? -(half.value(1) ?? 0) : half.value(bits - 1) ?? 0)
      let isPower = bits & (1 << half.mantissaBits - 1) == 0 && bits >> half.mantissaBits > 1
      let next = bits + 1 == infinity ? low + step : half.value(bits + 1) ?? 0
      #expect(next > low || isPower)
      let middle = Float((low + next) / 2)
      guard Double(middle) == (low + next) / 2 else { continue }
      inputs += [middle.nextDown, middle, middle.nextUp]
      expected += [bits, bits % 2 == 0 ? bits : bits + 1, bits + 1]
    }
    #expect(inputs.count > 90_000)
    #expect(half.narrow(level, inputs) == expected)
    #expect(half.narrow(level, inputs.map { -$0 }) == expected.map { $0 | 0x8000 })
  }

  @Test(arguments: KernelLevel.available, Half.all)
  private func narrowingOverflowsToInfinityAndKeepsNaN(_ level: KernelLevel, _ half: Half) {
    let infinity = UInt16((1 << half.exponentBits - 1) << half.mantissaBits)
    let overflowing: [Float] = [.infinity, .greatestFiniteMagnitude, -.infinity]
    #expect(half.narrow(level, overflowing) == [infinity, infinity, infinity | 0x8000])
    // A payload that the narrowing cuts off must not turn NaN into infinity.
    let nans = [0x7f80_0001, 0x7fc0_0000, 0xff80_0001, 0x7fff_ffff].map(Float.init(bitPattern:))
    #expect(half.narrow(level, nans).allSatisfy { half.value($0) == nil })
    #expect(half.narrow(level, [0, -0.0, .leastNonzeroMagnitude]) == [0, 0x8000, 0])
  }

  @Test(arguments: Half.all)
  private func levelsAgreeOnAnyBits(_ half: Half) throws {
    var random = SplitMix64(seed: 4)
    let inputs = (0..<100_000).map { _ in
      Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
    }
    let portable = half.narrow(try #require(KernelLevel(SXK_PORTABLE)), inputs)
    for level in KernelLevel.available { #expect(half.narrow(level, inputs) == portable) }
  }

  @Test(arguments: KernelLevel.available, Half.all)
  private func oddSizesTouchNothingBeyondTheEnd(_ level: KernelLevel, _ half: Half) {
    let inputs = (0..<300).map { Float($0) * 0.25 }
    let all = half.narrow(level, inputs)
    for size in oddSizes {
      #expect(half.narrow(level, Array(inputs[..<size])) == Array(all[..<size]))
      #expect(half.widen(level, Array(all[..<size])) == Array(half.widen(level, all)[..<size]))
    }
  }

  @Test func tensorsConvertBetweenAllFloatingPointTypes() throws {
    let values: [Float] = [0, 1, -2.5, 0.375, 1024]  // exact in every type
    let tensor = Tensor(values, shape: [5, 1])
    for a in [DataType.f64, .f32, .f16, .bf16] {
      for b in [DataType.f64, .f32, .f16, .bf16] {
        let there = try #require(tensor.converted(to: a)?.converted(to: b))
        #expect(there.dataType == b)
        #expect(there.converted(to: .f32) == tensor)
      }
    }
    #expect(tensor.converted(to: .i32) == nil)
    #expect(Tensor(zeros: [2], dataType: .u8).converted(to: .f32) == nil)
  }

  @Test func f64RoundsToNearest() throws {
    var doubles = Tensor(zeros: [2], dataType: .f64)
    doubles.withMutableDoubles {
      $0[0] = 1 + 0x1p-24
      $0[1] = 0.1
    }
    #expect(try #require(doubles.converted(to: .f32)).values == [1, 0.1])
    #expect(doubles.withDoubles { $0[1] } == 0.1)
  }
}
