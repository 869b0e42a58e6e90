import SextantBytes
import SextantTestSupport
import Testing

/// Every file of `formats/vectors` is read with the result in the index, or refused with its code.
@Suite struct VectorTests {
  @Test(arguments: Vector.all.filter(\.isAccepted))
  func reads(vector: Vector) throws {
    let found = try vector.read()
    if let tensors = vector.tensors { #expect(found == tensors) }
    #expect(!found.isEmpty)
  }

  @Test(.timeLimit(.minutes(1)), arguments: Vector.all.filter { !$0.isAccepted })
  func refuses(vector: Vector) throws {
    do {
      _ = try vector.read()
      Issue.record("accepted \(vector.file)")
    } catch {
      if let code = vector.code { #expect(error.code == code, "\(error)") }
      // The message names the file and what to do.
      let folder = PackageFiles.format("vectors/reject/\(vector.format)/")
      #expect(error.file?.hasPrefix(folder) == true, "\(error)")
      #expect(!error.remedy.isEmpty && [65, 66].contains(error.exitStatus))
    }
  }

  /// Codes of formats without a file here. They concern events around a file, or need a file that
  /// is too large to keep. Each has its own test.
  private static let withoutFile: Set<Refusal.Code> = [
    // A million tensors; 200,000 objects; a billion memo entries.
    .safetensorsCount, .hdf5Objects,
    // The reader's own end, and the architecture's counts.
    .hdf5ReaderMissing, .hdf5ReaderCrashed, .hdf5ReaderTimeout, .hdf5ReaderProtocol,
    .hdf5ReaderUnconfined,
    .hdf5KerasCount,
    // An architecture that the build does not have, and codes for the use of an artifact.
    .storeArchitecture, .artifactModelDigest, .artifactWidth, .artifactScale,
    .artifactTokenizerDigest, .artifactRetrain, .artifactZero, .artifactConflict,
    // A string above 64 KiB, a header that is no object.
    .jsonTooLong, .jsonNotObject,
  ]

  @Test(arguments: ["st", "index", "h5", "pth", "zip", "npy", "gguf", "store", "artifact", "json"])
  func everyCodeOfAFormatHasAFile(family: String) {
    let codes = Refusal.Code.allCases.filter { $0.rawValue.hasPrefix(family + ".") }
    let shown = Set(Vector.all.compactMap(\.code))
    #expect(!codes.isEmpty)
    for code in codes where !Self.withoutFile.contains(code) {
      #expect(shown.contains(code), "\(code.rawValue)")
    }
  }
}
