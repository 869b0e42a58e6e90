import SextantBytes
import SextantTestSupport
import Testing

private let document = #"{"a/b":{"~":[1,"x",2.5,-3,true,null]},"big":9223372036854775807}"#

private func root() throws(Refusal) -> JSONNode {
  try JSONNode(parsing: Array(document.utf8), code: .artifactSchema, file: "a.json")
}

@Test func readsValuesOfTheRightType() throws {
  let elements = try root().member("a/b").member("~").elements()
  #expect(try elements[0].integer() == 1)
  #expect(try elements[1].string() == "x")
  #expect(try elements[2].number() == 2.5)
  #expect(try elements[0].number() == 1)
  #expect(try elements[3].integer(in: -3...0) == -3)
  #expect(try elements[4].boolean())
  #expect(try root().optionalMember("absent")?.value == nil)
  #expect(try root().member("big").integer() == .max)
  #expect(try root().members().map(\.key) == ["a/b", "big"])
}

@Test func refusalsCarryTheEscapedPointer() throws {
  let element = try root().member("a/b").member("~").elements()[1]
  #expect(element.pointer == "/a~1b/~0/1")
  let refusal = expectRefusal(.artifactSchema) { try element.integer() }
  #expect(refusal?.place == .pointer("/a~1b/~0/1"))
  #expect(refusal?.file == "a.json")
  #expect(refusal?.found == "\"x\"")
}

@Test func refusesValuesOfTheWrongType() throws {
  let elements = try root().member("a/b").member("~").elements()
  let node = try root()
  expectRefusal(.artifactSchema) { try elements[2].integer() }
  expectRefusal(.artifactSchema) { try elements[3].integer() }
  expectRefusal(.artifactSchema) { try elements[0].integer(in: 2...5) }
  expectRefusal(.artifactSchema) { try elements[0].string() }
  expectRefusal(.artifactSchema) { try elements[1].number() }
  expectRefusal(.artifactSchema) { try elements[0].boolean() }
  expectRefusal(.artifactSchema) { try elements[0].elements() }
  expectRefusal(.artifactSchema) { try elements[5].object() }
  expectRefusal(.artifactSchema) { try node.member("absent") }
  expectRefusal(.artifactSchema) { try node.allowOnly(["big"]) }
  try node.allowOnly(["big", "a/b", "more"])
  expectRefusal(.jsonNotObject) {
    try JSONNode(parsing: [0x5B, 0x5D], code: .jsonInvalid, file: nil)
  }
}

@Test func membersThatNothingAsksForAreKnown() throws {
  let text = #"{"a": 1, "b": {"c": 2, "d/e": {"f": 3}}, "g": null, "h": [], "i": {}, "j": 4}"#
  let reads = JSONReads()
  let node = try JSONNode(
    parsing: Array(text.utf8), code: .modelConfiguration, file: nil, reads: reads)
  #expect(node.unreadMembers(except: []) == ["a", "b", "j"])
  _ = try node.member("b").member("d/e").optionalMember("absent")
  #expect(node.unreadMembers(except: ["a"]) == ["b.c", "b.d/e.f", "j"])
  #expect(node.unreadMembers(except: ["b.c", "b.d/e.f"]) == ["a", "j"])
  _ = try node.unnoted.member("a").integer()
  try node.noteAll(of: "b")
  #expect(node.unreadMembers(except: []) == ["a", "j"])
  // A node without an observer records nothing.
  #expect(node.unnoted.unreadMembers(except: []).isEmpty)
}

@Test func aMemberThatIsNullIsNotCalledAbsent() throws {
  let node = JSONNode(["a": nil], code: .dataRecord, file: nil)
  let refusal = expectRefusal(.dataRecord) { try node.member("a") }
  #expect(refusal?.found == "null as the member \"a\"" && refusal?.expected == "a value")
  let absent = expectRefusal(.dataRecord) { try node.member("b") }
  #expect(absent?.found == "no member \"b\"")
}

@Test(arguments: [
  (0, "0 tokens", "0 classes"), (1, "1 token", "1 class"), (2, "2 tokens", "2 classes"),
  (999, "999 tokens", "999 classes"), (1000, "1,000 tokens", "1,000 classes"),
  (-12_345_678, "-12,345,678 tokens", "-12,345,678 classes"),
  (Int.min, "-9,223,372,036,854,775,808 tokens", "-9,223,372,036,854,775,808 classes"),
])
func countsAgreeWithTheirNouns(count: Int, first: String, second: String) {
  #expect(counted(count, "token") == first)
  #expect(counted(count, "class", plural: "classes") == second)
}
