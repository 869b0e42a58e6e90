import SextantBytes
import SextantTestSupport
import Testing

@Test(
  arguments: [
    // Syntax.
    ("", .jsonInvalid), (" ", .jsonInvalid), ("{", .jsonInvalid), ("[1", .jsonInvalid),
    ("[1,", .jsonInvalid), ("{\"a\":1, ", .jsonInvalid),
    ("{\"a\"}", .jsonInvalid), ("{\"a\":}", .jsonInvalid), ("{\"a\" 1}", .jsonInvalid),
    ("{a:1}", .jsonInvalid), ("{'a':1}", .jsonInvalid), ("{1:1}", .jsonInvalid),
    ("[1 2]", .jsonInvalid), ("[,]", .jsonInvalid), ("{,}", .jsonInvalid), ("[1,,2]", .jsonInvalid),
    ("nul", .jsonInvalid), ("True", .jsonInvalid), ("NaN", .jsonInvalid),
    ("Infinity", .jsonInvalid),
    ("-", .jsonInvalid), ("+1", .jsonInvalid), (".5", .jsonInvalid), ("1.", .jsonInvalid),
    ("1e", .jsonInvalid), ("1e+", .jsonInvalid), ("-Infinity", .jsonInvalid),
    ("// comment\n1", .jsonInvalid), ("[1]]", .jsonTrailing), ("undefined", .jsonInvalid),
    // Strings.
    ("\"a", .jsonInvalid), ("\"a\nb\"", .jsonInvalid), ("\"a\u{0}b\"", .jsonInvalid),
    ("\"\\x41\"", .jsonInvalid), ("\"\\u12\"", .jsonInvalid), ("\"\\u12G4\"", .jsonInvalid),
    ("\"\\", .jsonInvalid), ("\"\\u", .jsonInvalid), ("\"\\uD83D\\", .jsonEncoding),
    ("\"\\uD800\"", .jsonEncoding), ("\"\\uDC00\"", .jsonEncoding),
    ("\"\\uD800\\uD800\"", .jsonEncoding), ("\"\\uD800x\"", .jsonEncoding),
    ("\"\\uDC00\\uD800\"", .jsonEncoding), ("\"\\uD83D\\n\"", .jsonEncoding),
    // Numbers.
    ("-0", .jsonNumber), ("[-0]", .jsonNumber), ("00", .jsonNumber), ("01", .jsonNumber),
    ("-01", .jsonNumber), ("01.5", .jsonNumber), ("9223372036854775808", .jsonNumber),
    ("-9223372036854775809", .jsonNumber), ("1e400", .jsonNumber), ("-1e400", .jsonNumber),
    ("99999999999999999999999999", .jsonNumber),
    // After the value.
    ("{},", .jsonTrailing), ("{}{}", .jsonTrailing), ("1 2", .jsonTrailing),
    ("{}\u{0}", .jsonTrailing), ("{} x", .jsonTrailing), ("[1,]", .jsonTrailing),
    ("{\"a\":1,}", .jsonTrailing), ("[1, ]", .jsonTrailing), ("{}\u{A0}", .jsonTrailing),
    // Duplicate keys, at any depth and in any spelling.
    ("{\"a\":1,\"a\":1}", .jsonDuplicateKey), ("{\"a\":1,\"\\u0061\":1}", .jsonDuplicateKey),
    ("[[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]]", .jsonDuplicateKey),
    ("{\"\":1,\"\":2}", .jsonDuplicateKey),
    // A byte-order mark.
    ("\u{FEFF}{}", .jsonEncoding),
  ] as [(String, Refusal.Code)])
func refusesText(_ text: String, _ code: Refusal.Code) {
  expectRefusal(code) { try JSONValue(parsing: Array(text.utf8)) }
}

