import SextantBytes
import SextantTestSupport
import SextantTexts
import Testing

/// From a text to its records.
@Suite struct TextRecordsTests {
  private let fields = ["a", "statement"]

  private func records(
    _ text: String, named path: String = "records", acceptsText: Bool = false
  ) throws(Refusal) -> TextRecords {
    try TextRecords(
      TextFile(Array(text.utf8), path: path), fields: fields, acceptsText: acceptsText)
  }

  /// The values of the field `a`, or the records that are strings, with their lines.
  private func values(_ records: TextRecords) throws -> [String] {
    try records.map { record, line throws(Refusal) in
      let value =
        if case .string(let text) = record.value { text } else {
          try record.field("a").string()
        }
      return line.map { "\($0):\(value)" } ?? value
    }
  }

  // MARK: Forms

  private static let forms: [(text: String, expected: [String])] = [
    // JSON lines
    ("{\"a\":\"x\"}\n{\"a\":\"y\"}\n", ["1:x", "2:y"]),
    ("{\"a\":\"x\"}\n{\"a\":\"y\"}", ["1:x", "2:y"]),
    ("\n  \n { \"a\" : \"x\" } \n\n\t{\"a\":\"y\"}\r\n \n", ["3:x", "5:y"]),
    ("\u{FEFF}{\"a\":\"x\"}\r\n{\"a\":\"y\"}\r\n", ["1:x", "2:y"]),
    ("{\"a\":\"}\\\"{\"}\n", ["1:}\"{"]),
    ("\"x\"\n\"y\"\n", ["1:x", "2:y"]), ("\"x\"\n{\"a\":\"y\"}", ["1:x", "2:y"]),
    // Objects over several lines
    ("{\n  \"a\": \"x\"\n}\n{\n  \"a\": \"{[\\\"\"\n}\n", ["1:x", "4:{[\""]),
    ("\n{\n\n \"a\": \"x\", \"b\": [\n1\n]}\n{\"a\": \"y\"}\n", ["2:x", "7:y"]),
    // Arrays
    ("[{\"a\":\"x\"},{\"a\":\"y\"}]", ["x", "y"]), (" \n[\n{\"a\":\"x\"}\n]\n", ["x"]),
    ("[\"x\", \"y\"]", ["x", "y"]), ("[]", []),
    // An array in an object
    ("{\"version\": 1, \"data\": [{\"a\":\"x\"},{\"a\":\"y\"}]}", ["x", "y"]),
    ("{\n\"data\": [\n{\"a\":\"x\"}]}\n", ["x"]),
    // Tables
    ("a,b\nx,1\ny,2\n", ["2:x", "3:y"]), ("b;a\n1;x\n2;y", ["2:x", "3:y"]),
    ("b\ta\n1\tx\n", ["2:x"]), ("b|a\n1|x\n", ["2:x"]), ("\u{FEFF}a,b\r\nx,1\r\n", ["2:x"]),
    ("\"a\",\"b\"\n\"x\",\"1\"\n", ["2:x"]), (" a , b \nx,1\n", ["2:x"]),
    // White space in the header is a habit of the whole table, except in quotes.
    ("b, a\n1, x y \n2,\" y\"\n", ["2:x y", "3: y"]), ("b,a\n1, x\n", ["2: x"]),
    ("a\nx\n", ["2:x"]),
    ("sep=;\na;b\nx;1\n", ["3:x"]), ("\n\na,b\n\nx,1\n", ["5:x"]),
    ("a,b\n\"x\ny\",1\nz,2\n", ["2:x\ny", "4:z"]), ("a,b\n\"x, \"\"y\"\"\",1\n", ["2:x, \"y\""]),
    ("a;b\n1,5;2\n", ["2:1,5"]), (",a,\n0,x,\n,,\n1,y,\n", ["2:x", "4:y"]),
    // A text of white space has no records, in any form.
    ("\n \t\r\n", []),
  ]

  @Test(arguments: forms)
  func everyFormGivesItsRecords(text: String, expected: [String]) throws {
    #expect(try values(records(text)) == expected)
    // The name does not matter. It also does not matter whether plain text is accepted.
    for name in ["a.txt", "a.csv", "a.JSON", "a"] {
      #expect(try values(records(text, named: name)) == expected, "\(name)")
    }
    if !text.hasPrefix("a\n") {
      #expect(try values(records(text, acceptsText: true)) == expected)
    }
  }

