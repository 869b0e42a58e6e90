import SextantBytes
import SextantTensor

/// A file that `torch.save` wrote before version 1.6: pickles and storages, one after the other.
///
///     pickle   a magic number
///     pickle   the format's version, 1001
///     pickle   a dict about the machine, with little_endian
///     pickle   what was saved, as in a zip archive
///     pickle   the list of the storages' keys
///     8 bytes  elements of the first storage, little-endian
///     …        the elements; then the other storages, in the order of the list
struct PyTorchLegacyFile {
  /// The saved object.
  let root: PickleValue
  /// The machine that read it.
  let machine: PickleMachine
  /// The storages by key.
  let storages: [ExactString: StorageRegion]

  private static let version = 1001
  /// LONG1 of 10 bytes, 0x1950A86A20F9469CFC6C, and STOP.
  private static let magic: [UInt8] = [
    0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
  ]

  /// The magic number as protocols 0 and 1 write it.
  private static let textMagic = Array("L119547037146038801333356L\n.".utf8)

  /// Whether a file starts as a pickle does: with a protocol's number, or with the magic number in one of the
  /// protocols that have none.
  static func isPickle(_ start: [UInt8]) -> Bool {
    start.count >= 2 && start[0] == 0x80 && (1...5).contains(start[1])
      || start.starts(with: textMagic)
  }

  /// Whether a file is a tar archive, as the very first versions wrote.
  static func isTar(_ start: [UInt8]) -> Bool { start.dropFirst(257).starts(with: "ustar".utf8) }

  /// Reads everything except the storages' elements.
  ///
  /// - Throws: `pth.legacy`, `pth.version`, `pth.byteorder`, `pth.pickle.*`, `pth.storage.*`.
  init(_ file: InputFile) throws(Refusal) {
    let pickles = ByteReader(
      try file.read(at: 0, count: min(file.byteCount, PickleMachine.byteLimit)), file: file.path)
    var system = PickleMachine(pickles, at: try Self.checkVersion(pickles))
    try Self.checkByteOrder(system.run(), system, pickles)
    var machine = PickleMachine(pickles, at: system.position)
    root = try machine.run()
    var keys = PickleMachine(pickles, at: machine.position)
    guard case .list(let list) = try keys.run() else {
      throw Refusal(
        .pytorchStorageMissing, file: file.path, at: .offset(machine.position),
        found: "no list of storages", expected: "one after the pickle of the tensors")
    }
    storages = try Self.regions(
      of: keys.heap.lists[list].map { key in
        if case .string(let range) = key { keys.text(range) ?? "" } else { "" }
      }, from: keys.position, machine, file)
    self.machine = machine
  }

  /// - Returns: the byte after the pickle of the version.
  private static func checkVersion(_ pickles: ByteReader) throws(Refusal) -> Int {
    if pickles.bytes.starts(with: textMagic) {
      throw PickleMachine.refusal(ofProtocol: nil, pickles, at: 0)
    }
    // A frame, from protocol 4 on, is announced with 9 bytes.
    let start = pickles.bytes.dropFirst(2).first == PickleOpcode.frame.rawValue ? 11 : 2
    guard pickles.bytes.dropFirst(start).starts(with: magic) else {
      throw Refusal(
        .pytorchLegacy, file: pickles.file,
        found: isTar(Array(pickles.bytes.prefix(512))) ? "a tar archive" : "a bare pickle",
        expected: "a zip archive, or pickles that start with torch.save's magic number")
    }
    var machine = PickleMachine(pickles, at: start + magic.count)
    let found = try machine.run()
    guard found == .integer(version) else {
      throw Refusal(
        .pytorchVersion, file: pickles.file, at: .offset(start + magic.count),
        found: "another version", expected: "\(version)")
    }
    return machine.position
  }

  private static func checkByteOrder(
    _ system: PickleValue, _ machine: PickleMachine, _ pickles: ByteReader
  ) throws(Refusal) {
    var isLittle = false
    if case .dictionary(let index) = system {
      isLittle = machine.heap.dictionaries[index].contains { key, value in
        guard case .string(let range) = key else { return false }
        return machine.text(range) == "little_endian" && value == .boolean(true)
      }
    }
    guard isLittle else {
      throw Refusal(
        .pytorchByteOrder, file: pickles.file, found: "no little_endian True",
        expected: "a file of a little-endian machine")
    }
  }

  /// The positions of the storages' elements.
  private static func regions(
    of keys: [String], from start: Int, _ machine: PickleMachine, _ file: InputFile
  ) throws(Refusal) -> [ExactString: StorageRegion] {
    var types: [ExactString: DataType] = [:]
    for storage in machine.heap.storages {
      let key = machine.text(storage.key) ?? ""
      let earlier = types.updateValue(storage.dataType, forKey: ExactString(key))
      guard earlier == nil || earlier == storage.dataType else {
        throw Refusal(
          .pytorchStorageSize, file: file.path, found: "storage \(key) with two types",
          expected: "one type")
      }
    }
    var regions: [ExactString: StorageRegion] = [:]
    var position = start
    for key in keys {
      guard let type = types[ExactString(key)], regions[ExactString(key)] == nil else {
        throw Refusal(
          .pytorchStorageMissing, file: file.path, at: .offset(position),
          found: "the storage \"\(key)\"", expected: "a storage of the tensors, once")
      }
      let rest = file.byteCount - position - 8
      guard rest >= 0 else { throw tooShort(key, position, file) }
      let size = ByteReader(try file.read(at: position, count: 8), file: file.path)
      let count = try size.unsigned(at: 0, byteCount: 8)
      guard count <= UInt64(rest / type.byteWidth) else { throw tooShort(key, position, file) }
      let byteCount = Int(count) * type.byteWidth
      regions[ExactString(key)] = StorageRegion(
        name: "storage \(key)", offset: position + 8, byteCount: byteCount, checksum: nil)
      position += 8 + byteCount
    }
    guard position == file.byteCount else {
      throw Refusal(
        .pytorchStorageSize, file: file.path, at: .offset(position),
        found: "\(counted(file.byteCount - position, "byte")) after the last storage",
        expected: "the end")
    }
    return regions
  }

  private static func tooShort(_ key: String, _ position: Int, _ file: InputFile) -> Refusal {
    Refusal(
      .pytorchStorageSize, file: file.path, at: .offset(position),
      found: "\(counted(file.byteCount - position, "byte")) left",
      expected: "the storage \"\(key)\"")
  }
}
