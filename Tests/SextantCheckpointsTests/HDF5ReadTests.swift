import Glibc
import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantCheckpoints

/// Files that the HDF5 reader accepts, and the numbers that it reads.
@Suite struct HDF5ReadTests {
  /// One model as an HDF5 file in three shapes of the format, and as safetensors.
  @Test(arguments: ["flat", "nested", "latest"])
  func readsTheTensorsOfTheSafetensorsForm(form: String) throws {
    let reference = try CheckpointSource.open(
      PackageFiles.fixture("mamba-tiny/huggingface/model.safetensors")
    ).checkpoint
    let source = try CheckpointSource.open(PackageFiles.fixture("mamba-tiny/hdf5/\(form).h5"))
    let checkpoint = source.checkpoint
    #expect(checkpoint.format == "hdf5")
    #expect(checkpoint.tensors == reference.tensors)
    for tensor in checkpoint.tensors {
      #expect(try checkpoint.bytes(of: tensor) == reference.bytes(of: tensor), "\(tensor.name)")
    }
    #expect(source.warnings.isEmpty)
    #expect((checkpoint.metadata["config"] != nil) == (form != "flat"))
    try checkpoint.checkUnchanged()
  }

  @Test(arguments: HDF5Cases.accepted)
  func readsTheFixturesExactly(file: HDF5Cases.Accepted) throws {
    let checkpoint = try HDF5Checkpoint(file.path)
    #expect(checkpoint.tensors == file.tensors.map(\.tensor))
    #expect(checkpoint.metadata == file.metadata)
    if !file.notes.isEmpty { #expect(checkpoint.notes == file.notes) }
    // In reverse, because the caller may choose any order of requests.
    for (tensor, digest, hexadecimal) in file.tensors.reversed() {
      let bytes = try checkpoint.bytes(of: tensor)
      #expect(bytes.count == tensor.byteCount)
      #expect(SHA256.digest(bytes).description == digest, "\(tensor.name)")
      if let hexadecimal { #expect(Self.hexadecimal(bytes) == hexadecimal, "\(tensor.name)") }
    }
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test func reportsWhatItConverted() throws {
    let source = try CheckpointSource.open(try HDF5Cases.accepted("big-endian").path)
    #expect(
      source.warnings
        == ["double", "integer", "single"].map {
          "converted /\($0) from big-endian numbers"
        })
  }

  @Test func handsOverBoundedPiecesOfWholeElements() throws {
    let file = try HDF5Cases.accepted("many-pieces")
    let checkpoint = try HDF5Checkpoint(file.path)
    var counts: [Int] = []
    try checkpoint.read(checkpoint.tensors[0]) { counts.append($0.count) }
    #expect(counts.reduce(0, +) == checkpoint.tensors[0].byteCount)
    #expect(counts.count > 2)
    #expect(counts.allSatisfy { $0 <= HDF5ReaderMessage.maximumPayloadByteCount && $0 % 4 == 0 })
  }

  @Test func staysUsableWhenACallerGivesUpInTheMiddle() throws {
    let file = try HDF5Cases.accepted("many-pieces")
    let checkpoint = try HDF5Checkpoint(file.path)
    let reason = Refusal(.diskFull, found: "no room", expected: "room")
    for (tensor, digest, _) in file.tensors {
      var calls = 0
      let refusal = expectRefusal(.diskFull) {
        try checkpoint.read(checkpoint.tensors[0]) { _ throws(Refusal) in
          calls += 1
          throw reason
        }
      }
      #expect(calls == 1)
      #expect(refusal?.found == "no room")
      #expect(SHA256.digest(try checkpoint.bytes(of: tensor)).description == digest)
    }
  }

  @Test func answersSeveralThreadsAtOnce() async throws {
    let file = try HDF5Cases.accepted("many-pieces")
    let checkpoint = try HDF5Checkpoint(file.path)
    let digests = try await withThrowingTaskGroup(of: [String].self) { group in
      for _ in 0..<4 {
        group.addTask {
          try checkpoint.tensors.map {
            SHA256.digest(try checkpoint.bytes(of: $0)).description
          }
        }
      }
      return try await group.reduce(into: [[String]]()) { $0.append($1) }
    }
    #expect(digests == Array(repeating: file.tensors.map(\.digest), count: 4))
  }

  @Test func noticesAFileThatChanges() throws {
    let folder = TemporaryFolder()
    let original = try InputFile(try HDF5Cases.accepted("dots").path)
    let path = folder.write(try original.readAll(limit: 1 << 20), to: "weights.h5")
    let checkpoint = try HDF5Checkpoint(path)
    #expect(checkpoint.reads(path: path))
    #expect(!checkpoint.reads(path: original.path))
    truncate(path, 100)
    expectRefusal(.fileChanged) { try checkpoint.checkUnchanged() }
    expectRefusal(.hdf5Invalid) { try checkpoint.bytes(of: checkpoint.tensors[0]) }
  }

  @Test func refusesATensorOfAnotherFile() throws {
    let checkpoint = try HDF5Checkpoint(try HDF5Cases.accepted("dots").path)
    let stranger = CheckpointTensor(name: "stranger", dataType: .f32, shape: [1], byteCount: 4)
    expectRefusal(.modelTensorMissing) { try checkpoint.bytes(of: stranger) }
  }
}
