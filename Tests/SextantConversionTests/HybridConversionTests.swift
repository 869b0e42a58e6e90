import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Checkpoints of hybrid models in their published spellings.
@Suite struct HybridConversionTests {
  private let folder = TemporaryFolder()

  private static let models = ["lfm2", "nemotron_h", "falcon_mamba"]

  private func convert(
    _ source: String, as name: String, _ options: ConversionOptions = .init()
  ) throws -> (report: ConversionReport, store: ModelStore) {
    let destination = folder.path(name)
    let report = try Conversion(source, options: options).write(to: destination)
    return (report, try ModelStore(opening: destination))
  }

  private func checkpoint(_ model: String) -> String {
    PackageFiles.fixture("hybrids/checkpoints/\(model)")
  }

  /// As published, and as transformers 5 saves it. All members are read or known to be inert.
  @Test(arguments: models) func bothConfigurationsGiveTheSameModel(model: String) throws {
    let (report, store) = try convert(checkpoint(model), as: "a.sxt")
    #expect(report.notes.filter { $0.contains("not used") } == [])
    var options = ConversionOptions()
    options.configuration = checkpoint("\(model)/config.transformers5.json")
    let (other, again) = try convert(checkpoint(model), as: "b.sxt", options)
    #expect(other.notes.filter { $0.contains("not used") } == [])
    #expect(again.identity == store.identity && again.configuration == store.configuration)
  }

  @Test func aMemberThatIsNotReadGivesANote() throws {
    for model in Self.models {
      let text = try InputFile(checkpoint("\(model)/config.json")).readAll(limit: 1 << 20)
      let changed = Array("{\"unknown_member\": 3,".utf8) + text.dropFirst()
      var options = ConversionOptions()
      options.configuration = folder.write(changed, to: "\(model).json")
      let (report, _) = try convert(checkpoint(model), as: "\(model).sxt", options)
      #expect(report.notes.contains { $0.contains("unknown_member") }, "\(model)")
    }
  }

  /// Tensors of the checkpoint under other names, and with one more.
  private func renamed(
    _ model: String, _ rename: (String) -> String, adding extra: String
  ) throws -> String {
    let file = try SafetensorsFile(checkpoint("\(model)/model.safetensors"))
    var writer = SafetensorsWriter()
    for tensor in file.tensors {
      try writer.add(rename(tensor.name), .f32, shape: tensor.shape, bytes: file.bytes(of: tensor))
    }
    writer.add(extra, Tensor(zeros: [4]))
    let path = folder.path("renamed.safetensors")
    try writer.publish(to: path)
    return path
  }

  @Test func aNemotronUnderTheModulesNamesIsTheSame() throws {
    let (_, store) = try convert(checkpoint("nemotron_h"), as: "a.sxt")
    var options = ConversionOptions()
    options.configuration = checkpoint("nemotron_h/config.json")
    let path = try renamed(
      "nemotron_h", { $0.replacing("backbone.", with: "model.") }, adding: "mtp.layers.0.x.weight")
    let (report, other) = try convert(path, as: "b.sxt", options)
    #expect(other.identity == store.identity)
    #expect(report.notes.contains { $0.contains("mtp.* (1 tensor)") })
  }

  /// The kinds of blocks come back from the marks of the metadata.
  @Test func aGGUFHasTheKindsOfBlocks() throws {
    for (model, name, blocks) in [
      ("lfm2", "lfm2", [0, 0, 2, 0, 2]), ("nemotron_h", "nemotron_h", [0, 0, 0, 2, 0, 0, 0]),
    ] {
      let (_, store) = try convert(checkpoint(model), as: "\(model).sxt")
      let path = folder.path("\(model).gguf")
      _ = try ModelExport(store, as: .gguf, options: .init()).write(to: path)
      let file = try GGUFFile(path)
      #expect(file.values["general.architecture"] == .string(name))
      guard case .array(let array)? = file.values["\(name).attention.head_count_kv"] else {
        Issue.record("no array of key heads")
        continue
      }
      #expect(try file.integers(of: array) == blocks.map { Int64($0) })
      #expect(file.tensors.allSatisfy { $0.name.hasSuffix(".weight") || name != "lfm2" })
    }
  }

  @Test func aFalconMambaIsMarkedInAGGUF() throws {
    let (_, store) = try convert(checkpoint("falcon_mamba"), as: "a.sxt")
    let path = folder.path("m.gguf")
    _ = try ModelExport(store, as: .gguf, options: .init()).write(to: path)
    #expect(try GGUFFile(path).values["mamba.ssm.dt_b_c_rms"] == .boolean(true))
    let text = try InputFile(checkpoint("falcon_mamba/config.json")).readAll(limit: 1 << 20)
    let changed = String(decoding: text, as: UTF8.self).replacing("1e-06", with: "1e-05")
    var options = ConversionOptions()
    options.configuration = folder.write(Array(changed.utf8), to: "config.json")
    let (_, other) = try convert(checkpoint("falcon_mamba"), as: "b.sxt", options)
    let refusal = expectRefusal(.exportInexpressible) {
      try ModelExport(other, as: .gguf, options: .init()).write(to: folder.path("n.gguf"))
    }
    #expect(refusal?.found.contains("mixer_rms_eps") == true)
  }
}