@Test(
  arguments: [
    [0xFE, 0xFF, 0, 0x7B, 0, 0x7D],  // UTF-16, big end first, with a mark
    [0xFF, 0xFE, 0x7B, 0, 0x7D, 0],  // little end first
    [0, 0x7B, 0, 0x7D], [0x7B, 0, 0x7D, 0],  // without a mark
    [0xFF, 0xFE, 0, 0, 0x7B, 0, 0, 0], [0x7B, 0, 0, 0, 0x7D, 0, 0, 0],  // UTF-32
    [0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0x22, 0x80, 0x22],  // not UTF-8 in a string
    [0x22, 0xC0, 0x80, 0x22],  // NUL in two bytes
    [0x22, 0xED, 0xA0, 0x80, 0x22],  // a surrogate in UTF-8
    [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],  // beyond U+10FFFF
  ] as [[UInt8]])
func refusesOtherEncodings(_ bytes: [UInt8]) {
  expectRefusal(.jsonEncoding) { try JSONValue(parsing: bytes) }
}

@Test(
  arguments: [
    ("0", 0), ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
    ("1.0", .number(1)), ("1e3", .number(1000)), ("-0.0", .number(0)), ("2.5E-1", .number(0.25)),
    ("0e0", .number(0)), ("true", true), ("false", false), ("null", nil), ("\"\"", ""), ("[]", []),
    ("{}", [:]), (" \t\r\n[ 1 , \"a\" ]\n", [1, "a"]),
    ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\u{8}\u{C}\n\r\t"), ("\"\\u00e9\\u0000\"", "é\u{0}"),
    ("\"\\uD83D\\uDE00\\ud83d\\ude00\"", "😀😀"), ("\"\u{7F}\u{2028}\"", "\u{7F}\u{2028}"),
    ("{\"b\":1,\"a\":[{}]}", ["b": 1, "a": [[:]]]), ("\"\u{FEFF}\"", "\u{FEFF}"),
  ] as [(String, JSONValue)])
func readsText(_ text: String, _ value: JSONValue) throws {
  #expect(try JSONValue(parsing: Array(text.utf8)) == value)
}

@Test func keysThatDifferInNormalisationStayApart() throws {
  let text = "{\"\u{E9}\":1,\"e\u{301}\":2}"
  guard case .object(let object) = try JSONValue(parsing: Array(text.utf8)) else {
    Issue.record("no object")
    return
  }
  #expect(object.members.map(\.value) == [1, 2])
  #expect(object["\u{E9}"] == 1)
  #expect(object["e\u{301}"] == 2)
}

