import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantTensor
import SextantTestSupport
import Testing

/// Changes of names and types by training programs do not change the model, in any container.
@Suite struct ModelWeightsTests {
  private typealias Named = (name: String, value: Tensor)

  private let folder = TemporaryFolder()
  private let plain = "mamba-tiny/huggingface"

  enum Container: String, CaseIterable {
    case safetensors, pth, npz, h5, gguf
  }

  /// The tensors of the tiny model, written into a container after a change, beside its config.json.
  private func checkpoint(
    _ container: Container = .safetensors, _ change: (inout [Named]) -> Void
  ) throws -> String {
    let source = try SafetensorsFile(PackageFiles.fixture("\(plain)/model.safetensors"))
    var tensors: [Named] = []
    for entry in source.tensors {
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      tensors.append((entry.name, try #require(value)))
    }
    change(&tensors)
    let path = folder.path("model.\(container.rawValue)")
    switch container {
    case .safetensors:
      var writer = SafetensorsWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: true)
    case .pth:
      var writer = PyTorchWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: true)
    case .npz:
      var writer = NumPyWriter()
      for (name, value) in tensors { writer.add(name, value) }
      try writer.publish(to: path, replacing: true)
    case .h5:
      var writer = HDF5Writer()
      for (name, value) in tensors {
        let bytes = value.withUnsafeBytes { Array($0) }
        try writer.add(name, value.dataType, shape: value.shape) { sink throws(Refusal) in
          var failure: Refusal?
          bytes.withUnsafeBytes { buffer in
            do throws(Refusal) { try sink(buffer) } catch { failure = error }
          }
          if let failure { throw failure }
        }
      }
      try writer.publish(to: path, replacing: true)
    case .gguf:
      var writer = GGUFWriter()
      for (name, value) in tensors { try writer.add(name, value) }
      try writer.publish(to: path, replacing: true)
    }
    return path
  }

  private func convert(
    _ path: String, _ change: (inout ConversionOptions) -> Void = { _ in }
  ) throws -> (bytes: [UInt8], notes: [String]) {
    var options = ConversionOptions()
    options.configuration = PackageFiles.fixture("\(plain)/config.json")
    options.replacing = true
    change(&options)
    let report = try Conversion(path, options: options).write(to: folder.path("out.sxt"))
    return (try InputFile(folder.path("out.sxt")).readAll(limit: 1 << 24), report.notes)
  }

  private func reference() throws -> [UInt8] {
    try convert(PackageFiles.fixture("\(plain)/model.safetensors")).bytes
  }

  // MARK: Names

  @Test(
    arguments: Container.allCases,
    [
      ("module.", ["the prefix \"module.\""]),
      ("_orig_mod.", ["removed \"_orig_mod\""]),
      ("module._orig_mod.", ["removed \"_orig_mod\"", "the prefix \"module.\""]),
      ("_fsdp_wrapped_module.", ["removed \"_fsdp_wrapped_module\""]),
      ("state_dict.model.", ["the prefix \"state_dict.model.\""]),
      ("my/own/", ["the prefix \"my/own/\""]),
    ])
  func prefixesAreTakenOff(
    container: Container, renaming: (prefix: String, notes: [String])
  ) throws {
    var (prefix, notes) = renaming
    // Groups of HDF5 are joined with dots, and a GGUF name has at most 63 bytes.
    if container == .h5 && prefix.contains("/") {
      (prefix, notes) = ("my.own.", ["the prefix \"my.own.\""])
    }
    guard container != .gguf || prefix.utf8.count < 12 else { return }
    let path = try checkpoint(container) { tensors in
      tensors = tensors.map { (prefix + $0.name, $0.value) }
    }
    let (bytes, found) = try convert(path)
    #expect(try bytes == reference())
    for note in notes {
      #expect(found.contains { $0.contains(note) }, "\(found)")
    }
  }

