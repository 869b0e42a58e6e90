import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantGeneration
import SextantInspection
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
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
