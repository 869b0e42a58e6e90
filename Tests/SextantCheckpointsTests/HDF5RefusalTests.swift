import Glibc
import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantCheckpoints

/// Files that the HDF5 reader refuses: hostile files, damaged files, and files of other layouts.
@Suite struct HDF5RefusalTests {
  @Test(arguments: HDF5Cases.refused)
  func refusesTheFixturesByTheirCodes(file: HDF5Cases.Refused) throws {
    let refusal = expectRefusal(file.code, "\(file.file)") { try Self.readAll(file.path) }
    #expect(refusal?.file == file.path)
    #expect(refusal?.exitStatus == 65)
  }

  @Test(.timeLimit(.minutes(1)), arguments: HDF5Cases.damaged)
  func survivesWhatTheLibraryDoesNot(file: String) throws {
    let path = PackageFiles.format("vectors/\(file)")
    do {
      try Self.readAll(path, timeout: .seconds(2))
      Issue.record("accepted \(file)")
    } catch {
      #expect(error.code.rawValue.hasPrefix("h5."), "\(error)")
      #expect(error.file == path)
    }
  }

  @Test func namesTheDatasetAndTheRemedy() throws {
    let refusal = expectRefusal(.hdf5UnmarkedBFloat16) {
      try Self.readAll(PackageFiles.format("vectors/reject/hdf5/bfloat16-unmarked.h5"))
    }
    #expect(refusal?.place == .tensor("/weight"))
    #expect(refusal?.remedy == Refusal.Code.hdf5UnmarkedBFloat16.remedy)
  }

  @Test func refusesEveryTruncation() throws {
    let folder = TemporaryFolder()
    for name in ["dots", "all-filters-v110"] {
      let bytes = try InputFile(try HDF5Cases.accepted(name).path).readAll(limit: 1 << 20)
      let early = stride(from: 1, to: 100, by: 11)
      let late = stride(from: 100, to: bytes.count, by: bytes.count / 25)
      for count in Array(early) + Array(late) + [bytes.count - 1] {
        let path = folder.write(Array(bytes.prefix(count)), to: "cut.h5")
        expectRefusal(count < 8 ? .hdf5Signature : .hdf5EndOfFile, "\(count) bytes of \(name)") {
          try Self.readAll(path)
        }
      }
    }
  }

  /// A damaged file is read or refused. Nothing else may happen.
  @Test(arguments: ["dots", "all-filters", "all-filters-v110", "bfloat16-marked"])
  func survivesDamage(name: String) throws {
    let folder = TemporaryFolder()
    let bytes = try InputFile(try HDF5Cases.accepted(name).path).readAll(limit: 1 << 20)
    var random = SplitMix64(seed: 5)
    // Only bytes that are not zero: most of a small file is padding.
    let places = bytes.indices.filter { bytes[$0] != 0 }
    var outcomes: [String: Int] = [:]
    for _ in 0..<60 {
      var damaged = bytes
      for _ in 0...random.int(below: 3) {
        damaged[places[random.int(below: places.count)]] ^= 1 << UInt8(random.int(below: 8))
      }
      let path = folder.write(damaged, to: "damaged.h5")
      do {
        try Self.readAll(path, timeout: .seconds(5))
        outcomes["accepted", default: 0] += 1
      } catch {
        #expect(error.code.rawValue.hasPrefix("h5."), "\(error)")
        outcomes[error.code.rawValue, default: 0] += 1
      }
    }
    #expect(outcomes.values.reduce(0, +) == 60)
    #expect(outcomes.count > 1, "\(outcomes)")
  }

  @Test func findsASignatureOnlyAtTheStart() throws {
    let folder = TemporaryFolder()
    let path = folder.write(Array("no HDF5 file, whatever its name".utf8), to: "model.h5")
    let refusal = expectRefusal(.hdf5Signature) { try CheckpointSource.open(path) }
    #expect(refusal?.place == .offset(0))
    expectRefusal(.fileMissing) { try HDF5Checkpoint(folder.path("absent.h5")) }
    expectRefusal(.fileNotRegular) { try HDF5Checkpoint(folder.path) }
    expectRefusal(.fileEmpty) { try HDF5Checkpoint(folder.write([], to: "empty.h5")) }
  }

  @discardableResult
  static func readAll(
    _ path: String, timeout: Duration? = nil
  ) throws(Refusal) -> HDF5Checkpoint {
    let checkpoint = try HDF5Checkpoint(path, timeout: timeout)
    for tensor in checkpoint.tensors {
      var count = 0
      try checkpoint.read(tensor) { count += $0.count }
      #expect(count == tensor.byteCount)
    }
    return checkpoint
  }
}
