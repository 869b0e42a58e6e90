import Glibc
import SextantBytes
import SextantTestSupport
import Testing

@Test func refusesWhatIsNoRegularFile() throws {
  let folder = TemporaryFolder()
  let fifo = folder.path("fifo")
  #expect(mkfifo(fifo, 0o600) == 0)
  expectRefusal(.fileNotRegular) { try InputFile(fifo) }
  expectRefusal(.fileNotRegular) { try InputFile(folder.path) }
  expectRefusal(.fileNotRegular) { try InputFile("/dev/zero") }
  expectRefusal(.fileNotRegular) { try InputFile("/dev/null") }
  expectRefusal(.fileNotRegular) { try InputFile(folder.makeLink("zero", to: "/dev/zero")) }
  expectRefusal(.fileNotRegular) { try InputFile(try makeSocket(folder.path("socket"))) }
}

@Test func refusesWhatIsNotThere() {
  let folder = TemporaryFolder()
  let file = folder.write("x", to: "file")
  for path in [
    folder.path("absent"), folder.path("absent/file"), "\(file)/below", "",
    folder.makeLink("dangling", to: "nowhere"),
  ] {
    let refusal = expectRefusal(.fileMissing) { try InputFile(path) }
    #expect(refusal?.file == path)
    #expect(refusal?.exitStatus == 66)
  }
  // The whole chain of links is followed.
  let chain = folder.makeLink("chain", to: "dangling")
  let broken = expectRefusal(.fileMissing) { try InputFile(chain) }
  #expect(broken?.found == "a link to nowhere, which does not exist")
  expectRefusal(.fileRead) { try InputFile(folder.makeLink("loop", to: "loop")) }
  expectRefusal(.fileEmpty) { try InputFile(folder.write("", to: "empty")) }
}

@Test(.enabled(if: geteuid() != 0, "root may read everything"))
func refusesWhatMayNotBeRead() {
  let folder = TemporaryFolder()
  let path = folder.write("x", to: "closed")
  chmod(path, 0)
  let refusal = expectRefusal(.filePermission) { try InputFile(path) }
  #expect(refusal?.exitStatus == 66)
}

@Test func readsRangesAndRefusesOthersBeforeAllocating() throws {
  let folder = TemporaryFolder()
  let file = try InputFile(folder.makeLink("link", to: folder.write("0123456789", to: "file")))
  #expect(file.byteCount == 10)
  #expect(try file.read(at: 3, count: 4) == Array("3456".utf8))
  #expect(try file.read(at: 10, count: 0) == [])
  for (offset, count) in [(0, 11), (11, 0), (-1, 1), (0, -1), (5, Int.max), (Int.max, Int.max)] {
    expectRefusal(.fileTooShort) { try file.read(at: offset, count: count) }
  }
  #expect(try file.readAll(limit: 10).count == 10)
  let refusal = expectRefusal(.limitFile) { try file.readAll(limit: 9) }
  #expect(refusal?.found == "10 bytes")
}

@Test func noticesChanges() throws {
  let folder = TemporaryFolder()
  let path = folder.write("0123456789", to: "file")
  let grown = try InputFile(path)
  try grown.checkUnchanged()
  folder.write("0123456789+", to: "file")
  expectRefusal(.fileChanged) { try grown.checkUnchanged() }

  let touched = try InputFile(path)
  var times = [timespec(tv_sec: 1, tv_nsec: 5), timespec(tv_sec: 1, tv_nsec: 5)]
  #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
  expectRefusal(.fileChanged) { try touched.checkUnchanged() }

  let shrunk = try InputFile(path)
  #expect(truncate(path, 4) == 0)
  expectRefusal(.fileTooShort) { try shrunk.read(at: 0, count: 11) }
  expectRefusal(.fileChanged) { try shrunk.checkUnchanged() }
}

@Test func knowsItselfUnderOtherNames() throws {
  let folder = TemporaryFolder()
  let path = folder.write("x", to: "file")
  let file = try InputFile(path)
  #expect(file.isSameFile(as: path))
  #expect(file.isSameFile(as: folder.makeLink("symbolic", to: "file")))
  #expect(link(path, folder.path("hard")) == 0)
  #expect(file.isSameFile(as: folder.path("hard")))
  #expect(!file.isSameFile(as: folder.write("x", to: "copy")))
  #expect(!file.isSameFile(as: folder.path("absent")))
}

@Test func mapsTheFileAndChecksSlices() throws {
  let folder = TemporaryFolder()
  let map = try InputFile(folder.write("0123456789", to: "file")).map()
  #expect(map.byteCount == 10)
  #expect(Array(try map.slice(at: 8, count: 2)) == Array("89".utf8))
  #expect(try map.slice(at: 10, count: 0).isEmpty)
  for (offset, count) in [(0, 11), (11, 0), (-1, 1), (0, -1), (5, Int.max), (Int.max, 1)] {
    expectRefusal(.fileTooShort) { try map.slice(at: offset, count: count) }
  }
  for (offset, count) in [(0, 10), (5, 5), (5, 50), (-5, 2)] {
    map.prefetch(at: offset, count: count)
  }
}

@Test(
  arguments: [
    (Array("SEXTANT\0".utf8), .store), ([9, 0, 0, 0, 0, 0, 0, 0, 0x7B], .safetensors),
    ([0x50, 0x4B, 3, 4, 0, 0, 0, 0, 0x7B], .safetensors), ([0x50, 0x4B, 3, 4], .zip),
    ([0x50, 0x4B, 5, 6], .zip), ([0x89, 0x48, 0x44, 0x46, 13, 10, 26, 10], .hdf5),
    (Array("GGUF".utf8), .gguf), (Array("{\"meta\":{".utf8), .json), (Array("\n {".utf8), .json),
    (Array("version https://git-lfs.github.com/spec/v1".utf8), .gitLFSPointer),
    (Array("<!DOCTYPE HTML>".utf8), .html), (Array(" <HTML>".utf8), .html), ([], .unknown),
    ([9, 0, 0, 0, 0, 0, 0, 0x80, 0x7B], .unknown), (Array("hello".utf8), .unknown),
    ([0x89, 0x48, 0x44], .unknown),
  ] as [([UInt8], FileKind)])
func recognisesFilesByTheirFirstBytes(_ bytes: [UInt8], _ kind: FileKind) throws {
  #expect(FileKind(firstBytes: bytes) == kind)
}

private func makeSocket(_ path: String) throws -> String {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
  let size = socklen_t(MemoryLayout<sockaddr_un>.size)
  let bound = withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
  }
  try #require(bound == 0)
  return path
}
