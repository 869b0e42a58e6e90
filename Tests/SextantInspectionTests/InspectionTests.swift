import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantGeneration
import SextantInspection
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Reports of what files contain.
@Suite struct InspectionTests {
  private func json(_ report: Report) -> JSONNode {
    JSONNode(.object(report.json), code: .dataRecord, file: nil)
  }

  @Test func aModelIsReportedWithItsSites() throws {
    let converted = try ConvertedModel("mamba-tiny/huggingface")
    #expect(try ContentKind(of: converted.store.path) == .model)
    let report = try Report(store: converted.store, rowLimit: 4)
    let sites = try json(report).member("sites").elements()
    #expect(sites.count == converted.model.description.sites.count)
    #expect(try json(report).member("parameters").integer() == converted.report.parameterCount)
    // Four rows, and one with the number of the other rows.
    #expect(report.tables[0].table.rows.count == 5)
    #expect(report.text.hasPrefix(report.title))
  }

  @Test func aStateIsReportedByItsNorms() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let state = model.initialState().saved(by: model.description.reference(tokenizer: nil))
    let folder = TemporaryFolder()
    let path = folder.path("a.state.safetensors")
    try state.artifact.write(to: path)
    #expect(try ContentKind(of: path) == .artifact)
    let saved = try SavedState(Artifact(reading: path))
    let report = Report(state: saved)
    #expect(report.tables[0].table.rows.count == model.description.layerCount)
    let norms = try json(report).member("components").elements()
    #expect(norms.count == saved.components.count)
    for norm in norms { #expect(try norm.member("norms").elements()[0].number() == 0) }
    let whole = Report(artifact: try Artifact(reading: path), rowLimit: .max)
    #expect(try json(whole).member("kind").string() == SavedState.name)
    #expect(try json(whole).member("tensors").elements().count == saved.artifact.tensors.count)
  }

  /// Figures of probes belong to several tensors: they have a table of their own, in which no column
  /// is empty. A single number is shown with its sign.
  @Test func figuresThatBelongToNoTensorHaveTheirOwnTable() throws {
    let site = SiteReference(name: "blocks.0.output", shape: [2], axes: ["channel"])
    let model = try ConvertedModel("mamba-tiny/huggingface").model.description
    var figures = JSONObject()
    figures["blocks.0.output.lr"] = ["loss": 0.25, "examples": 12]
    let entry = ProbeEntry(
      site: site, method: "lr", input: .single, direction: [3, 4], bias: -1.5)
    let probe = Probe(
      model: model.reference(tokenizer: nil), sites: [site], entries: [entry],
      training: .init(
        label: "truth", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: figures)
    let report = Report(artifact: probe.artifact, rowLimit: .max)
    #expect(
      report.tables.map(\.title) == ["\(probe.artifact.tensors.count) tensors", "statistics"])
    let text = report.text
    #expect(text.contains("-1.500 (value)"))
    #expect(report.tables[0].table.heads.count == 5)
    #expect(report.tables[1].table.heads == ["", "loss", "examples"])
    #expect(report.tables[1].table.rows == [["blocks.0.output.lr", "0.25000", "12"]])
  }

