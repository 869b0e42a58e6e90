import SextantBytes

/// Bytes of files as `torch.save` writes them, good and bad.
package enum RawPyTorch {
  /// The members of a file, before they are put into an archive.
  package static func members(
    pickle: [UInt8], storages: [(key: String, bytes: [UInt8])], folder: String = "model"
  ) -> [RawZip.Member] {
    [
      RawZip.Member("\(folder)/data.pkl", pickle), RawZip.Member("\(folder)/byteorder", "little"),
    ] + storages.map { RawZip.Member("\(folder)/data/\($0.key)", $0.bytes) }
      + [RawZip.Member("\(folder)/version", "3\n")]
  }

  /// A file with this pickle and these storages.
  package static func file(
    pickle: [UInt8], storages: [(key: String, bytes: [UInt8])] = []
  ) -> [UInt8] {
    RawZip.file(members(pickle: pickle, storages: storages))
  }

  /// A file of the format before version 1.6.
  ///
  /// - Parameter storages: keys, bytes of an element, and the elements, in the order of the file.
  package static func legacyFile(
    pickle: [UInt8], storages: [(key: String, width: Int, bytes: [UInt8])] = [],
    version: Int = 1001, isLittleEndian: Bool = true
  ) -> [UInt8] {
    let machine = dictionary([
      ("protocol_version", integer(version)), ("little_endian", [isLittleEndian ? 0x88 : 0x89]),
      ("type_sizes", dictionary([("int", integer(4))])),
    ])
    let keys = Array("](".utf8) + storages.flatMap { string($0.key) } + Array("e".utf8)
    return legacyMagic + self.pickle(integer(version)) + self.pickle(machine) + pickle
      + self.pickle(keys)
      + storages.flatMap { ($0.bytes.count / $0.width).littleEndianBytes + $0.bytes }
  }

  /// The pickle of the magic number that such a file starts with.
  package static let legacyMagic: [UInt8] =
    [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]

  // MARK: Pickles

  /// A whole pickle: its header, `body`, and STOP.
  package static func pickle(_ body: [UInt8]...) -> [UInt8] {
    [0x80, 2] + body.flatMap { $0 } + [0x2E]
  }

  /// A dict of names and values.
  package static func dictionary(_ items: [(String, [UInt8])]) -> [UInt8] {
    Array("}(".utf8) + items.flatMap { string($0.0) + $0.1 } + Array("u".utf8)
  }

  /// A string.
  package static func string(_ text: String) -> [UInt8] {
    [0x58] + UInt32(text.utf8.count).littleEndianBytes + Array(text.utf8)
  }

  /// An integer of any size.
  package static func integer(_ value: Int) -> [UInt8] { [0x8A, 8] + value.littleEndianBytes }

  /// A global by its module and name.
  package static func global(_ module: String, _ name: String) -> [UInt8] {
    Array("c\(module)\n\(name)\n".utf8)
  }

  /// A tuple of integers.
  package static func tuple(_ values: [Int]) -> [UInt8] {
    Array("(".utf8) + values.flatMap { integer($0) } + Array("t".utf8)
  }

  /// A storage's persistent id.
  package static func storage(
    _ key: String, _ type: String = "FloatStorage", count: Int
  ) -> [UInt8] {
    Array("(".utf8) + string("storage") + global("torch", type) + string(key) + string("cpu")
      + integer(count) + Array("tQ".utf8)
  }

  /// A tensor over `storage`, with empty hooks.
  package static func tensor(
    _ storage: [UInt8], offset: Int = 0, shape: [Int], strides: [Int]
  ) -> [UInt8] {
    global("torch._utils", "_rebuild_tensor_v2") + Array("(".utf8) + storage + integer(offset)
      + tuple(shape) + tuple(strides) + [0x89] + emptyOrderedDictionary + Array("tR".utf8)
  }

  /// `OrderedDict()`.
  package static let emptyOrderedDictionary =
    global("collections", "OrderedDict") + Array(")R".utf8)
}
