import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// A small valid file that uses every feature of the format.
private func sample() -> [UInt8] {
  RawSafetensors.file(
    [
      ("blocks.0.weight", "F32", [2, 3], Array(0..<24)), ("é/b", "BF16", [2], [1, 2, 3, 4]),
      ("empty", "I64", [0, 5], []), ("scalar", "U8", [], [255]),
    ], metadata: [("format", "pt")])
}

/// Opens a damaged file. It is refused as bad data, or every tensor is inside the file.
///
/// - Returns: whether it was refused.
private func refusesOrStaysInBounds(_ bytes: [UInt8], in folder: TemporaryFolder) -> Bool {
  let path = folder.write(bytes, to: "m.safetensors")
  do throws(Refusal) {
    let file = try SafetensorsFile(path)
    var total = 0
    for tensor in file.tensors {
      let count = try file.bytes(of: tensor).count
      #expect(count == tensor.byteCount)
      #expect(tensor.dataType.byteCount(shape: tensor.shape) == count)
      total += count
    }
    #expect(total < bytes.count)
    return false
  } catch {
    #expect(error.file == path)
    #expect(error.exitStatus == 65)
    return true
  }
}

@Test func refusesAFileCutOffAtAnyByte() {
  let folder = TemporaryFolder()
  let bytes = sample()
  for count in 0..<bytes.count {
    #expect(refusesOrStaysInBounds(Array(bytes.prefix(count)), in: folder), "\(count) bytes")
  }
  #expect(!refusesOrStaysInBounds(bytes, in: folder))
}

@Test func refusesAFileThatGrewByAnyByte() {
  let folder = TemporaryFolder()
  let bytes = sample()
  for byte in UInt8.min...UInt8.max {
    #expect(refusesOrStaysInBounds(bytes + [byte], in: folder))
  }
}

@Test(arguments: 0..<8)
func survivesAFlipOfAnyHeaderBit(_ bit: Int) throws {
  let folder = TemporaryFolder()
  let bytes = sample()
  let headerCount = try 8 + Int(ByteReader(bytes).unsigned(at: 0, byteCount: 8))
  var refused = 0
  for position in 0..<headerCount {
    var damaged = bytes
    damaged[position] ^= 1 << bit
    if refusesOrStaysInBounds(damaged, in: folder) { refused += 1 }
  }
  // A flip inside a name or in metadata makes another valid file. Every other flip must be noticed.
  #expect(refused > headerCount / 2)
}

@Test func everyFlipOfTheHeaderLengthIsRefused() {
  let folder = TemporaryFolder()
  let bytes = sample()
  for position in 0..<8 {
    for mask in UInt8(1)...255 {
      var damaged = bytes
      damaged[position] ^= mask
      #expect(refusesOrStaysInBounds(damaged, in: folder), "byte \(position), mask \(mask)")
    }
  }
}

/// Mutated files for each seed. `SEXTANT_MUTATIONS` sets a larger number.
private let mutationCount = getenv("SEXTANT_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 150

/// Random edits that keep much of the structure, so that the code after the parser is reached.
@Test(arguments: 0..<8)
func survivesRandomMutations(_ seed: Int) {
  let folder = TemporaryFolder()
  var numbers = SplitMix64(seed: UInt64(seed))
  let tokens: [[UInt8]] = [
    "\"", ",", ":", "[", "]", "{", "}", "0", "-1", "9223372036854775807", "1e3", "null", "\\u0000",
    "[0,0]", "\"F32\"", "\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"__metadata__\"", "\u{301}",
  ].map { Array($0.utf8) }
  for _ in 0..<mutationCount {
    var bytes = sample()
    for _ in 0...numbers.int(below: 4) {
      let position = 8 + numbers.int(below: bytes.count - 8)
      let end = min(position + numbers.int(below: 12), bytes.count)
      switch numbers.int(below: 4) {
      case 0: bytes[position] = UInt8(numbers.int(below: 256))
      case 1: bytes.insert(contentsOf: tokens[numbers.int(below: tokens.count)], at: position)
      case 2: bytes.removeSubrange(position..<end)
      default: bytes.insert(contentsOf: bytes[position..<end], at: 8 + numbers.int(below: 200))
      }
    }
    // In half of the files the declared length is updated, so that the header is read.
    if numbers.int(below: 2) == 0, bytes.count > 8 + 29 {
      bytes.replaceSubrange(0..<8, with: UInt64(bytes.count - 8 - 29).littleEndianBytes)
    }
    _ = refusesOrStaysInBounds(bytes, in: folder)
  }
}
