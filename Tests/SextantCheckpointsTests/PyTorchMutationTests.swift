import Glibc
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// A small valid file in PyTorch's layout: padding, sizes after the data, 64-bit end record.
private func sample() -> [UInt8] {
  let storage = RawPyTorch.storage("0", "HalfStorage", count: 6)
  let pickle = RawPyTorch.pickle(
    RawPyTorch.dictionary([
      ("whole", RawPyTorch.tensor(storage, shape: [6], strides: [1])),
      ("turned", RawPyTorch.tensor(storage, shape: [3, 2], strides: [1, 3])),
    ]))
  var members = RawPyTorch.members(pickle: pickle, storages: [("0", Array(0..<12))], folder: "m")
  for place in members.indices {
    members[place].flags = 0x800
    members[place].descriptorWidth = 4
    members[place].extra = Array("FB".utf8) + [2, 0] + Array("ZZ".utf8)
  }
  return RawZip.file(members, isWide: true)
}

/// Opens a damaged file. It is refused as bad data, or each tensor has as many bytes as it
/// declares.
///
/// - Returns: the code of the refusal.
@discardableResult
private func refusesOrStaysInBounds(
  _ bytes: [UInt8], in folder: TemporaryFolder
) -> Refusal.Code? {
  let path = folder.write(bytes, to: "m.pth")
  do throws(Refusal) {
    let file = try PyTorchFile(path)
    for tensor in file.tensors {
      let count = try file.bytes(of: tensor).count
      #expect(count == tensor.byteCount && count <= max(bytes.count, 8 << 24))
      #expect(tensor.dataType.byteCount(shape: tensor.shape) == count)
    }
    return nil
  } catch {
    #expect(error.file == path)
    #expect(error.exitStatus == 65)
    return error.code
  }
}

@Test(arguments: [false, true])
func refusesAPyTorchFileCutOffAtAnyByte(isLegacy: Bool) throws {
  let folder = TemporaryFolder()
  let bytes =
    isLegacy
    ? try InputFile(PackageFiles.fixture("pytorch/habits/legacy-4.pth")).readAll(limit: 1 << 20)
    : sample()
  for count in 0..<bytes.count {
    #expect(refusesOrStaysInBounds(Array(bytes.prefix(count)), in: folder) != nil, "\(count) bytes")
  }
  #expect(refusesOrStaysInBounds(bytes, in: folder) == nil)
}

/// Every bit is checked, by a checksum or because two records must agree. Dates, versions and
/// attributes are not checked, because they do not describe the content.
@Test(arguments: 0..<8)
func noticesAFlipOfAnyBitThatMatters(_ bit: Int) {
  let folder = TemporaryFolder()
  let bytes = sample()
  var accepted = 0
  for position in bytes.indices {
    var damaged = bytes
    damaged[position] ^= 1 << bit
    if refusesOrStaysInBounds(damaged, in: folder) == nil { accepted += 1 }
  }
  // Not checked: two bytes of padding and 8 more in each of 4 local headers, 16 in each directory
  // entry, and
  // 4 in the end record; a changed date is no damage.
  #expect(accepted <= 4 * (2 + 6 + 16) + 4, "\(accepted) of \(bytes.count)")
}

/// Mutated files for each seed. `SEXTANT_MUTATIONS` sets a larger number.
private let mutationCount = getenv("SEXTANT_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 150

/// Pickles with random edits, in archives with correct checksums, so that the edits are read.
@Test(arguments: 0..<8)
func survivesRandomPickles(_ seed: Int) {
  let folder = TemporaryFolder()
  var numbers = SplitMix64(seed: UInt64(seed))
  let storage = RawPyTorch.storage("0", "ShortStorage", count: 12)
  let pickle = RawPyTorch.pickle(
    RawPyTorch.dictionary([
      ("a", RawPyTorch.tensor(storage, shape: [3, 4], strides: [4, 1])),
      ("b", RawPyTorch.tensor(storage, offset: 1, shape: [2, 2, 2], strides: [1, 4, 2])),
    ]))
  let opcodes =
    Array("()}]NKMJGXURQbcqrhjtuaseBCT.".utf8) + [UInt8](0x81...0x96)
  var accepted = 0
  for _ in 0..<mutationCount {
    var bytes = pickle
    for _ in 0...numbers.int(below: 3) {
      let position = 2 + numbers.int(below: bytes.count - 2)
      let end = min(position + numbers.int(below: 12), bytes.count)
      switch numbers.int(below: 5) {
      case 0: bytes[position] = UInt8(numbers.int(below: 256))
      case 1: bytes.insert(opcodes[numbers.int(below: opcodes.count)], at: position)
      case 2: bytes.removeSubrange(position..<end)
      case 3: bytes[position] ^= 1 << UInt8(numbers.int(below: 8))
      default: bytes.insert(contentsOf: bytes[position..<end], at: 2 + numbers.int(below: 99))
      }
      if bytes.count < 3 { break }
    }
    let file = RawPyTorch.file(pickle: bytes, storages: [("0", numbers.bytes(24))])
    if refusesOrStaysInBounds(file, in: folder) == nil { accepted += 1 }
  }
  #expect(accepted < mutationCount)
}