@Test(arguments: [1, 8, 9, 40])
func objectsFindReplaceAndRemoveMembersWhateverTheirSize(_ count: Int) {
  var object = JSONObject((0..<count).map { ("k\($0)", .integer(Int64($0))) })
  #expect(object.members.map(\.key) == (0..<count).map { "k\($0)" })
  for index in 0..<count { #expect(object["k\(index)"] == .integer(Int64(index))) }
  object["k0"] = "new"
  object["k\(count)"] = true
  #expect(object.members.first?.value == "new")
  #expect(object.members.count == count + 1)
  object["k0"] = nil
  object["absent"] = nil
  #expect(object["k0"] == nil)
  #expect(object.members.map(\.key) == (1...count).map { "k\($0)" })
  for index in 1..<count { #expect(object["k\(index)"] == .integer(Int64(index))) }
  #expect(JSONObject(object.members.reversed().map { ($0.key, $0.value) }) == object)
}

// MARK: Limits

@Test func nestingIsBounded() throws {
  func nested(_ depth: Int) -> [UInt8] {
    [UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth)
  }
  _ = try JSONValue(parsing: nested(32))
  expectRefusal(.jsonDepth) { try JSONValue(parsing: nested(33)) }
  expectRefusal(.jsonDepth) { try JSONValue(parsing: [UInt8](repeating: 0x5B, count: 1_000_000)) }
  let objects = String(repeating: "{\"a\":", count: 33) + "1" + String(repeating: "}", count: 33)
  expectRefusal(.jsonDepth) { try JSONValue(parsing: Array(objects.utf8)) }
}

@Test func lengthsAreBounded() throws {
  func quoted(_ count: Int) -> [UInt8] { [0x22] + [UInt8](repeating: 0x61, count: count) + [0x22] }
  _ = try JSONValue(parsing: quoted(65_536))
  expectRefusal(.jsonTooLong) { try JSONValue(parsing: quoted(65_537)) }
  _ = try JSONValue(parsing: quoted(70_000), limits: JSONLimits(stringByteCount: 70_000))
  let spaces = [UInt8](repeating: 0x20, count: 100) + [0x31]
  expectRefusal(.jsonTooLong) { try JSONValue(parsing: spaces, limits: JSONLimits(byteCount: 100)) }
}

@Test func theNumberOfValuesIsBounded() throws {
  let text = Array("{\"a\":[1,[],{}]}".utf8)
  _ = try JSONValue(parsing: text, limits: JSONLimits(valueCount: 5))
  expectRefusal(.jsonTooLong) { try JSONValue(parsing: text, limits: JSONLimits(valueCount: 4)) }
}

@Test func refusalsSayWhereInTheFile() {
  let refusal = expectRefusal(.jsonDuplicateKey) {
    try JSONValue(parsing: Array("{\"a\":1,\"a\":2}".utf8), baseOffset: 8, file: "m.json")
  }
  #expect(refusal?.place == .offset(15))
  #expect(refusal?.file == "m.json")
}

@Test func damagedTextNeverCrashesTheParser() {
  let text = Array(#"{"a":[1,-2.5e3,"\u00e9\uD83D\uDE00",null,true],"é":{"b":{}}}"#.utf8)
  for count in 0..<text.count {
    #expect(throws: Refusal.self) { try JSONValue(parsing: Array(text.prefix(count))) }
  }
  var accepted = 0
  for position in text.indices {
    for bit in 0..<8 {
      var damaged = text
      damaged[position] ^= 1 << bit
      if (try? JSONValue(parsing: damaged)) != nil { accepted += 1 }
    }
  }
  #expect(accepted > 0 && accepted < text.count * 8)
}

@Test func readsPythonsInfinityOnlyWhereItIsAskedFor() throws {
  let text = Array("{\"time_step_limit\": [0.0, Infinity]}".utf8)
  let expected: JSONValue = ["time_step_limit": [0.0, ["__float__": "Infinity"]]]
  #expect(try JSONValue(parsing: text, acceptsInfinity: true) == expected)
  expectRefusal(.jsonInvalid) { try JSONValue(parsing: text) }
  expectRefusal(.jsonInvalid) {
    try JSONValue(parsing: Array("[-Infinity]".utf8), acceptsInfinity: true)
  }
}

@Test func halfOfASurrogatePairIsNamed() {
  let refusal = expectRefusal(.jsonEncoding) {
    try JSONValue(parsing: Array("{\"a\": \"\\ud83d\"}".utf8))
  }
  #expect(refusal?.found.contains("half of a surrogate pair") == true)
  #expect(refusal?.remedy.contains("byte-order mark") == false)
}

@Test func whatIsKeptVerbatimIsWrittenAsJSON() throws {
  let text = "{\"a\":9223372036854775808,\"b\":NaN,\"c\":[\"\\ud83d\"],\"d\":-0}"
  let value = try JSONValue(parsing: Array(text.utf8), keepsVerbatim: true)
  #expect(value.canonicalText == "{\"a\":9223372036854775808,\"b\":null,\"c\":[null],\"d\":-0}")
  #expect(
    value == [
      "a": .verbatim("9223372036854775808"), "b": .verbatim("NaN"),
      "c": [.verbatim("\"\\ud83d\"")], "d": .verbatim("-0"),
    ])
  // Values of the strict profile do not change.
  let plain = Array("[1, -2.5, \"\\ud83d\\ude00\", null, {\"a\": true}]".utf8)
  #expect(try JSONValue(parsing: plain, keepsVerbatim: true) == JSONValue(parsing: plain))
}
