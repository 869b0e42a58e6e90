import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// A small valid file with values of many types and a quantised tensor between two others.
private func sample() -> [UInt8] {
  RawGGUF.file(
    values: [
      RawGGUF.entry("general.architecture", "llama"), RawGGUF.entry("general.alignment", 32),
      RawGGUF.entry("f", f32: 0.5), RawGGUF.entry("b", true),
      RawGGUF.entry("s", 9, RawGGUF.array(["a", "", "bc"])),
      RawGGUF.entry("n", 9, RawGGUF.array(9, count: 1, RawGGUF.array([1, 2]))),
    ],
    tensors: [
      RawGGUF.tensor("a", [2, 3]), RawGGUF.tensor("b", [32, 2], type: 2, offset: 32),
      RawGGUF.tensor("c", [5], type: 30, offset: 96),
    ], data: (0..<106).map { UInt8($0) })
}

/// Opens a damaged file. It is refused as bad data, or each tensor has as many bytes as it
/// declares.
@discardableResult
private func refusesOrStaysInBounds(
  _ bytes: [UInt8], in folder: TemporaryFolder
) -> Refusal.Code? {
  let path = folder.write(bytes, to: "m.gguf")
  do throws(Refusal) {
    let file = try GGUFFile(path)
    for tensor in file.tensors {
      let count = try file.bytes(of: tensor).count
      #expect(count == tensor.byteCount)
      #expect(tensor.dataType.byteCount(shape: tensor.shape) == count)
    }
    for case .array(let array) in file.values.values {
      #expect(try (file.strings(of: array)?.count ?? array.count) == array.count)
      #expect(try (file.integers(of: array)?.count ?? array.count) == array.count)
    }
    return nil
  } catch {
    #expect(error.file == path)
    #expect(error.exitStatus == 65)
    return error.code
  }
}

@Test func refusesAGGUFFileCutOffAtAnyByte() {
  let folder = TemporaryFolder()
  let bytes = sample()
  for count in 0..<bytes.count where count != 0 {
    #expect(refusesOrStaysInBounds(Array(bytes.prefix(count)), in: folder) != nil, "\(count) bytes")
  }
  #expect(refusesOrStaysInBounds(bytes, in: folder) == nil)
}

@Test(arguments: 0..<8)
func survivesAFlipOfAnyBitOfAGGUFHeader(_ bit: Int) {
  let folder = TemporaryFolder()
  let bytes = sample()
  for position in 0..<bytes.count - 106 {
    var damaged = bytes
    damaged[position] ^= 1 << bit
    refusesOrStaysInBounds(damaged, in: folder)
  }
}

/// Mutated files for each seed. `SEXTANT_MUTATIONS` sets a larger number.
private let mutationCount = getenv("SEXTANT_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 150

@Test(arguments: 0..<8)
func survivesRandomGGUFFiles(_ seed: Int) {
  let folder = TemporaryFolder()
  var numbers = SplitMix64(seed: UInt64(seed))
  let good = sample()
  var refused = 0
  for _ in 0..<mutationCount {
    var bytes = good
    for _ in 0...numbers.int(below: 3) {
      let position = 8 + numbers.int(below: bytes.count - 8)
      let end = min(position + numbers.int(below: 12), bytes.count)
      switch numbers.int(below: 5) {
      case 0: bytes[position] = UInt8(numbers.int(below: 256))
      case 1: bytes[position] = 0xFF
      case 2: bytes.removeSubrange(position..<end)
      case 3:
        // A whole number of 8 bytes: small, near a power of two, or anything.
        let value = [numbers.next() % 64, 1 << (numbers.next() % 64) &- numbers.next() % 3]
        let place = min(position, bytes.count - 8)
        guard place > 0 else { break }
        bytes.replaceSubrange(
          place..<place + 8, with: value[numbers.int(below: 2)].littleEndianBytes)
      default: bytes.insert(contentsOf: bytes[position..<end], at: 8 + numbers.int(below: 99))
      }
      if bytes.count < 128 { break }
    }
    if refusesOrStaysInBounds(bytes, in: folder) != nil { refused += 1 }
  }
  #expect(refused > mutationCount / 4)
}
