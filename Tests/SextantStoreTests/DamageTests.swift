import Glibc
import SextantBytes
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Damage at every place of a small store. All damage must be noticed, and none may crash the
/// reader.
@Suite struct DamageTests {
  let folder = TemporaryFolder()

  @Test func everyTruncationIsRefused() throws {
    let bytes = try Sample().bytes()
    for count in 0..<bytes.count {
      let path = folder.write(Array(bytes[..<count]), to: "cut.sxt")
      let expected: Refusal.Code =
        switch count {
        case 0: .fileEmpty
        case 1..<8: .storeMagic
        case 8..<32: .fileTooShort
        default: .storeSize
        }
      expectRefusal(expected, "\(count) bytes") { try ModelStore(opening: path) }
    }
  }

  @Test func everyAppendedByteIsRefused() throws {
    let path = folder.write(try Sample().bytes() + [0], to: "grown.sxt")
    expectRefusal(.storeSize) { try ModelStore(opening: path) }
  }

  @Test(arguments: [0x01, 0xFF] as [UInt8])
  func everyChangedByteOfHeaderAndFooterIsRefusedAtOpening(mask: UInt8) throws {
    let bytes = try Sample().bytes()
    let (dataStart, dataEnd) = try dataRange(of: bytes)
    for place in Array(0..<dataStart) + Array(dataEnd..<bytes.count) {
      var damaged = bytes
      damaged[place] ^= mask
      let path = folder.write(damaged, to: "damaged.sxt")
      #expect(throws: Refusal.self, "byte \(place)") { try ModelStore(opening: path) }
    }
  }

  @Test(arguments: [0x01, 0xFF] as [UInt8])
  func everyChangedByteOfTheDataIsFoundByVerify(mask: UInt8) throws {
    let bytes = try Sample().bytes()
    let (dataStart, dataEnd) = try dataRange(of: bytes)
    let table = try ModelStore(opening: folder.write(bytes, to: "whole.sxt"))
    let data =
      table.tensors.map { $0.offset..<$0.offset + $0.byteCount }
      + table.attachments.map { $0.offset..<$0.offset + $0.byteCount }
    for place in dataStart..<dataEnd {
      var damaged = bytes
      damaged[place] ^= mask
      let store = try ModelStore(opening: folder.write(damaged, to: "damaged.sxt"))
      let isPadding = !data.contains { $0.contains(place) }
      expectRefusal(isPadding ? .storePadding : .storeTensorDigest, "byte \(place)") {
        try store.verify()
      }
    }
  }

  /// Random headers with valid digests. Every accepted file must be readable.
  @Test func randomHeadersAreRefusedOrRead() throws {
    var random = SplitMix64(seed: 1)
    let raw = try RawStore()
    let valid = Array(raw.bytes[32..<32 + RawStore.headerByteCount])
    let pool = Array("0123456789-.eE\"[]{},:atrueflsn\\ \0".utf8)
    var acceptedCount = 0
    for _ in 0..<1500 {
      var mutant = raw
      var text = valid
      for _ in 0...random.int(below: 3) {
        text[random.int(below: 1600)] = pool[random.int(below: pool.count)]
      }
      mutant.text = text
      let path = folder.write(mutant.bytes, to: "mutant.sxt")
      do throws(Refusal) {
        let store = try ModelStore(opening: path)
        for entry in store.tensors {
          let tensor = try store.tensor(entry.name)
          #expect(tensor.shape == entry.shape)
        }
        acceptedCount += 1
      } catch {
        #expect(error.file == path)
      }
    }
    #expect(acceptedCount < 1500)
  }

  @Test func verifyRefusesAFileThatShrinksOrChanges() throws {
    let bytes = try Sample().bytes()
    let path = folder.write(bytes, to: "shrinking.sxt")
    let store = try ModelStore(opening: path)
    #expect(truncate(path, off_t(bytes.count - 64)) == 0)
    expectRefusal(.fileChanged) { try store.verify() }
  }

  @Test func verifyNoticesATruncationMidway() throws {
    var sample = Sample()
    sample.tensors.append(.init("large", .u8, [9 << 20], Sample.bytes(9 << 20)))
    let path = folder.path("shrinking.sxt")
    try sample.write(to: path)
    let store = try ModelStore(opening: path)
    expectRefusal(.fileTooShort) {
      try store.verify { _, _ in truncate(path, 1 << 20) }
    }
  }

  @Test func refusesWhatIsNoFile() {
    expectRefusal(.fileMissing) { try ModelStore(opening: folder.path("absent.sxt")) }
    expectRefusal(.fileNotRegular) { try ModelStore(opening: folder.path) }
    expectRefusal(.fileNotRegular) { try ModelStore(opening: "/dev/zero") }
    expectRefusal(.fileEmpty) { try ModelStore(opening: folder.write([], to: "empty.sxt")) }
  }

  private func dataRange(of bytes: [UInt8]) throws -> (start: Int, end: Int) {
    let count = Int(try ByteReader(bytes).unsigned(at: 16, byteCount: 8))
    return ((32 + count + 63) / 64 * 64, bytes.count - 64)
  }
}
