import Glibc
import SextantBytes
import SextantTestSupport
import Testing

private func content(_ path: String) throws -> String {
  String(decoding: try InputFile(path).readAll(limit: 1 << 20), as: UTF8.self)
}

@Test func nothingAppearsBeforePublishing() throws {
  let folder = TemporaryFolder()
  let path = folder.path("out")
  let file = try FilePublisher(path)
  try file.append(Array("hello".utf8))
  #expect(!folder.entries.contains("out"))
  try file.publish()
  #expect(folder.entries == ["out"])
  #expect(try content(path) == "hello")
}

@Test func aDroppedFileLeavesNothing() throws {
  let folder = TemporaryFolder()
  do {
    let file = try FilePublisher(folder.path("out"))
    try file.append([UInt8](repeating: 1, count: 100_000))
  }
  #expect(folder.entries.isEmpty)
  folder.write("old", to: "out")
  do {
    let file = try FilePublisher(folder.path("out"), replacing: true)
    try file.append([1])
  }
  #expect(folder.entries == ["out"])
  #expect(try content(folder.path("out")) == "old")
}

@Test func replacesOnlyWhenAsked() throws {
  let folder = TemporaryFolder()
  let path = folder.write("old", to: "out")
  let refusal = expectRefusal(.fileExists) { try FilePublisher(path) }
  #expect(refusal?.exitStatus == 73)
  #expect(try content(path) == "old")
  try FilePublisher.publish(Array("new".utf8), to: path, replacing: true)
  #expect(try content(path) == "new")
  #expect(folder.entries == ["out"])
}

@Test func refusesANameThatAppearedMeanwhile() throws {
  let folder = TemporaryFolder()
  let file = try FilePublisher(folder.path("out"))
  try file.append([1])
  folder.write("theirs", to: "out")
  expectRefusal(.fileExists) { try file.publish() }
  #expect(try content(folder.path("out")) == "theirs")
  #expect(folder.entries == ["out"])
}

@Test func whoHoldsTheOldFileKeepsReadingIt() throws {
  let folder = TemporaryFolder()
  let path = folder.write("old content", to: "out")
  let old = try InputFile(path)
  try FilePublisher.publish(Array("new".utf8), to: path, replacing: true)
  #expect(try old.readAll(limit: 100) == Array("old content".utf8))
  #expect(!old.isSameFile(as: path))
}

@Test func refusesDestinationsThatCannotBe() throws {
  let folder = TemporaryFolder()
  let file = folder.write("x", to: "file")
  let fifo = folder.path("fifo")
  #expect(mkfifo(fifo, 0o600) == 0)
  for path in [
    folder.path("absent/out"), "\(file)/out", folder.makeFolder("folder"), fifo, "/dev/null",
  ] {
    for replacing in [false, true] {
      let refusal = expectRefusal(.fileCreate) { try FilePublisher(path, replacing: replacing) }
      #expect(refusal?.file == path)
      #expect(refusal?.exitStatus == 73)
    }
  }
  #expect(folder.entries == ["fifo", "file", "folder"])
}

@Test(.enabled(if: geteuid() != 0, "root may write everywhere"))
func refusesAFolderThatMayNotBeWritten() {
  let folder = TemporaryFolder()
  chmod(folder.path, 0o500)
  expectRefusal(.fileCreate) { try FilePublisher(folder.path("out")) }
}

@Test func writesPadsAndOverwrites() throws {
  let folder = TemporaryFolder()
  let path = folder.path("out")
  let file = try FilePublisher(path)
  try file.append([0, 0, 0])
  try file.pad(to: 8)
  try file.pad(to: 8)
  #expect(file.byteCount == 8)
  let bytes: [UInt8] = [7, 8]
  var failure: Refusal?
  bytes.withUnsafeBytes { buffer in
    do throws(Refusal) { try file.append(buffer) } catch { failure = error }
  }
  #expect(failure == nil)
  try file.write([1, 2], at: 1)
  try file.publish()
  #expect(try InputFile(path).readAll(limit: 99) == [0, 1, 2, 0, 0, 0, 0, 0, 7, 8])
}

@Test func namesMayHoldAnything() throws {
  let folder = TemporaryFolder()
  for name in ["a b", "-n", "é", ".hidden", "a\nb"] {
    try FilePublisher.publish([1], to: folder.path(name))
  }
  #expect(folder.entries.count == 5)
}

/// What cannot be published is found before anything is written.
@Test func refusesNamesThatNoFileCanHave() throws {
  let folder = TemporaryFolder()
  let link = folder.makeLink("link", to: "nowhere")
  let refusal = expectRefusal(.fileExists) { try FilePublisher(link) }
  #expect(refusal?.found == "a link to nowhere, which does not exist")
  let long = folder.path(String(repeating: "x", count: 256))
  for replacing in [false, true] {
    expectRefusal(.fileCreate) { try FilePublisher("", replacing: replacing) }
    expectRefusal(.fileCreate) { try FilePublisher(long, replacing: replacing) }
  }
  // Until it replaces another file, a file has a longer name.
  let almost = folder.path(String(repeating: "x", count: 250))
  expectRefusal(.fileCreate) { try FilePublisher(almost, replacing: true) }
  try FilePublisher.publish([1], to: almost)
  // A link that leads nowhere is replaced as any other link.
  try FilePublisher.publish(Array("new".utf8), to: link, replacing: true)
  #expect(try content(link) == "new")
  #expect(!folder.entries.contains("nowhere"))
}

@Test func aLimitOnTheSizeOfFilesIsNoFullDisk() {
  let refusal = writeFailure("out", EFBIG)
  #expect(refusal.code == .fileWrite && refusal.remedy.contains("ulimit -f"))
  #expect(writeFailure("out", ENOSPC).code == .diskFull)
}