  /// Compiled blocks and sharded layers leave their parts in the middle of names.
  @Test func partsOfWrappersAreTakenOutWhereverTheyStand() throws {
    let path = try checkpoint { tensors in
      tensors = tensors.map { name, value in
        guard name.contains(".layers.") else { return ("_fsdp_wrapped_module.\(name)", value) }
        var parts = name.split(separator: ".").map(String.init)  // backbone, layers, 0, mixer, …
        parts.insert("_fsdp_wrapped_module._checkpoint_wrapped_module", at: 3)
        return (parts.joined(separator: "."), value)
      }
    }
    let (bytes, notes) = try convert(path)
    #expect(try bytes == reference())
    #expect(
      notes.contains(
        "removed \"_checkpoint_wrapped_module\", \"_fsdp_wrapped_module\" from the tensors' names"))
  }

  @Test func twoTensorsThatGetOneNameAreRefused() throws {
    let path = try checkpoint { tensors in
      tensors.append(("_orig_mod.\(tensors[0].name)", tensors[0].value))
    }
    let refusal = expectRefusal(.modelGroup) { try convert(path) }
    #expect(refusal?.found.contains("_orig_mod") == true)
  }

  // MARK: Groups

  @Test(arguments: [Container.safetensors, .pth, .npz, .h5])
  func countersBesideTheWeightsAreLeftOut(container: Container) throws {
    let path = try checkpoint(container) { tensors in
      tensors.append(("step", Tensor([5], shape: [])))
      // The writer of HDF5 has no integers.
      let type: DataType = container == .h5 ? .f32 : .u8
      tensors.append(("rng", Tensor(zeros: container == .h5 ? [1] : [8], dataType: type)))
    }
    let (bytes, notes) = try convert(path)
    #expect(try bytes == reference())
    #expect(notes.contains("left out, because they are not part of a language model: rng, step"))
  }

  /// A number beside a weight may change what the model computes.
  @Test(arguments: ["scale", "alpha"])
  func aNumberAmongTheWeightsIsRefused(name: String) throws {
    let path = try checkpoint(.safetensors) { tensors in
      let block = tensors[1].0.split(separator: ".").dropLast().joined(separator: ".")
      tensors.append((block + "." + name, Tensor([2], shape: [1])))
    }
    expectRefusal(.modelTensorUnexpected) { try convert(path) }
  }

  @Test(arguments: [Container.safetensors, .pth, .npz, .h5])
  func oneGroupIsTakenAndWhatIsBesideItIsNamed(container: Container) throws {
    let path = try checkpoint(container) { tensors in
      tensors = tensors.map { ("model." + $0.name, $0.value) }
      tensors.append(("optimizer.state.0.exp_avg", Tensor(zeros: [3])))
    }
    let (bytes, notes) = try convert(path)
    #expect(try bytes == reference())
    #expect(
      notes.contains(
        "left out, because their names do not begin with \"model.\": optimizer.state.0.exp_avg"))
  }

  @Test(arguments: [Container.safetensors, .pth, .npz, .h5])
  func ofTwoGroupsTheUserChooses(container: Container) throws {
    let path = try checkpoint(container) { tensors in
      tensors =
        tensors.map { ("model." + $0.name, $0.value) }
        + tensors.map { ("ema.module." + $0.name, Tensor(zeros: $0.value.shape)) }
    }
    let refusal = expectRefusal(.modelGroup) { try convert(path) }
    #expect(refusal?.found == "2 groups of weights: \"model\", \"ema.module\"")
    #expect(refusal?.remedy == "Choose one: `group` model or `group` ema.module.")
    let reference = try reference()
    #expect(try convert(path) { $0.group = "model" }.bytes == reference)
    let average = try convert(path) { $0.group = "ema.module" }.bytes
    #expect(average != reference)
    // Prefixes within a group are removed as elsewhere.
    #expect(try convert(path) { $0.group = "ema" }.bytes == average)
    #expect(try convert(path) { $0.group = "ema." }.bytes == average)
    let unknown = expectRefusal(.modelGroup) { try convert(path) { $0.group = "em" } }
    #expect(unknown?.place == .parameter("group"))
    #expect(unknown?.expected.contains("ema, model") == true)
  }

  @Test func aGroupWithoutANameIsRefusedAsOne() throws {
    let path = try checkpoint { _ in }
    for (group, found) in [("", "\"\""), ("no", "\"no\"")] {
      let refusal = expectRefusal(.modelGroup) { try convert(path) { $0.group = group } }
      #expect(refusal?.found == found && refusal?.place == .parameter("group"))
    }
  }

  // MARK: Tensors that are not wanted

  /// A pattern fits the name in the file, or the name without its prefix.
  @Test(
    arguments: [Container.safetensors, .pth, .npz],
    [
      "module.backbone.extra.*", "backbone.extra.*", "module.*.extra.?", "*extra*",
      "module._orig_mod.backbone.extra.w", "module.backbone.extra.w",
    ])
  func aPatternFitsEitherName(container: Container, pattern: String) throws {
    let wrapper = pattern.contains("_orig_mod") ? "module._orig_mod." : "module."
    let path = try checkpoint(container) { tensors in
      tensors.append(("backbone.extra.w", Tensor(zeros: [3])))
      tensors = tensors.map { (wrapper + $0.name, $0.value) }
    }
    expectRefusal(.modelTensorUnexpected) { try convert(path) }
    let (bytes, notes) = try convert(path) { $0.ignoring = [pattern] }
    #expect(try bytes == reference())
    #expect(notes.contains("left out, as `ignoring` asks: backbone.extra.w"))
  }

  @Test(arguments: ["modul.backbone.extra.*", "extra.*", "module.extra.w", ""])
  func aPatternThatFitsNeitherIsRefused(pattern: String) throws {
    let path = try checkpoint { tensors in
      tensors.append(("backbone.extra.w", Tensor(zeros: [3])))
      tensors = tensors.map { ("module." + $0.name, $0.value) }
    }
    let refusal = expectRefusal(.usageOption) { try convert(path) { $0.ignoring = [pattern] } }
    #expect(refusal?.place == .parameter("ignoring"))
  }

  @Test func aPatternWithThePrefixOfANeededTensorIsRefused() throws {
    let path = try checkpoint { tensors in
      tensors = tensors.map { ("module." + $0.name, $0.value) }
    }
    let refusal = expectRefusal(.modelTensorMissing) {
      try convert(path) { $0.ignoring = ["module.backbone.norm_f.*"] }
    }
    #expect(refusal?.place == .parameter("ignoring"))
  }

  @Test(arguments: ["ema.*", "ema.module.*"])
  func aGroupThatIsNotWantedIsNotAskedFor(pattern: String) throws {
    let path = try checkpoint { tensors in
      tensors =
        tensors.map { ("model." + $0.name, $0.value) }
        + tensors.map { ("ema.module." + $0.name, Tensor(zeros: $0.value.shape)) }
    }
    expectRefusal(.modelGroup) { try convert(path) }
    #expect(try convert(path) { $0.ignoring = [pattern] }.bytes == reference())
  }

  @Test func groupsInsideAGroupAreNamedInFull() throws {
    let path = try checkpoint { tensors in
      tensors =
        tensors.map { ("s.a." + $0.name, $0.value) }
        + tensors.map { ("s.b." + $0.name, Tensor(zeros: $0.value.shape)) }
    }
    let refusal = expectRefusal(.modelGroup) { try convert(path) { $0.group = "s" } }
    #expect(refusal?.remedy == "Choose one: `group` s.a or `group` s.b.")
    #expect(try convert(path) { $0.group = "s.a" }.bytes == reference())
  }

  @Test func theModelItselfComesBeforeAGroupBesideIt() throws {
    let path = try checkpoint { tensors in
      tensors += tensors.map { ("ema." + $0.name, Tensor(zeros: $0.value.shape)) }
    }
    let (bytes, notes) = try convert(path)
    #expect(try bytes == reference())
    #expect(
      notes.contains {
        $0.contains("left out, because they belong to another group of weights: ema.")
      })
    let asked = try convert(path) { $0.ignoring = ["ema.*"] }.notes
    #expect(asked.contains { $0.hasPrefix("left out, as `ignoring` asks: ema.") })
    #expect(!asked.contains { $0.contains("because") })
    #expect(try convert(path) { $0.group = "ema" }.bytes != bytes)
  }

  // MARK: Types

  @Test(arguments: [Container.safetensors, .pth, .npz, .h5])
  func doublesBecomeF32(container: Container) throws {
    let path = try checkpoint(container) { tensors in
      for place in tensors.indices where place % 2 == 0 {
        tensors[place].value = tensors[place].value.converted(to: .f64) ?? tensors[place].value
      }
    }
    let (bytes, notes) = try convert(path)
    #expect(try bytes == reference())
    #expect(notes.contains { $0.hasPrefix("rounded F64 to F32: backbone.") })
  }

  @Test func doublesAreRoundedToNearestAndNotOverflown() throws {
    let path = try checkpoint { tensors in
      for place in tensors.indices where tensors[place].name == "backbone.norm_f.weight" {
        tensors[place].value = Tensor(
          doubles: [Double](repeating: 1 + 0x1p-25, count: 40), shape: [40])
      }
    }
    let ones = try checkpoint(.npz) { tensors in
      for place in tensors.indices where tensors[place].name == "backbone.norm_f.weight" {
        tensors[place].value = Tensor([Float](repeating: 1, count: 40), shape: [40])
      }
    }
    #expect(try convert(path).bytes == convert(ones).bytes)
    let vast = try checkpoint { tensors in
      for place in tensors.indices where tensors[place].name == "backbone.norm_f.weight" {
        var values = [Double](repeating: 1, count: 40)
        (values[3], values[7], values[9]) = (.infinity, -1e39, 1e39)
        tensors[place].value = Tensor(doubles: values, shape: [40])
      }
    }
    let refusal = expectRefusal(.modelOverflow) { try convert(vast) }
    #expect(refusal?.place == .tensor("backbone.norm_f.weight"))
    #expect(refusal?.found.hasPrefix("-1e+39 as element 7") == true)
    #expect(refusal?.expected.contains("3.4e38") == true)
  }

  @Test func anOptionWithoutBitsOfBFloat16IsRefused() throws {
    let refusal = expectRefusal(.usageOption) {
      try convert(checkpoint { _ in }) { $0.readsUInt16AsBFloat16 = true }
    }
    #expect(refusal?.place == .parameter("readsUInt16AsBFloat16"))
  }
}
