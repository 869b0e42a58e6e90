import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// Runs `sextant` and expects this exit status.
@discardableResult
func sextant(
  _ arguments: String..., input: String = "", status: Int32 = 0,
  sourceLocation: SourceLocation = #_sourceLocation
) -> CommandRun {
  let run = CommandRun.sextant(arguments, input: input)
  #expect(
    run.end == .exited(status), "\(arguments): \(run.errors)", sourceLocation: sourceLocation)
  return run
}

extension CommandRun {
  /// Standard output as a JSON document.
  func json() throws -> JSONNode {
    try JSONNode(parsing: Array(output.utf8), code: .jsonInvalid, file: "standard output")
  }
}

extension JSONNode {
  /// The keys of an object.
  func keys() throws -> Set<String> { Set(try members().map(\.key)) }

  /// The member as a string.
  func text(_ key: String) throws -> String { try member(key).string() }

  /// An array of strings.
  func texts() throws -> [String] { try elements().map { try $0.string() } }

  /// An array of integers.
  func integers() throws -> [Int] { try elements().map { try $0.integer(in: Int.min...Int.max) } }
}

/// All bytes of a file.
func bytes(of path: String) throws -> [UInt8] { try InputFile(path).readAll(limit: 1 << 30) }

/// The files for tests of the command line: the converted demo model and a trained vector.
struct Workspace {
  /// The folder of the test.
  let folder = TemporaryFolder()

  /// The demo model with its tokenizer.
  static let model = shared("demo.sxt") { path in
    sextant("convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o", path)
  }

  /// The first of the demo model's contrast pairs: few, so that tests are quick.
  static let pairs = shared("pairs.jsonl") { path in
    let all = try bytes(of: PackageFiles.fixture("demo-model/sentiment_pairs.jsonl"))
    let lines = all.split(separator: UInt8(ascii: "\n")).prefix(8)
    try FilePublisher.publish(Array(lines.joined(separator: [UInt8(ascii: "\n")])), to: path)
  }

  /// A steering vector for the residual stream and the state, learned from `pairs`.
  static let vector = shared("joy.steer.safetensors") { path in
    sextant("steer", "train", "-m", model, "--pairs", pairs, "--sites", "all", "-o", path)
  }

  private static func shared(_ name: String, _ make: (String) throws -> Void) -> String {
    let path = TemporaryFolder.shared.path(name)
    do { try make(path) } catch { Issue.record(error) }
    return path
  }

  /// A copy of a fixture's checkpoint with its configuration and tokenizer.
  func copy(
    of fixture: String, changing change: (inout [(name: String, value: Tensor)]) -> Void
  ) throws -> String {
    let source = try SafetensorsFile(PackageFiles.fixture("\(fixture)/model.safetensors"))
    var tensors: [(name: String, value: Tensor)] = []
    for entry in source.tensors {
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      tensors.append((entry.name, try #require(value)))
    }
    change(&tensors)
    let copy = folder.makeFolder("copy")
    var writer = SafetensorsWriter()
    for (name, value) in tensors { writer.add(name, value) }
    try writer.publish(to: "\(copy)/model.safetensors")
    for name in ["config.json", "tokenizer.json"] {
      if let bytes = try? bytes(of: PackageFiles.fixture("\(fixture)/\(name)")) {
        folder.write(bytes, to: "copy/\(name)")
      }
    }
    return copy
  }
}
