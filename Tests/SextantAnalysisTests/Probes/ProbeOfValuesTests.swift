import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTestSupport
import Testing

/// Probes trained on values of a program, without a file.
@Suite struct ProbeOfValuesTests {
  private let texts = (0..<12).map { "\($0) is \($0 % 3 == 0 ? "less" : "more") than \(12 - $0)" }
  private let labels = (0..<12).map { $0 % 3 == 0 }
  private let folder = TemporaryFolder()

  private func records(_ texts: [String], _ labels: [Bool]) throws -> SelectedRecords {
    let records = zip(texts, labels).map { text, label in
      LabelledRecord(
        text: text, choices: nil,
        fields: JSONObject([("text", .string(text)), ("label", .boolean(label))]))
    }
    return try SelectedRecords(LabelledRecords(records), label: "label")
  }

  private func probe(_ records: SelectedRecords) throws -> Probe {
    let converted = try ConvertedModel("demo-model/model.safetensors")
    return try Probe.train(
      on: records, converted.model, #require(converted.tokenizer),
      sites: converted.model.description.sites(named: ["blocks.2.output"]),
      methods: [.logistic, .meanDifference]
    ).probe
  }

  @Test func theProbeIsThatOfTheFileOfTheirLines() throws {
    let values = try records(texts, labels)
    let path = folder.write(LabelledRecords.jsonLines(of: values.records), to: "records.jsonl")
    let file = try SelectedRecords(LabelledRecords(reading: path), label: "label")
    #expect(values.description == file.description && values.labels == file.labels)
    let (first, second) = (folder.path("a.probe.safetensors"), folder.path("b.probe.safetensors"))
    try probe(values).artifact.write(to: first)
    try probe(file).artifact.write(to: second)
    #expect(
      try InputFile(first).readAll(limit: 1 << 20) == InputFile(second).readAll(limit: 1 << 20))
    #expect(try Probe(reading: first).chosen("blocks.2.output.lr").map(\.method) == ["lr"])
    expectRefusal(.artifactEmpty) { try Probe(reading: first).chosen("lr") }
  }

  @Test func recordsOfOneLabelAreRefused() {
    expectRefusal(.dataEmpty) { try LabelledRecords([]) }
    expectRefusal(.dataEmpty) { try probe(records(["a", "b"], [true, true])) }
  }
}