  @Test(arguments: [
    "One film.\n\n Two films. \n", "[INST] one [/INST]\n", "[1] one\n", "{one}\n", "{ 'a': 1 }\n",
    "\"One.\"\n\"Two,\" he said.\n", "a\nx\n", "a, b\nx\n", "b,c\n1,2\n", "{{one}}\n", "\"a, b\n",
    "{\"One,\" he said.}\n", "{} is the empty set\n",
    "[\"One\"] he said.\n", "[[one]]\n", "{\"a\" is a letter}\n", "{\"a\": x}\n", "{\n  one\n}\n",
  ])
  func anythingElseIsLinesOfText(text: String) throws {
    let read = try records(text, acceptsText: true)
    #expect(read.form == .text)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    let expected = lines.filter { !$0.element.allSatisfy(\.isWhitespace) }
    #expect(try values(read) == expected.map { "\($0.offset + 1):\($0.element)" })
  }

  @Test func textInAFileNamedAsTextIsJSONOnlyAsAWhole() throws {
    let text = "{\"a\": \"x\"}\nis a record.\n"
    #expect(try records(text, named: "a.txt", acceptsText: true).form == .text)
    #expect(try records(text, named: "a.TXT.gz", acceptsText: true).form == .text)
    // Without such a name the second line is a broken record.
    let refusal = expectRefusal(.jsonInvalid) { try values(records(text, acceptsText: true)) }
    #expect(refusal?.place == .line(2))
  }

  @Test(arguments: ["{\"a\": \"x\"},\n{\"a\": \"y\"}\n", "{\"a\": \"x\"} {\"a\": \"y\"}\n"])
  func mistakesOfPeopleWhoMeanJSONAreNamed(text: String) throws {
    let refusal = expectRefusal(.jsonTrailing) { try values(records(text, acceptsText: true)) }
    #expect(refusal?.place == .line(1))
  }

  // MARK: Members that nobody asks for

  private static let verbatim = [
    "9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "-0", "1e999",
    "NaN", "Infinity", "-Infinity", "\"\\ud83d\"", "[NaN, {\"c\": \"\\udc00x\"}]",
  ]

  @Test(arguments: verbatim)
  func aValueThatTheProfileDoesNotHaveMattersOnlyWhereItIsUsed(value: String) throws {
    for text in ["{\"b\":\(value),\"a\":\"x\"}\n", "[{\"a\":\"x\",\"b\":\(value)}]"] {
      #expect(try values(records(text)).map { $0.suffix(1) } == ["x"])
    }
    let refusal = expectRefusal(.dataRecord) {
      try values(records("{\"a\":\"x\"}\n{\"a\":\(value)}\n"))
    }
    #expect(refusal?.place == .line(2))
    if !value.hasPrefix("[") { #expect(refusal?.found.contains(value) == true) }
  }

  @Test func halfOfASurrogatePairIsCalledSo() throws {
    for text in [#"{"a":"x\ud83d"}"#, #"[{"a":"x\ud83d"}]"#] {
      let refusal = expectRefusal(.dataRecord) { try values(records(text)) }
      #expect(
        refusal?.found.hasPrefix("half of a surrogate pair, which is not a character, in ") == true)
      #expect(refusal?.expected.hasPrefix("both halves") == true)
      #expect(refusal?.remedy.contains("cut inside") == true)
    }
  }

  @Test func integersOf65BitsAreNumbers() throws {
    let numbers = try records("{\"a\":9223372036854775808}\n{\"a\":-0}\n").map {
      record, _ throws(Refusal) in try record.field("a").number()
    }
    #expect(numbers == [0x1p63, 0])
    for value in ["NaN", "-Infinity", "1e999"] {
      let refusal = expectRefusal(.dataRecord) {
        try records("{\"a\":\(value)}").map { record, _ throws(Refusal) in
          try record.field("a").number()
        }
      }
      #expect(refusal?.expected == "a finite number")
    }
  }

  @Test(arguments: ["{\"\\ud83d\": 1}", "{\"a\": nan}", "{\"a\": -infinity}", "{\"a\": 01}"])
  func whatNoWriterOfRecordsWritesIsRefused(text: String) {
    #expect(throws: Refusal.self) { try values(records(text)) }
  }

  // MARK: Refusals

