import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Containers of Keras and NumPy give the same models as the forms that their weights came from.
@Suite struct ContainerTests {
  private let folder = TemporaryFolder()

  private func convert(
    _ source: String, _ options: ConversionOptions = .init()
  ) throws -> (report: ConversionReport, bytes: [UInt8]) {
    let path = folder.path("\(source.map { $0 == "/" ? "-" : $0 }.map(String.init).joined()).sxt")
    let report = try Conversion(PackageFiles.fixture(source), options: options).write(to: path)
    return (report, try InputFile(path).readAll(limit: 1 << 30))
  }

  @Test(arguments: [
    ("keras/rwkv7/weights", "rwkv-tiny/rwkv7/blinkdl", "hdf5, keras-3"),
    ("keras/rwkv7/weights/model.weights.h5", "rwkv-tiny/rwkv7/blinkdl", "hdf5, keras-3"),
    ("keras/rwkv7/sharded", "rwkv-tiny/rwkv7/blinkdl", "hdf5, keras-3"),
    ("keras/rwkv7/sharded/model.weights.json", "rwkv-tiny/rwkv7/blinkdl", "hdf5, keras-3"),
    ("keras/rwkv7/model.keras", "rwkv-tiny/rwkv7/blinkdl", "keras, keras-3"),
    ("keras/rwkv7/old-names.weights.h5", "rwkv-tiny/rwkv7/blinkdl", "hdf5, keras-3"),
    ("keras/rwkv7/bf16.weights.h5", "rwkv-tiny/rwkv7/bf16.pth", "hdf5, keras-3"),
    ("keras/mamba/plain.h5", "mamba-tiny/huggingface", "hdf5, keras-2"),
    ("keras/mamba/whole-model.h5", "mamba-tiny/huggingface", "hdf5, keras-2"),
    ("keras/mamba/packed.h5", "mamba-tiny/huggingface", "hdf5, keras-2"),
    ("keras/mamba/tf-sharded", "mamba-tiny/huggingface", "hdf5, keras-2"),
    ("keras/mamba/tf-sharded/tf_model.h5.index.json", "keras/mamba/plain.h5", "hdf5, keras-2"),
    ("keras/mamba/model.npz", "mamba-tiny/huggingface", "npz"),
    ("keras/mamba/packed.npz", "mamba-tiny/huggingface", "npz"),
    ("keras/mamba/odd-orders.npz", "mamba-tiny/huggingface", "npz"),
    ("keras/mamba/big-endian-f16.h5", "mamba-tiny/f16", "hdf5"),
  ])
  func everyContainerGivesTheSameBytes(form: String, reference: String, format: String) throws {
    let (report, bytes) = try convert(form)
    #expect(report.format == format)
    #expect(report.dialect == (form.contains("rwkv7") ? "keras-hub" : "huggingface"))
    #expect(try bytes == convert(reference).bytes)
  }

  @Test func integersOf16BitsAreBFloat16WhereTheUserSaysSo() throws {
    let form = "keras/mamba/bf16-as-uint16.h5"
    let refusal = expectRefusal(.modelDataType) { try convert(form) }
    #expect(refusal?.remedy.contains("`readsUInt16AsBFloat16`") == true)
    var options = ConversionOptions()
    options.readsUInt16AsBFloat16 = true
    #expect(try convert(form, options).bytes == convert("mamba-tiny/bf16").bytes)
  }

  // MARK: Refusals

  /// The tensors of the model by keras-hub, changed, as `.npz`-like checkpoint of their names.
  private func kerasHub(
    changing change: (inout [(name: String, value: Tensor)]) -> Void
  ) throws -> String {
    let source = try HDF5Checkpoint(PackageFiles.fixture("keras/rwkv7/old-names.weights.h5"))
    var tensors: [(name: String, value: Tensor)] = []
    for entry in source.tensors {
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      tensors.append((entry.name, try #require(value)))
    }
    change(&tensors)
    var writer = SafetensorsWriter()
    for (name, value) in tensors { writer.add(name, value) }
    let path = folder.path("model.safetensors")
    try writer.publish(to: path, replacing: true)
    return path
  }

  @Test func countsTheVariablesOfEachLayer() throws {
    let last = "layers.rwkv7__block.att.vars.16"
    let without = try kerasHub { tensors in tensors.removeAll { $0.name == last } }
    let refusal = expectRefusal(.hdf5KerasCount) { try Conversion(without) }
    #expect(refusal?.found.contains(last) == true)
    let with = try kerasHub { tensors in
      guard let tensor = tensors.first(where: { $0.name == last }) else { return }
      tensors.append(("layers.rwkv7__block.att.vars.17", tensor.value))
    }
    expectRefusal(.hdf5KerasCount) { try Conversion(with) }
  }

  /// Number 12 is the gate's first matrix in block 0, and the value's base in the others: with
  /// equal shapes, only the number of variables distinguishes them.
  @Test func variablesOfBlock0AreNotThoseOfTheOthers() throws {
    let (store, path) = (folder.path("shift.sxt"), "keras/rwkv7/weights")
    _ = try Conversion(PackageFiles.fixture(path)).write(to: store)
    let model = try ModelStore(opening: store)
    #expect(try model.tensor("blocks.0.att.g1").shape == [9, 24])
    #expect(try model.tensor("blocks.1.att.v0").shape == [24])
    #expect(model.entry("blocks.0.att.v0") == nil)
  }

  @Test func ignoresTheRandomNumbersOfDropout() throws {
    let path = try kerasHub { tensors in
      guard let some = tensors.first else { return }
      tensors.append(("layers.dropout.seed_generator.vars.0", some.value))
    }
    _ = try Conversion(path)
  }

  @Test(arguments: ["hidden_size", "num_layers", "vocabulary_size", "head_size", "gate_lora"])
  func refusesADescriptionThatContradictsTheTensors(key: String) throws {
    let fixture = PackageFiles.fixture("keras/rwkv7/weights/config.json")
    var description = try JSONNode(
      parsing: InputFile(fixture).readAll(limit: 1 << 20), code: .modelConfiguration, file: nil
    ).object()
    guard case .object(var config) = description["config"] else {
      Issue.record("no config")
      return
    }
    config[key] = 7
    description["config"] = .object(config)
    var options = ConversionOptions()
    options.configuration = folder.write(
      JSONValue.object(description).canonicalText, to: "config.json")
    expectRefusal(.modelConfiguration) {
      try Conversion(
        PackageFiles.fixture("keras/rwkv7/old-names.weights.h5"), options: options)
    }
  }
}
