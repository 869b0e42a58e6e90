import SextantBytes
import SextantTestSupport
import Testing

@Test(
  arguments: [
    (["b": 1, "a": [true, nil], "é": "x"], #"{"a":[true,null],"b":1,"é":"x"}"#),
    (["a": .number(2), "B": .number(0.1), "A": .number(1e300)], #"{"A":1e+300,"B":0.1,"a":2.0}"#),
    (
      [.number(-0.0), .number(.leastNonzeroMagnitude), .integer(.min)],
      "[0.0,5e-324,-9223372036854775808]"
    ),
    ("\"\\/\n\r\t\u{8}\u{0}\u{7F}\u{1F600}", #""\"\\/\n\r\t\u0008\u0000\u007f😀""#),
    ([.number(.nan), .number(.infinity), .number(-.infinity)], "[null,null,null]"),
    ([:], "{}"), ([], "[]"),
  ] as [(JSONValue, String)])
func writesCanonicalText(_ value: JSONValue, _ text: String) {
  #expect(value.canonicalText == text)
  #expect(value.canonicalBytes == Array(text.utf8))
}

@Test func canonicalKeysAreSortedByTheirBytes() {
  // U+FF61 sorts before U+1F600 in UTF-8 and after it in UTF-16.
  let value = JSONValue.object(JSONObject([("\u{1F600}", 1), ("\u{FF61}", 2), ("a", 3), ("Z", 4)]))
  #expect(value.canonicalText == "{\"Z\":4,\"a\":3,\"\u{FF61}\":2,\"\u{1F600}\":1}")
}

@Test func prettyTextKeepsOrderAndPutsPlainArraysOnOneLine() {
  let value: JSONValue = ["shape": [2, 3], "rows": [["a": 1]], "empty": [:]]
  #expect(
    value.prettyText == """
      {
        "shape": [2, 3],
        "rows": [
          {
            "a": 1
          }
        ],
        "empty": {}
      }
      """)
}

@Test(arguments: 0..<20)
func writtenTextReadsBackEqual(_ seed: Int) throws {
  var numbers = SplitMix64(seed: UInt64(seed))
  for _ in 0..<20 {
    let value = randomValue(depth: 4, &numbers)
    #expect(try JSONValue(parsing: value.canonicalBytes) == value)
    #expect(try JSONValue(parsing: Array(value.prettyText.utf8)) == value)
    let again = try JSONValue(parsing: Array(value.prettyText.utf8))
    #expect(again.canonicalText == value.canonicalText)
  }
}

private func randomValue(depth: Int, _ numbers: inout SplitMix64) -> JSONValue {
  switch numbers.int(below: depth == 0 ? 5 : 7) {
  case 0: return nil
  case 1: return .boolean(numbers.next() & 1 == 0)
  case 2: return .integer(Int64(truncatingIfNeeded: numbers.next() >> numbers.int(below: 64)))
  case 3:
    let number = Double(bitPattern: numbers.next())
    return .number(number.isFinite ? number : 0)
  case 4: return .string(randomText(&numbers))
  case 5:
    return .array((0..<numbers.int(below: 4)).map { _ in randomValue(depth: depth - 1, &numbers) })
  default:
    var object = JSONObject()
    for _ in 0..<numbers.int(below: 12) {
      object[randomText(&numbers)] = randomValue(depth: depth - 1, &numbers)
    }
    return .object(object)
  }
}

private func randomText(_ numbers: inout SplitMix64) -> String {
  var text = ""
  for _ in 0..<numbers.int(below: 6) {
    let limits: [UInt32] = [0x80, 0x800, 0x11_0000]
    let value = UInt32(truncatingIfNeeded: numbers.next()) % limits[numbers.int(below: 3)]
    if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
  }
  return text
}