  @Test func aFieldThatIsNullIsNotCalledAbsent() {
    let refusal = expectRefusal(.dataRecord) { try values(records("{\"a\": null, \"b\": 1}\n")) }
    #expect(refusal?.found == "null in the field \"a\"" && refusal?.expected == "a value")
  }

  @Test func aBrokenStringInAFileNamedAsJSONIsNamed() throws {
    let text = "\"x\"\n\n\"y\n"
    let refusal = expectRefusal(.jsonInvalid) {
      try values(records(text, named: "a.jsonl", acceptsText: true))
    }
    #expect(refusal?.place == .line(3))
    #expect(try values(records(text, acceptsText: true)) == ["1:\"x\"", "3:\"y"])
  }

  @Test(arguments: [
    ("Once upon a time.\n", "begins \"Once upon a time.\""),
    ("\n{'a': 'x'}\n", "{'a': 'x'}"), ("b,c\n1,2\n", "\"b\", \"c\", separated by commas"),
    ("b;c;d\n1;2;3\n", "\"b\", \"c\", \"d\", separated by semicolons"),
    ("[1, 2]\n", "[1, 2]"), ("5\n", "5"),
  ])
  func textIsNamedWhereRecordsAreWanted(text: String, found: String) throws {
    let refusal = expectRefusal(.textKind) { try records(text) }
    #expect(refusal?.found.contains(found) == true, "\(String(describing: refusal))")
    #expect(refusal?.expected.contains("\"a\", \"statement\"") == true)
  }

  @Test(arguments: [
    ("b,c\n1,2\n", "a.csv"), ("One film.\n", "a.jsonl"), ("One film.\n", "a.NDJSON"),
    ("b;c\n1;2\n", "a.tsv.gz"), ("b,c\n1,2\n", "a.json"),
  ])
  func aNameThatPromisesRecordsIsNotReadAsText(text: String, name: String) throws {
    let refusal = expectRefusal(.textKind) { try records(text, named: name, acceptsText: true) }
    #expect(refusal?.found.contains("name promises") == true)
  }

  private static let badRecords: [(text: String, code: Refusal.Code, line: Int)] = [
    ("{\"a\":\"x\"},\n{\"a\":\"y\"}\n", Refusal.Code.jsonTrailing, 1),
    ("{\"a\":\"x\"}\n{\"a\":\"y\"}{\"a\":\"z\"}\n", .jsonTrailing, 2),
    ("{\"a\":\"x\"}\n{\"a\":\"y\"\n{\"a\":\"z\"}\n", .jsonInvalid, 2),
    ("{\"a\":\"x\"}\n{\"a\":\"y\n\"}\n", .jsonInvalid, 2),
    ("{\"a\":\"x\"}\nvoid\n", .jsonInvalid, 2),
    ("{\"a\":\"x\"}\n[1]\n", .dataRecord, 2), ("{\"a\":\"x\"}\n{\"a\":1}\n", .dataRecord, 2),
    ("{\"a\":\"x\"}\n{\"b\":\"y\"}\n", .dataRecord, 2),
    ("{\"a\":\"x\",\"a\":\"y\"}\n", .jsonDuplicateKey, 1),
    ("{\n\"a\": \"x\"\n}\n{\n\"a\": x\n}\n", .jsonInvalid, 5),
    ("{\n\"a\": \"x\"\n}\n{\n\"b\": 1\n}\n", .dataRecord, 4),
    ("[\n{\"a\":\"x\"},\n{\"a\":\"y\"},\n]\n", .jsonTrailing, 4),
    ("[{\"a\":\"x\"}]\n[{\"a\":\"y\"}]\n", .jsonTrailing, 2),
    ("{", .jsonInvalid, 1), ("[", .jsonInvalid, 1), ("{\"a\":\"\\ud800\"}", .dataRecord, 1),
    ("a,b\nx\n", .dataRecord, 2), ("a,b\nx,1,2\n", .dataRecord, 2),
    ("a,a\nx,y\n", .dataRecord, 1), ("a, a \nx,y\n", .dataRecord, 1),
    ("a,b\n\"x,1\n", .dataRecord, 2), ("a,b\n\"x\"y,1\n", .dataRecord, 2),
  ]

  @Test(arguments: badRecords)
  func badRecordsAreNamedByTheirLine(text: String, code: Refusal.Code, line: Int) throws {
    let refusal = expectRefusal(code) { try values(records(text)) }
    #expect(refusal?.place == .line(line) && refusal?.file == "records")
  }

