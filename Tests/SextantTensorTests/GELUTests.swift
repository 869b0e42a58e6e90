import Glibc
import SextantTestSupport
import Testing

/// The activations of perceptrons. Their error is small compared with the result everywhere.
@Suite struct GELUTests {
  private static func exact(_ x: Double) -> Double { x * 0.5 * erfc(-x / 2.0.squareRoot()) }

  private static func approximate(_ x: Double) -> Double {
    let u = (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
    return x / (1 + exp(-2 * u))
  }

  @Test(arguments: KernelLevel.available)
  func theRelativeErrorStaysWithinItsBound(_ level: KernelLevel) {
    let inputs = (0...80_000).map { -10 + 20 * Float($0) / 80_000 }
    var outputs = inputs
    level.table.gelu(&outputs, inputs, inputs.count)
    for (x, y) in zip(inputs, outputs) {
      let expected = Self.exact(Double(x))
      #expect(abs(Double(y) - expected) <= (6e-7 + 4e-8 * Double(x * x)) * abs(expected), "\(x)")
    }
    level.table.gelu_tanh(&outputs, inputs, inputs.count)
    // Below -6 the approximation's own sigmoid is beyond single precision.
    for (x, y) in zip(inputs, outputs) where x > -6 {
      let expected = Self.approximate(Double(x))
      #expect(abs(Double(y) - expected) <= (6e-7 + 2e-7 * Double(x * x)) * abs(expected), "\(x)")
    }
  }

  @Test(arguments: KernelLevel.available)
  func specialInputsGiveTheirResults(_ level: KernelLevel) {
    for kernel in [level.table.gelu, level.table.gelu_tanh] {
      for count in [1, 16, 19] {
        func result(_ x: Float) -> Float {
          let inputs = [Float](repeating: x, count: count)
          var outputs = inputs
          kernel?(&outputs, inputs, count)
          return outputs[count - 1]
        }
        #expect(result(0) == 0)
        #expect(result(.infinity) == .infinity)
        #expect(result(.nan).isNaN)
        #expect(result(20) == 20)
        #expect(abs(result(-20)) < 1e-30)
      }
    }
  }
}