  /// Numbers of sites are columns of the table, with few digits, and long lists are summaries.
  @Test func numbersOfSitesAreInTheTableAndListsAreSummaries() throws {
    let description = try ConvertedModel("mamba-tiny/huggingface").model.description
    let sites = try description.sites(named: ["residual"]).map(\.reference)
    let width = description.width
    var statistics = JSONObject()
    for site in sites {
      statistics[site.name] = [
        "norm": 1.5, "mean_norm": 2.0625,
        "losses": .array((0..<40).map { .number(Double($0) / 3) }),
      ]
    }
    let vector = SteeringVector(
      model: description.reference(tokenizer: nil),
      vectors: sites.map { ($0, Tensor([Float](repeating: 0.5, count: width), shape: [width])) },
      operation: .affine,
      targets: Dictionary(
        uniqueKeysWithValues: sites.map {
          ($0.name, SteeringVector.Targets(negative: -1.0 / 3, positive: 2.0 / 3))
        }),
      training: .init(
        method: "mean", positions: .last,
        data: ["weights": .array((0..<9).map { .number(Double($0) / 7) })]),
      statistics: statistics)
    let report = Report(artifact: vector.artifact, rowLimit: .max)
    let table = report.tables[0].table
    #expect(
      table.heads == [
        "tensor", "type", "shape", "axes", "norm", "targets", "mean_norm", "losses",
      ])
    for row in table.rows {
      #expect(row.suffix(3) == ["-0.33333, 0.66667", "2.063", "40 numbers, 0 to 13.00"])
    }
    #expect(report.facts.contains { $0 == ("data", "weights 9 numbers, 0 to 1.143") })
    #expect(!report.facts.contains { $0.name == "targets" })
    #expect(!report.text.contains { $0.isNumber } || !report.text.contains("333333"))
    // Programs get all digits.
    let targets = try json(report).member("targets").members()
    #expect(try targets[0].node.elements()[0].number() == -1.0 / 3)
  }

  @Test func theDoseOfASearchIsShown() throws {
    let description = try ConvertedModel("mamba-tiny/huggingface").model.description
    let site = try description.sites(named: ["blocks.1.output"])[0].reference
    let vector = SteeringVector(
      model: description.reference(tokenizer: nil),
      vectors: [
        (
          site,
          Tensor([Float](repeating: 0.5, count: description.width), shape: [description.width])
        )
      ], training: .init(method: "mean", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    let found: JSONValue = [
      "effect": ["value": 0.25, "interval": [0.125, 0.375]], "places": 12,
      "kl": ["value": 0.0625, "interval": nil],
    ]
    guard case .object(let search) = found else { return }
    let dose = SteeringVector.Dose(layers: 1...1, sites: "residual", strength: 2, search: search)
    let dosed = vector.dosed(dose) { _ in true }
    #expect(dosed.vectors[0].value.values[0] == 1)
    let report = Report(artifact: dosed.artifact, rowLimit: .max)
    #expect(
      report.facts.contains {
        $0 == (
          "dose",
          "blocks 1, residual, strength 2.000 of the trained vector: strength 1 of this file"
        )
      })
    let rows = try #require(report.tables.last).table.rows
    #expect(rows.contains(["effect", "0.25000 [0.12500, 0.37500]"]))
    #expect(rows.contains(["places", "12"]) && rows.contains(["kl", "0.06250 [unknown]"]))
  }

  @Test func aCheckpointIsReportedByItsTensors() throws {
    let path = PackageFiles.fixture("mamba-tiny/huggingface")
    #expect(try ContentKind(of: path) == .other)
    let source = try CheckpointSource.open(path)
    let report = Report(checkpoint: source, rowLimit: 3)
    let tensors = try json(report).member("tensors").elements()
    #expect(tensors.count == source.checkpoint.tensors.count)
    #expect(report.tables[0].table.rows.count == 4)
  }

  @Test(arguments: ["llama", "llama-forms/task.keras", "llama-forms/int8"])
  func aFileOfKerasIsReportedWithClassVariablesAndShapes(form: String) throws {
    let path = PackageFiles.fixture("keras/hub/\(form)")
    let report = Report(checkpoint: try CheckpointSource.open(path), rowLimit: 100)
    let isTask = form.hasSuffix(".keras")
    let className = isTask ? "LlamaCausalLM" : "LlamaBackbone"
    #expect(try json(report).member("keras_class").string() == className)
    #expect(report.facts.contains { $0.name == "class of Keras" && $0.value == className })
    let name =
      (isTask ? "layers.llama_backbone." : "")
      + "layers.llama_transformer_decoder_1._self_attention_layer._query_dense.vars.0"
    let row = try #require(report.tables[0].table.rows.first { $0[0] == name })
    #expect(row[1] == (form.hasSuffix("int8") ? "I8" : "F32") && row[2].contains("12"))
    let plain = try CheckpointSource.open(PackageFiles.fixture("mamba-tiny/huggingface"))
    #expect(Report(checkpoint: plain, rowLimit: 1).json["keras_class"] == .null)
  }
}
