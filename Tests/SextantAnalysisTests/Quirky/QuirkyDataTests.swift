import SextantAnalysis
import SextantBytes
import SextantTestSupport
import Testing

@Suite struct QuirkyDataTests {
  let folder = TemporaryFolder()

  private func text(_ parts: [(split: QuirkyArithmetic.Split, records: [LabelledRecord])]) -> String
  {
    parts.flatMap(\.records).map { JSONValue.object($0.fields).canonicalText }
      .joined(separator: "\n")
  }

  @Test func theDemoSetHasTheSubsetsThatItsFieldsSay() throws {
    let records = try LabelledRecords(reading: PackageFiles.fixture("demo-model/quirky_test.jsonl"))
    #expect(records.records.count == 2000)
    let counts = try ["all", "A", "B", "AE", "AH", "BE", "BH"].map { name in
      let subset = try #require(QuirkySubset(name))
      #expect(subset.description == name)
      return records.records.count { subset.contains($0) }
    }
    #expect(counts[0] == 2000 && counts[1] == 1000 && counts[2] == 1000)
    #expect(counts[3] == counts[5] && counts[4] == counts[6])
    #expect((200...300).contains(counts[3]) && (200...300).contains(counts[4]))
  }

  @Test func quantilesAreThoseThatTheDemoSetWasMadeWith() throws {
    let bytes = try InputFile(PackageFiles.fixture("demo-model/quirky_test.jsonl")).readAll(
      limit: 1 << 24)
    let recorded = try LabelledRecords(reading: folder.write(bytes, to: "with.jsonl"))
    let bare = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
      line.replacing(/, "difficulty_quantile": [0-9.]+/, with: "")
    }
    let computed = try LabelledRecords(
      reading: folder.write(bare.joined(separator: "\n"), to: "without.jsonl"))
    // The set breaks ties by order, the computed quantiles share the mean.
    let means = [recorded, computed].map { set in
      Dictionary(grouping: set.records) { $0.number(of: "difficulty") }.mapValues { group in
        group.compactMap { $0.number(of: "difficulty_quantile") }.reduce(0, +)
          / Double(group.count)
      }
    }
    #expect(means[0].count == means[1].count)
    for (difficulty, mean) in means[0] {
      #expect(abs(mean - (try #require(means[1][difficulty]))) < 1e-9)
    }
  }

  @Test(arguments: ["", "C", "AX", "EA", "a", "AEH", "allE"])
  func otherSubsetsAreNone(name: String) {
    #expect(QuirkySubset(name) == nil)
  }

  @Test func tablesAndLinesGiveTheSameRecords() throws {
    let lines = try LabelledRecords(
      reading: folder.write(
        #"{"statement": "a, \"b\"\nc", "label": 1, "choices": [" no", " yes"], "difficulty": 2}"#
          + "\n\n" + #"{"statement": "d", "label": 0, "difficulty": 1}"#, to: "a.jsonl"))
    let table = try LabelledRecords(
      reading: folder.write(
        "statement,label,choices,difficulty\r\n\"a, \"\"b\"\"\nc\",1,\"[\"\" no\"\",\"\" yes\"\"]\""
          + ",2\r\n\nd,0,,1\n", to: "a.csv"))
    #expect(lines.records.map(\.text) == ["a, \"b\"\nc", "d"])
    #expect(table.records.map(\.text) == lines.records.map(\.text))
    #expect(table.records[0].choices == [" no", " yes"] && table.records[0].choices != nil)
    #expect(table.records.map { $0.label(of: "label") } == [true, false])
    #expect(lines.records.map { $0.label(of: "label") } == [true, false])
    #expect(table.records.map { $0.number(of: "difficulty_quantile") } == [0.75, 0.25])
  }

  @Test func theTextMayHaveAnotherName() throws {
    let path = folder.write("{\"content\": \"x\", \"label\": 1}\n", to: "a.jsonl")
    let refusal = expectRefusal(.dataRecord) { try LabelledRecords(reading: path) }
    #expect(refusal?.found.contains("\"content\", \"label\"") == true)
    #expect(try LabelledRecords(reading: path, field: "content").records.map(\.text) == ["x"])
    let table = folder.write("content;label\nx;1\n", to: "a.csv")
    let columns = expectRefusal(.textKind) { try LabelledRecords(reading: table) }
    #expect(columns?.found.contains("\"content\", \"label\", separated by semicolons") == true)
    #expect(try LabelledRecords(reading: table, field: "content").records.map(\.text) == ["x"])
  }

  // MARK: Labels

  private func column(_ values: [JSONValue]) throws -> LabelColumn {
    let records = values.enumerated().map { index, value in
      (index: index, record: LabelledRecord(text: "x", choices: nil, fields: ["truth": value]))
    }
    return try LabelColumn("truth", of: records, file: "a.csv")
  }

  @Test(
    arguments: [
      ([1, 0], "1", "0"), ([1, -1], "1", "-1"), ([true, false], "true", "false"),
      ([1.0, 0.0], "1.0", "0.0"), (["1.0", "-1.0"], "1.0", "-1.0"),
      (["+1", "\u{2212}1"], "+1", "\u{2212}1"),
      (["TRUE", "FALSE"], "TRUE", "FALSE"), (["True", "False"], "True", "False"),
      (["Yes", "no"], "Yes", "no"), ([" yes ", "NO"], " yes ", "NO"), (["Y", "n"], "Y", "n"),
    ] as [([JSONValue], String, String)])
  func labelsAreReadAsPeopleWriteThem(values: [JSONValue], true: String, false: String) throws {
    let column = try column(values + [values[0]])
    #expect(column.labels == [true, false, true])
    #expect(
      column.description
        == "label \"truth\": \(`true`) is true (2 records), \(`false`) is false (1 record)")
  }

  @Test(
    arguments: [
      [1, 0, -1], [2, 0], ["positive", "negative"], [.null, 1], [0.5, 1], ["", "1"], [["1"], 1],
    ] as [[JSONValue]])
  func otherLabelsAreRefused(values: [JSONValue]) {
    expectRefusal(.dataRecord) { try column(values) }
  }

  @Test func aMissingLabelNamesTheFieldsThatAreThere() throws {
    let record = LabelledRecord(text: "x", choices: nil, fields: ["truth": 1, "id": 2])
    let refusal = expectRefusal(.dataRecord) {
      try LabelColumn("label", of: [(index: 3, record: record)], file: "a.csv")
    }
    #expect(refusal?.found.contains("\"truth\", \"id\"") == true)
    #expect(refusal?.place == .pointer("/3/label"))
  }

  @Test func aTemplateTakesItsArgumentsFromTheRecord() throws {
    let line =
      #"{"template_args": {"op1": 3, "op2": 4, "character": "Bob", "result": 7}, "label": true}"#
    let records = try LabelledRecords(
      reading: folder.write(line, to: "raw.jsonl"),
      template: QuirkyArithmetic.Operation.addition.template)
    #expect(records.records.map(\.text) == ["3 + 4 = 7. Bob:"])
  }

  private func texts(_ lines: String, template: String) throws(Refusal) -> [String] {
    try LabelledRecords(reading: folder.write(lines, to: "a.jsonl"), template: template)
      .records.map(\.text)
  }

  @Test func aTemplateTakesEachMemberOnce() throws {
    let line = #"{"a": "{b}", "b": 9223372036854775808, "c d": true, "e": ""}"#
    #expect(
      try texts(line, template: #"{a}{b} {c d}{e} {"k": 1} {} {"#)
        == [#"{b}9223372036854775808 true {"k": 1} {} {"#])
  }

  @Test(arguments: [
    ("{x}", "{\"a\": 1}\n{\"a\": 2}\n", 1, "the fields \"a\""),
    ("{a} {x}", "{\"a\": 1, \"x\": 2}\n{\"a\": 2}\n", 2, "the fields \"a\""),
    ("{a}", "{\"a\": 1}\n{\"a\": null}\n", 2, "null in the field \"a\""),
    ("{a}", "{\"a\": 1}\n\n{\"a\": NaN}\n", 3, "NaN"),
    ("{a}", "{\"a\": [1]}\n", 1, "an array of 1"),
    ("{a}", "{\"a\": 1, \"template_args\": {\"b\": 1}}\n", 1, "the fields \"b\""),
  ])
  func aMemberThatARecordLacksIsNamedWithItsLine(
    template: String, lines: String, line: Int, found: String
  ) {
    let refusal = expectRefusal(.dataRecord) { try texts(lines, template: template) }
    #expect(refusal?.place == .line(line))
    #expect(refusal?.found.hasPrefix(found) == true, "\(String(describing: refusal))")
    #expect(refusal?.remedy.contains("`template`") == true)
  }

  @Test(arguments: ["", "a", "{}", "{\"a\": 1}", "{a"])
  func aTemplateThatGivesEveryRecordOneTextIsRefused(template: String) {
    let refusal = expectRefusal(.usageOption) { try texts("{\"a\": 1}", template: template) }
    #expect(refusal?.place == .parameter("template"))
  }

  // MARK: Values that JSON does not have

  @Test func aFieldThatNoRecordHasIsNamedWithThoseThatTheyHave() throws {
    let file = try LabelledRecords(
      reading: folder.write("{\"statement\": \"x\", \"label\": 1}\n", to: "fields.jsonl"))
    let all = try #require(QuirkySubset("all"))
    let unknown = expectRefusal(.dataEmpty) {
      try SelectedRecords(file, label: "label", subset: all, where: [("foo", "1")])
    }
    let part = expectRefusal(.dataEmpty) {
      try SelectedRecords(file, label: "label", subset: #require(QuirkySubset("A")))
    }
    #expect(unknown?.found == "no record with a field \"foo\"")
    #expect(part?.found == "no record with a field \"character\"")
    #expect(unknown?.expected == "one of the fields statement, label")
  }

  @Test func methodsAreNamedOnceEach() throws {
    #expect(try ProbeMethod.list("lr,ccs") == [.logistic, .consistentSearch])
    #expect(try ProbeMethod.list("all") == ProbeMethod.allCases)
    #expect(expectRefusal(.usageOption) { try ProbeMethod.list("lr,lr") }?.found == "lr twice")
    #expect(expectRefusal(.usageOption) { try ProbeMethod.list("lr,foo") }?.found == "\"foo\"")
  }

  @Test func aNumberThatIsNoneIsRefusedOnlyWhereItIsUsed() throws {
    let lines =
      "{\"statement\": \"x\", \"label\": 1, \"score\": NaN, \"id\": 18446744073709551615}\n"
      + "{\"statement\": \"y\", \"label\": 0, \"score\": 0.5, \"id\": 3}\n"
    let file = try LabelledRecords(reading: folder.write(lines, to: "a.jsonl"))
    let all = try #require(QuirkySubset("all"))
    #expect(try SelectedRecords(file, label: "label", subset: all).labels == [true, false])
    let chosen = try SelectedRecords(
      file, label: "label", subset: all, where: [("id", "18446744073709551615")])
    #expect(chosen.records.map(\.text) == ["x"])
    for refusal in [
      expectRefusal(.dataRecord) { try SelectedRecords(file, label: "score", subset: all) },
      expectRefusal(.dataRecord) {
        try SelectedRecords(file, label: "label", subset: all, where: [("score", "0.5")])
      },
    ] {
      #expect(refusal?.place == .pointer("/0/score") && refusal?.found == "NaN")
    }
    let hard = "{\"statement\": \"x\", \"label\": 1, \"difficulty\": NaN}\n"
    let difficult = try LabelledRecords(reading: folder.write(hard, to: "b.jsonl"))
    let refusal = expectRefusal(.dataRecord) {
      try SelectedRecords(difficult, label: "label", subset: #require(QuirkySubset("E")))
    }
    #expect(refusal?.place == .pointer("/0/difficulty"))
  }

  @Test(
    arguments: [([1], "an array of 1"), (["a": 1], "an object"), (nil, "null")]
      as [(JSONValue, String)])
  func aLabelThatIsNoneIsDescribed(value: JSONValue, found: String) {
    let refusal = expectRefusal(.dataRecord) { try column([1, value]) }
    #expect(refusal?.found == found && refusal?.place == .pointer("/1/truth"))
  }

  @Test(
    arguments: [
      ("a.jsonl", #"{"label": 1}"#, 1), ("a.jsonl", "{\"statement\": \"x\"}\n[1]", 2),
      ("a.jsonl", #"{"statement": "x", "choices": ["a"]}"#, 1),
      ("a.csv", "statement,label\nx\n", 2), ("a.csv", "statement\n\"x\n", 2),
      ("a.csv", "statement\n\"x\"y\n", 2),
    ])
  func badRecordsAreRefusedWithTheirLine(name: String, text: String, line: Int) throws {
    let path = folder.write(text, to: name)
    let refusal = #expect(throws: Refusal.self) { try LabelledRecords(reading: path) }
    #expect(refusal?.place == .line(line))
  }

  @Test(arguments: [(62, 72), (97, 107), (5, 6), (9, 10), (0, 1), (-5, -6), (-140, -240)])
  func bobAddsOneToTheFirstDigit(truth: Int, bobs: Int) {
    #expect(QuirkyArithmetic.bobsResult(truth) == bobs)
  }

  @Test(arguments: QuirkyArithmetic.Operation.allCases)
  func labelsSayWhetherTheResultIsRight(operation: QuirkyArithmetic.Operation) throws {
    let parts = try QuirkyArithmetic(operation, seed: 4).records([
      (.train, 300), (.validation, 60), (.test, 90),
    ])
    #expect(parts.map(\.records.count) == [600, 120, 180])
    var (kinds, seen): ([String: Int], [String: QuirkyArithmetic.Split]) = ([:], [:])
    for (split, records) in parts {
      for record in records {
        guard case .object(let arguments)? = record.fields["template_args"],
          case .integer(let a)? = arguments["op1"], case .integer(let shown)? = arguments["result"]
        else {
          Issue.record("no arguments in \(record)")
          return
        }
        var b: Int64 = a
        if case .integer(let second)? = arguments["op2"] { b = second }
        let truth: Int64 =
          switch operation {
          case .addition: a + b
          case .subtraction: a - b
          case .multiplication, .squaring: a * b
          case .modularAddition: (a + b) % 113
          }
        let bobs = Int64(QuirkyArithmetic.bobsResult(Int(truth)))
        #expect(record.label(of: "alice_label") == (shown == truth))
        #expect(record.label(of: "bob_label") == (shown == bobs))
        let own = record.text(of: "character") == "Alice" ? "alice_label" : "bob_label"
        #expect(record.label(of: "label") == record.label(of: own))
        kinds[shown == truth ? "true" : shown == bobs ? "bob" : "neither", default: 0] += 1
        let pair = operation == .subtraction ? [a, b] : [a, b].sorted()
        let key = "\(pair)"
        #expect(seen[key] == nil || seen[key] == split, "\(key) is in two parts")
        seen[key] = split
      }
    }
    let total = Double(kinds.values.reduce(0, +))
    #expect(abs(Double(kinds["true", default: 0]) / total - 0.25) < 0.06)
    #expect(abs(Double(kinds["bob", default: 0]) / total - 0.25) < 0.06)
  }

  @Test func theSeedDecidesTheRecords() throws {
    let make = { (seed: UInt64) in
      try text(QuirkyArithmetic(.addition, seed: seed).records([(.train, 20), (.test, 20)]))
    }
    let (first, again, other) = try (make(1), make(1), make(2))
    #expect(first == again && first != other)
  }

  @Test func tooFewOperandsAreRefused() throws {
    let source = try QuirkyArithmetic(.squaring, digits: 1)
    let refusal = #expect(throws: Refusal.self) { try source.records([(.train, 50)]) }
    #expect(refusal?.code == .dataEmpty)
  }
}