  @Test func refusalsSayWhatToDo() throws {
    let comma = expectRefusal(.jsonTrailing) {
      try values(records("{\"a\":\"x\"},\n{\"a\":\"y\"},\n"))
    }
    #expect(comma?.found == "a comma after the record")
    let fields = expectRefusal(.dataRecord) {
      try values(records("{\"prompt\":\"x\",\"chosen\":\"y\"}\n"))
    }
    #expect(fields?.found.contains("\"prompt\", \"chosen\"") == true)
    #expect(fields?.expected == "a field \"a\"")
    let columns = expectRefusal(.dataRecord) { try values(records("a,b,b\nx,1,2\n")) }
    #expect(columns?.found == "two columns \"b\"")
  }

  @Test func placesInArraysAreJSONPointers() throws {
    for (text, pointer) in [
      ("[{\"a\":\"x\"},{\"a\":1}]", "/1/a"), ("{\"data\":[{\"a\":\"x\"},{\"a\":1}]}", "/data/1/a"),
    ] {
      let refusal = expectRefusal(.dataRecord) { try values(records(text)) }
      #expect(refusal?.place == .pointer(pointer))
    }
  }

  @Test func anObjectWithSeveralArraysOrAFieldOfRecordsIsARecord() throws {
    for text in [
      "{\"a\": \"x\", \"more\": [{\"a\": \"y\"}]}", "{\"a\": \"x\", \"choices\": [\"y\", \"z\"]}",
    ] {
      #expect(try values(records(text)) == ["1:x"])
    }
    expectRefusal(.dataRecord) {
      try values(records("{\"train\": [{\"a\": \"x\"}], \"test\": [{\"a\": \"y\"}]}"))
    }
  }

  // MARK: Prompts

  @Test func promptsComeInEveryForm() throws {
    for text in [
      "One\n\nTwo\n", "\"One\"\n\"Two\"\n", "[\"One\", \"Two\"]",
      "{\"prompt\": \"One\"}\n{\"question\": \"Two\"}\n", "statement,label\nOne,1\nTwo,0\n",
      "[{\"text\": \"One\"}, {\"question\": \"Two\", \"prompt\": null}]",
    ] {
      let prompts = try PromptFile(TextFile(Array(text.utf8), path: "prompts"))
      #expect(prompts.entries.map(\.text) == ["One", "Two"], "\(text)")
    }
    let filled = try PromptFile(
      TextFile(Array("{\"question\": \"One\"}\n{\"prompt\": \"Two\"}\n".utf8), path: "prompts")
    ) { "<\($0)>" }
    #expect(filled.entries.map(\.text) == ["<One>", "Two"])
    expectRefusal(.dataEmpty) { try PromptFile(TextFile(Array("\n\n".utf8), path: "prompts")) }
    expectRefusal(.dataRecord) { try PromptFile(TextFile(Array("\"\"\n".utf8), path: "prompts")) }
  }

  /// The result of `string_process_escapes` of llama.cpp for each text.
  @Test(arguments: [
    (#"a\nb"#, "a\nb"), (#"\t\r\'\"\\"#, "\t\r'\"\\"), (#"\\n"#, "\\n"), (#"\x41\x4a\x4A"#, "AJJ"),
    (#"\xc3\xa9"#, "é"), (#"\x4"#, "\\x4"), (#"\xg1"#, "\\xg1"), (#"\x+1"#, "\\x+1"),
    (#"\q\0"#, "\\q\\0"), (#"end\"#, "end\\"), ("é\\né", "é\né"), (#"C:\new"#, "C:\new"),
  ])
  func escapesAreThoseOfLlamaCpp(text: String, expected: String) throws {
    let prompts = try PromptFile(TextFile(Array(text.utf8), path: "prompts")).replacingEscapes()
    #expect(prompts.entries.count == 1)
    #expect(prompts.entries[0].text.utf8.elementsEqual(expected.utf8))
  }

  @Test func escapesMustMakeText() throws {
    let refusal = expectRefusal(.textEncoding) {
      try PromptFile(TextFile(Array("one\n\\xe9\n".utf8), path: "prompts")).replacingEscapes()
    }
    #expect(refusal?.place == .line(2))
    // JSON has its own escapes.
    let json = try PromptFile(TextFile(Array("\"a\\\\nb\"\n".utf8), path: "prompts"))
    #expect(try json.replacingEscapes().entries[0].text == "a\\nb")
  }
}
