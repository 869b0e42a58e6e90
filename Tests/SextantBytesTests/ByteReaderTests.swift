import SextantBytes
import SextantTestSupport
import Testing

@Test func readsLittleEndianNumbers() throws {
  let reader = ByteReader([1, 2, 3, 4, 5, 6, 7, 8, 0xFF])
  #expect(try reader.unsigned(at: 0, byteCount: 1) == 1)
  #expect(try reader.unsigned(at: 0, byteCount: 2) == 0x0201)
  #expect(try reader.unsigned(at: 0, byteCount: 8) == 0x0807_0605_0403_0201)
  #expect(try reader.unsigned(at: 8, byteCount: 1) == 255)
  #expect(try reader.slice(at: 9, count: 0).isEmpty)
  #expect(try Array(reader.slice(at: 7, count: 2)) == [8, 0xFF])
  #expect(UInt64(0x0807_0605_0403_0201).littleEndianBytes == [1, 2, 3, 4, 5, 6, 7, 8])
  #expect((-2 as Int16).littleEndianBytes == [0xFE, 0xFF])
}

@Test(
  arguments: [
    (0, 10), (9, 1), (10, 0), (-1, 1), (0, -1), (1, .max), (.max, 1), (.max, .max), (.min, .max),
    (.min, .min), (9, .min),
  ] as [(Int, Int)])
func refusesBytesThatAreNotThere(_ offset: Int, _ count: Int) {
  let reader = ByteReader([UInt8](repeating: 0, count: 9), baseOffset: 100, file: "f")
  let refusal = expectRefusal(.fileTooShort) { try reader.slice(at: offset, count: count) }
  #expect(refusal?.file == "f")
  #expect(refusal?.place == .offset(100 &+ offset))
}

@Test func exactStringsCompareBytes() {
  #expect(ExactString("\u{E9}") != ExactString("e\u{301}"))
  #expect("\u{E9}" == "e\u{301}")
  #expect(ExactString("abc") == ExactString("abc"))
  #expect(Set([ExactString("\u{E9}"), ExactString("e\u{301}"), ExactString("\u{E9}")]).count == 2)
  #expect(ExactString("Z") < ExactString("a"))
  #expect(ExactString("\u{FF61}") < ExactString("\u{1F600}"))
}
