import SextantBytes

/// The members of a file that `torch.save` wrote, distinguished by their names.
struct PyTorchArchive {
  /// The pickle.
  let pickle: ByteReader
  /// The members with elements, by the key that the pickle calls them by.
  let storages: [ExactString: StorageRegion]

  /// The version that `torch.save` has written since it writes zip archives.
  private static let version = "3"
  private static let textByteLimit = 64

  /// Finds the members, and reads all of them except the storages.
  ///
  /// - Throws: `pth.zip.*`, `pth.version`, `pth.byteorder`, `limit.file`.
  init(_ archive: ZipArchive, in file: InputFile) throws(Refusal) {
    var others: [String: ZipArchive.Member] = [:]
    var storages: [ExactString: StorageRegion] = [:]
    var folder: Substring?
    for member in archive.members {
      let (top, name) = Self.split(member.name)
      guard !top.isEmpty,
        folder == nil || ExactString(String(top)) == folder.map({ ExactString(String($0)) })
      else {
        throw Refusal(
          .pytorchZipName, file: file.path, found: member.name, expected: "all in one folder")
      }
      folder = top
      if let key = Self.storageKey(name) {
        storages[ExactString(key)] = member.region
      } else if [
        "data.pkl", "version", "byteorder", ".format_version", ".storage_alignment",
        ".data/serialization_id",
      ].contains(name) {
        others[name] = member
      } else {
        throw Refusal(
          .pytorchZipExtra, file: file.path, found: member.name,
          expected: "data.pkl, version, byteorder, data/0 and so on")
      }
    }
    guard let pickle = others["data.pkl"] else {
      throw Refusal(
        .pytorchZipExtra, file: file.path, found: "no data.pkl", expected: "a file of torch.save")
    }
    self.storages = storages
    try Self.checkText(others, "version", Self.version, .pytorchVersion, file)
    // Files from before PyTorch 2.0 do not record it. They were little-endian, as all machines that
    // ran it.
    if others["byteorder"] != nil {
      try Self.checkText(others, "byteorder", "little", .pytorchByteOrder, file)
    }
    self.pickle = ByteReader(
      try Self.read(pickle, in: file, limit: PickleMachine.byteLimit), baseOffset: pickle.offset,
      file: file.path)
  }

  /// The refusal of an archive that contains a program in the folder of the weights; nil for other
  /// archives.
  ///
  /// Only the directory identifies members, because TorchScript compresses its code.
  ///
  /// - Parameter refusal: why the archive is none of `torch.save`.
  static func refusalOfProgram(_ file: InputFile, after refusal: Refusal) -> Refusal? {
    guard [.pytorchZipMethod, .pytorchZipExtra].contains(refusal.code),
      let end = try? ZipEnd(of: file),
      let entries = try? ZipDirectoryEntry.readAll(from: file, end, allowingDeflate: true)
    else { return nil }
    for member in entries {
      let name = split(member.name).rest
      let isScript = name == "constants.pkl" || name.hasPrefix("code/")
      guard isScript || name == "archive_format" || name.hasPrefix("models/") else { continue }
      let (program, load) =
        isScript
        ? ("a TorchScript program", "torch.jit.load(FILE).state_dict()")
        : ("a program of torch.export", "torch.export.load(FILE).state_dict")
      return Refusal(
        .pytorchZipExtra, file: file.path, found: "\(program), with \(member.name)",
        expected: "a file of torch.save with the weights alone",
        remedy: "Save its state dict in Python: torch.save(\(load), \"model.pth\").")
    }
    return nil
  }

  private static func split(_ name: String) -> (top: Substring, rest: String) {
    guard let slash = name.utf8.firstIndex(of: UInt8(ascii: "/")) else { return ("", name) }
    return (name[..<slash], String(name[name.utf8.index(after: slash)...]))
  }

  /// The key of a storage's member, `data/<decimal digits>`.
  private static func storageKey(_ name: String) -> String? {
    guard name.hasPrefix("data/") else { return nil }
    let key = name.dropFirst(5)
    let isKey =
      (1...20).contains(key.utf8.count)
      && key.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    return isKey ? String(key) : nil
  }

  private static func checkText(
    _ members: [String: ZipArchive.Member], _ name: String, _ expected: String,
    _ code: Refusal.Code, _ file: InputFile
  ) throws(Refusal) {
    let bytes = try members[name].map { member throws(Refusal) in
      try read(member, in: file, limit: textByteLimit)
    }
    // Written with and without a line's end.
    let text = bytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
    guard text == expected || text == expected + "\n" else {
      throw Refusal(
        code, file: file.path, found: "\(name) \"\(text)\"", expected: "\"\(expected)\"")
    }
  }

  private static func read(
    _ member: ZipArchive.Member, in file: InputFile, limit: Int
  ) throws(Refusal) -> [UInt8] {
    guard member.byteCount <= limit else {
      throw Refusal(
        .limitFile, file: file.path,
        found: "\(member.name) of \(counted(member.byteCount, "byte"))",
        expected: "at most \(counted(limit, "byte"))")
    }
    let bytes = try file.read(at: member.offset, count: member.byteCount)
    try member.region.check(CRC32.checksum(bytes), in: file)
    return bytes
  }
}

extension ZipArchive.Member {
  /// The member's bytes, if it is stored without compression.
  var region: StorageRegion {
    StorageRegion(name: name, offset: offset, byteCount: byteCount, checksum: checksum)
  }
}

extension StorageRegion {
  /// Refuses when `found` is not the checksum that the file declares.
  ///
  /// - Throws: `pth.zip.crc`.
  func check(_ found: UInt32, in file: InputFile) throws(Refusal) {
    guard let checksum, found != checksum else { return }
    throw Refusal(
      .pytorchZipCRC, file: file.path, at: .offset(offset),
      found: "0x\(String(found, radix: 16)) (\"\(name)\")",
      expected: "0x\(String(checksum, radix: 16))")
  }
}
