import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// Truncated files, and files with a changed bit.
@Suite struct DamageTests {
  private let folder = TemporaryFolder()

  private func read(_ bytes: [UInt8]) throws -> Artifact {
    try Artifact(reading: folder.write(bytes, to: "a.safetensors"))
  }

  private func dataStart(_ bytes: [UInt8]) throws -> Int {
    8 + Int(try ByteReader(bytes).unsigned(at: 0, byteCount: 8))
  }

  @Test(arguments: Samples.names)
  func aChangedBitInTheDataIsRefused(name: String) throws {
    let bytes = try Samples.named(name).bytes()
    for place in try dataStart(bytes)..<bytes.count {
      for bit in [place % 8] {
        var damaged = bytes
        damaged[place] ^= 1 << bit
        expectRefusal(.artifactDigest, "bit \(bit) of byte \(place)") { try read(damaged) }
      }
    }
  }

  @Test(arguments: Samples.names)
  func aChangedBitInTheHeaderIsRefusedOrMeansNothing(name: String) throws {
    let artifact = Samples.named(name)
    let bytes = try artifact.bytes()
    var meaningless = 0
    for place in 0..<(try dataStart(bytes)) {
      for bit in [0, 5] {
        var damaged = bytes
        damaged[place] ^= 1 << bit
        do {
          let found = try read(damaged)
          #expect(found == artifact, "bit \(bit) of byte \(place) gave another artifact")
          meaningless += 1
        } catch is Refusal {}
      }
    }
    // The manifest has a digest, and the rest of the file is checked against the manifest.
    #expect(meaningless == 0)
  }

  @Test(arguments: Samples.names)
  func aFileCutOffAnywhereIsRefused(name: String) throws {
    let bytes = try Samples.named(name).bytes()
    for count in 0..<bytes.count {
      do {
        _ = try read(Array(bytes[..<count]))
        Issue.record("accepted \(count) of \(bytes.count) bytes")
      } catch is Refusal {}
    }
    expectRefusal(.safetensorsTrailingBytes) { try read(bytes + [0]) }
  }
}
