import SextantBytes
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// The bytes of a file.
func contents(of path: String) throws -> [UInt8] {
  try InputFile(path).readAll(limit: 1 << 30)
}

/// The content of a small store for tests.
struct Sample {
  var architecture = "mamba"
  var configuration = JSONObject([("layers", 2), ("epsilon", 1e-5), ("name", "tiny é")])
  var variant = StoreFormat.sourceVariant
  var tensors: [Piece] = [
    Piece("b.weight", .f32, [2, 3], bytes(24)), Piece("a.bias", .bf16, [5], bytes(10)),
    Piece("empty", .f32, [0, 4], []), Piece("scalar", .f16, [], bytes(2)),
  ]
  var attachments: [(name: String, bytes: [UInt8])] = [("tokenizer.json", Array("{}".utf8))]

  /// A tensor, with its bytes in the store and in the source.
  struct Piece {
    var plan: PlannedTensor
    var stored: [UInt8]
    var source: [UInt8]

    init(_ name: String, _ type: DataType, _ shape: [Int], _ stored: [UInt8]) {
      plan = PlannedTensor(name: name, dataType: type, shape: shape)
      self.stored = stored
      source = stored
    }
  }

  /// Bytes that differ from their neighbours and are never zero.
  static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8($0 % 251 + 1) } }

  /// Writes the store and returns its identity.
  @discardableResult
  func write(to path: String, replacing: Bool = false) throws -> Digest {
    let writer = try StoreWriter(
      destination: path, replacing: replacing, architecture: architecture,
      configuration: configuration, variant: variant, tensors: tensors.map(\.plan),
      attachments: attachments)
    let byName = Dictionary(uniqueKeysWithValues: tensors.map { ($0.plan.name, $0) })
    for plan in writer.tensors {
      let piece = try #require(byName[plan.name])
      try writer.write(plan.name) { sink throws(Refusal) in
        try piece.stored.handOver { stored throws(Refusal) in
          try piece.source.handOver { source throws(Refusal) in
            try sink.append(stored, source: source)
          }
        }
      }
    }
    return try writer.finish()
  }

  /// The bytes of the store.
  func bytes() throws -> [UInt8] {
    let folder = TemporaryFolder()
    try write(to: folder.path("sample.sxt"))
    return try contents(of: folder.path("sample.sxt"))
  }
}

extension [UInt8] {
  /// Calls `body` with a pointer to the bytes.
  func handOver(
    _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    var failure: Refusal?
    withUnsafeBytes { bytes in
      do throws(Refusal) { try body(bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
