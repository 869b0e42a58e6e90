import SextantBytes
import SextantConversion
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// The same weights give the same model, for every container and naming.
@Suite struct EquivalenceTests {
  private let folder = TemporaryFolder()

  private func convert(
    _ source: String, _ options: ConversionOptions = .init()
  ) throws -> (store: ModelStore, bytes: [UInt8]) {
    let path = folder.path("\(source.map { $0 == "/" ? "-" : $0 }.map(String.init).joined()).sxt")
    _ = try Conversion(PackageFiles.fixture(source), options: options).write(to: path)
    return (try ModelStore(opening: path), try InputFile(path).readAll(limit: 1 << 30))
  }

  /// What a store contains apart from the files that came with the weights, such as the tokens that
  /// end a text, which not every naming has.
  private func model(of store: ModelStore) -> [String: Digest] {
    var digests = ["": store.identity]
    for tensor in store.tensors { digests[tensor.name] = tensor.digest }
    return digests
  }

  @Test(arguments: [
    "mamba-tiny/sharded", "mamba-tiny/state-spaces", "mamba-tiny/pytorch",
    "mamba-tiny/hdf5/flat.h5", "mamba-tiny/hdf5/nested.h5", "mamba-tiny/hdf5/latest.h5",
    "mamba2-tiny/sharded", "mamba2-tiny/state-spaces", "llama-tiny/hdf5/model.h5",
    "gpt-neox-tiny/sharded", "btlm-tiny/sharded",
  ])
  func everyFormOfATinyModelGivesTheSameModel(form: String) throws {
    let family = form.prefix { $0 != "/" }
    let reference = try convert("\(family)/huggingface").store
    #expect(try model(of: convert(form).store) == model(of: reference))
  }

  @Test(arguments: [
    ("rwkv4/blinkdl", "rwkv4/huggingface"), ("rwkv5/blinkdl", "rwkv5/huggingface"),
    ("rwkv6/blinkdl", "rwkv6/huggingface"), ("rwkv7/blinkdl", "rwkv7/without-v0"),
  ])
  func everyNamingOfAnRWKVGivesTheSameModel(reference: String, form: String) throws {
    let expected = try convert("rwkv-tiny/\(reference)").store
    #expect(try model(of: convert("rwkv-tiny/\(form)").store) == model(of: expected))
  }

  /// The epsilon depends on the size of a head there, so it is given for heads of unusual size.
  @Test func theFlashLinearAttentionNamingOfRWKV7GivesTheSameBytes() throws {
    let fla = try convert("rwkv-tiny/rwkv7/fla")
    var options = ConversionOptions()
    let epsilon = try #require(fla.store.configuration["group_norm_epsilon"])
    #expect(epsilon == .number(12 * 1e-5))
    options.configuration = folder.write(
      #"{"group_norm_epsilon":\#(epsilon.canonicalText)}"#, to: "epsilon.json")
    #expect(try convert("rwkv-tiny/rwkv7/blinkdl", options).bytes == fla.bytes)
  }

  @Test func theDemoModelIsTheSameFromSafetensorsAndHDF5() throws {
    let safetensors = try convert("demo-model/model.safetensors")
    let hdf5 = try convert("demo-model/model.h5")
    #expect(safetensors.bytes == hdf5.bytes)
    #expect(try safetensors.store.attachment(ModelTokenizer.attachmentName) != nil)
    try safetensors.store.verify()
  }

  /// Chunks of HDF5 and pieces of safetensors cut the elements differently, also within blocks.
  @Test func blocksAreTheSameHoweverTheElementsComeIn() throws {
    var options = ConversionOptions()
    options.dataType = .q8
    options.replacing = true
    let (store, bytes) = try convert("demo-model/model.safetensors", options)
    #expect(try convert("demo-model/model.h5", options).bytes == bytes)
    options.dataType = nil
    let reference = try convert("demo-model/model.safetensors", options).store
    #expect(store.identity == reference.identity && store.variant == "q8")
    var blocks = 0
    for entry in store.tensors {
      let source = try reference.tensor(entry.name)
      let isMatrix = ["proj.weight", "embedding.weight"].contains { entry.name.hasSuffix($0) }
      let fits = source.shape.last?.isMultiple(of: 32) == true
      #expect(entry.dataType == (isMatrix && fits ? .q8 : .f32), "\(entry.name)")
      #expect(
        entry.sourceDataType == .f32 && entry.sourceDigest == reference.entry(entry.name)?.digest)
      #expect(try store.tensor(entry.name) == source.converted(to: entry.dataType))
      if entry.dataType == .q8 { blocks += 1 }
    }
    #expect(blocks == 19)
    try store.verify()
  }

  @Test func matricesWithoutWholeBlocksKeepTheirType() throws {
    var options = ConversionOptions()
    options.dataType = .q8
    let path = folder.path("kept.sxt")
    let report = try Conversion(
      PackageFiles.fixture("mamba-tiny/bf16"), options: options
    ).write(to: path)
    let store = try ModelStore(opening: path)
    #expect(store.tensors.allSatisfy { $0.dataType != .q8 || $0.shape.last == 80 })
    #expect(report.notes.contains { $0.contains("keep their type") })
  }

  @Test func convertingTwiceGivesTheSameBytes() throws {
    let first = try convert("mamba-tiny/bf16").bytes
    var options = ConversionOptions()
    options.replacing = true
    #expect(try convert("mamba-tiny/bf16", options).bytes == first)
  }

  @Test(arguments: [DataType.bf16, .f16, .f32])
  func anotherTypeKeepsTheIdentityAndRoundsMatricesOnly(type: DataType) throws {
    let reference = try convert("mamba-tiny/untied").store
    var options = ConversionOptions()
    options.dataType = type
    options.replacing = true
    let store = try convert("mamba-tiny/untied", options).store
    #expect(store.identity == reference.identity)
    #expect(store.variant == (type == .f32 ? "source" : type.rawValue.lowercased()))
    for entry in store.tensors {
      let source = try reference.tensor(entry.name)
      let isMatrix = ["proj.weight", "embedding.weight", "head.weight"].contains {
        entry.name.hasSuffix($0)
      }
      #expect(entry.dataType == (isMatrix ? type : .f32), "\(entry.name)")
      #expect(try store.tensor(entry.name) == source.converted(to: entry.dataType))
    }
    try store.verify()
  }

  @Test func roundedWeightsAreAnotherModel() throws {
    let (full, rounded) = (try convert("mamba-tiny/huggingface"), try convert("mamba-tiny/bf16"))
    #expect(full.store.identity != rounded.store.identity)
  }
}
