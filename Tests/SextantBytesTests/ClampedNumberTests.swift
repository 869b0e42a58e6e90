import SextantBytes
import Testing

@Suite struct ClampedNumberTests {
  @Test func whateverIsNoWholeNumberBecomesTheNearestOne() {
    #expect(Int(clamping: 2.75) == 2 && Int(clamping: -2.75) == -2 && Int(clamping: -0.0) == 0)
    #expect(Int(clamping: Double.nan) == 0 && Int(clamping: Float.signalingNaN) == 0)
    #expect(Int(clamping: Double.infinity) == .max && Int(clamping: -Float.infinity) == .min)
    #expect(Int(clamping: 1e19) == .max && Int(clamping: Float(-1e19)) == .min)
    #expect(Int(clamping: 0x1p63) == .max && Int(clamping: -0x1p63) == .min)
    #expect(Int(clamping: 0x1p62) == 1 << 62)
    #expect(UInt8(clamping: 255.9) == 255 && UInt8(clamping: 256.0) == 255)
    #expect(UInt8(clamping: -0.5) == 0 && UInt8(clamping: -7.0) == 0)
    #expect(Int64(clamping: Float16.greatestFiniteMagnitude) == 65504)
  }
}
