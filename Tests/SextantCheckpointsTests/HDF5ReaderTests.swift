import Glibc
import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantCheckpoints

/// A reader that behaves wrongly: the main process refuses the file and continues.
///
/// `fake-reader.sh` runs in place of the reader. It executes the "HDF5 file", which is a shell
/// script.
@Suite struct HDF5ReaderTests {
  private static let hello =
    HDF5ReaderMessage.hello(version: HDF5ReaderMessage.version).encoded()
    + HDF5ReaderMessage.layout(.flat).encoded()
  private static let weight =
    HDF5ReaderMessage.tensor(name: "weight", dataType: "F32", shape: [2]).encoded()

  private static func data(_ bytes: [UInt8]) -> [UInt8] {
    HDF5ReaderMessage.header(
      kind: HDF5ReaderMessage.dataKind, payloadByteCount: bytes.count) + bytes
  }

  /// Bytes that a fake reader sends, and the expected result.
  struct Answer: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var bytes: [UInt8]
    var code: Refusal.Code

    init(_ description: String, _ bytes: [UInt8], _ code: Refusal.Code = .hdf5ReaderProtocol) {
      testDescription = description
      self.bytes = bytes
      self.code = code
    }
  }

  static let lists = [
    Answer("nothing", []),
    Answer("text", Array("Segmentation fault (core dumped)\n".utf8)),
    Answer("half a greeting", Array(hello.prefix(7))),
    Answer("another version", HDF5ReaderMessage.hello(version: 99).encoded()),
    Answer("no greeting", weight),
    Answer("two greetings", hello + hello),
    Answer("no end", hello + weight),
    Answer("a vast message", hello + [4, 0xFF, 0xFF, 0xFF, 0xFF]),
    Answer("an unknown kind", hello + [99, 0, 0, 0, 0]),
    Answer("bytes after the fields", hello + [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
    Answer("a text beyond its message", hello + [3, 4, 0, 0, 0, 0xFF, 0, 0, 0]),
    Answer("a text that is not UTF-8", hello + [3, 5, 0, 0, 0, 1, 0, 0, 0, 0xFF]),
    Answer("elements in the list", hello + data([0, 0, 0, 0])),
    Answer(
      "an unknown type",
      hello + HDF5ReaderMessage.tensor(name: "a", dataType: "F33", shape: []).encoded()),
    Answer(
      "rank 9",
      hello
        + HDF5ReaderMessage.tensor(
          name: "a", dataType: "F32", shape: Array(repeating: 1, count: 9)
        ).encoded()),
    Answer(
      "a size beyond 2^63",
      hello
        + HDF5ReaderMessage.tensor(
          name: "a", dataType: "F32", shape: [1 << 40, 1 << 40]
        ).encoded()),
    Answer(
      "a dimension beyond 2^63",
      hello + [4, 24, 0, 0, 0, 1, 0, 0, 0, 97, 3, 0, 0, 0, 70, 51, 50, 1, 0, 0, 0]
        + [UInt8](repeating: 0xFF, count: 8)),
    Answer(
      "more data than the file can hold",
      hello
        + HDF5ReaderMessage.tensor(name: "a", dataType: "F32", shape: [1 << 40]).encoded(),
      .hdf5Bomb),
    Answer(
      "a name that steers terminals",
      hello + HDF5ReaderMessage.tensor(name: "\u{1B}[2J", dataType: "U8", shape: []).encoded()
        + HDF5ReaderMessage.end(tensorCount: 1).encoded(), .hdf5Name),
    Answer(
      "a name twice", hello + weight + weight + HDF5ReaderMessage.end(tensorCount: 2).encoded(),
      .hdf5Name),
    Answer(
      "no tensor", hello + HDF5ReaderMessage.end(tensorCount: 0).encoded(), .hdf5DialectUnknown),
    Answer("another count", hello + weight + HDF5ReaderMessage.end(tensorCount: 2).encoded()),
    Answer(
      "an attribute twice",
      hello + HDF5ReaderMessage.metadata(key: "a", value: "1").encoded()
        + HDF5ReaderMessage.metadata(key: "a", value: "2").encoded()),
    Answer("a refusal of an unknown code", hello + refusal(code: "h5.nonsense", place: (0, ""))),
    Answer("a refusal at an unknown place", hello + refusal(code: "h5.chunk", place: (9, ""))),
    Answer("a refusal at a wrong offset", hello + refusal(code: "h5.chunk", place: (2, "a"))),
    Answer(
      "a refusal", hello + refusal(code: "h5.chunk", place: (2, "17")), .hdf5Chunk),
  ]

  /// A refusal, spelled out byte by byte.
  private static func refusal(code: String, place: (UInt32, String)) -> [UInt8] {
    func text(_ text: String) -> [UInt8] {
      UInt32(text.utf8.count).littleEndianBytes + Array(text.utf8)
    }
    let payload =
      text(code) + place.0.littleEndianBytes + text(place.1) + text("this") + text("that")
    return HDF5ReaderMessage.header(kind: 6, payloadByteCount: payload.count) + payload
  }

  @Test(arguments: lists)
  func refusesAListThatBreaksTheRules(answer: Answer) throws {
    let fake = FakeReader(answer.bytes)
    let refusal = expectRefusal(answer.code) { try fake.open() }
    #expect(refusal?.file == fake.path)
  }

  @Test func passesOnWhatTheReaderRefuses() throws {
    let fake = FakeReader(Self.hello + Self.refusal(code: "h5.chunk", place: (1, "/weight")))
    let refusal = expectRefusal(.hdf5Chunk) { try fake.open() }
    #expect(
      refusal
        == Refusal(
          .hdf5Chunk, file: fake.path, at: .tensor("/weight"), found: "this", expected: "that"))
  }

  static let elements = [
    Answer("nothing", []),
    Answer("half of it", data([1, 2, 3, 4])),
    Answer("too much", data([UInt8](repeating: 1, count: 12))),
    Answer("a part of an element", data([1, 2, 3])),
    Answer("an empty piece", data([])),
    Answer("a note", HDF5ReaderMessage.note("patience").encoded()),
    Answer(
      "a refusal half-way", data([1, 2, 3, 4]) + refusal(code: "h5.invalid", place: (0, "")),
      .hdf5Invalid),
  ]

  @Test(arguments: elements)
  func refusesElementsThatBreakTheRules(answer: Answer) throws {
    let list = Self.hello + Self.weight + HDF5ReaderMessage.end(tensorCount: 1).encoded()
    let fake = FakeReader(list + answer.bytes, then: "head -c 4 >/dev/null")
    let checkpoint = try fake.open()
    let first = expectRefusal(answer.code) { try checkpoint.bytes(of: checkpoint.tensors[0]) }
    // The reader has ended, and every further request reports the reason.
    #expect(checkpoint.readerProcessID == nil)
    let second = expectRefusal(answer.code) { try checkpoint.bytes(of: checkpoint.tensors[0]) }
    #expect(first == second)
  }

  @Test func readsWhatAHonestFakeSends() throws {
    let list = Self.hello + Self.weight + HDF5ReaderMessage.end(tensorCount: 1).encoded()
    let fake = FakeReader(
      list + Self.data([1, 2, 3, 4]) + Self.data([5, 6, 7, 8]), then: "cat >/dev/null")
    let checkpoint = try fake.open()
    #expect(try checkpoint.bytes(of: checkpoint.tensors[0]) == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  // MARK: Death and delay

  @Test(arguments: [
    ("kill -SEGV $$", Refusal.Code.hdf5ReaderCrashed, "signal 11 (Segmentation fault)"),
    ("kill -ABRT $$", .hdf5ReaderCrashed, "signal 6 (Aborted)"),
    ("kill -KILL $$", .hdf5ReaderCrashed, "signal 9 (Killed)"),
    ("kill -XCPU $$", .hdf5ReaderTimeout, "more processor time than the reader's limit"),
    ("exit 3", .hdf5ReaderProtocol, "the reader's end, with status 3"),
    ("exit 127", .hdf5ReaderMissing, "sextant-hdf5 does not start"),
  ])
  func saysHowTheReaderDied(
    script: String, code: Refusal.Code, found: String
  ) throws {
    for start in [[], Self.hello, Self.hello + Self.weight] {
      let fake = FakeReader(start, then: script)
      #expect(expectRefusal(code) { try fake.open() }?.found == found)
      #expect(!fake.isAlive)
    }
    let list = Self.hello + Self.weight + HDF5ReaderMessage.end(tensorCount: 1).encoded()
    let fake = FakeReader(list, then: "head -c 4 >/dev/null; \(script)")
    let checkpoint = try fake.open()
    #expect(
      expectRefusal(code) { try checkpoint.bytes(of: checkpoint.tensors[0]) }?.found == found)
    #expect(!fake.isAlive)
  }

  @Test func doesNotWaitForEver() throws {
    for start in [[], Array(Self.hello.prefix(3)), Self.hello + Self.weight] {
      let fake = FakeReader(start, then: "sleep 1000")
      let refusal = expectRefusal(.hdf5ReaderTimeout) {
        try fake.open(timeout: .milliseconds(200))
      }
      #expect(refusal?.found.hasPrefix("no answer in 0.2 s") == true)
      #expect(!fake.isAlive)
    }
  }

  @Test func doesNotBelieveInSlowProgress() throws {
    // One byte each 20 ms: no single wait is long, but all of them together are.
    let fake = FakeReader(
      Self.hello + [3, 0xFF, 0, 0, 0], then: "while :; do printf n; sleep 0.02; done")
    expectRefusal(.hdf5ReaderTimeout) { try fake.open(timeout: .milliseconds(300)) }
    #expect(!fake.isAlive)
  }

  @Test func doesNotCollectEndlessNotes() throws {
    let folder = TemporaryFolder()
    let note = HDF5ReaderMessage.note(String(repeating: "n", count: 4_000_000)).encoded()
    let path = folder.write(note, to: "note")
    let fake = FakeReader(Self.hello, then: "while :; do cat \(path); done")
    expectRefusal(.hdf5ReaderProtocol) { try fake.open() }
    #expect(!fake.isAlive)
  }

  @Test func endsTheReaderWithTheCheckpoint() throws {
    let list = Self.hello + Self.weight + HDF5ReaderMessage.end(tensorCount: 1).encoded()
    let fake = FakeReader(list, then: "sleep 1000")
    do {
      let checkpoint = try fake.open()
      #expect(checkpoint.readerProcessID == fake.processID)
      #expect(fake.isAlive)
    }
    #expect(!fake.isAlive)
  }

  // MARK: Confinement

  @Test func startsTheReaderWithACleanEnvironment() throws {
    let folder = TemporaryFolder()
    let fake = FakeReader([], then: "/usr/bin/env > \(folder.path("environment"))")
    expectRefusal(.hdf5ReaderProtocol) { try fake.open() }
    let text = try InputFile(folder.path("environment")).readAll(limit: 1 << 20)
    let names = String(decoding: text, as: UTF8.self).split(separator: "\n").map {
      String($0.prefix { $0 != "=" })
    }
    // The last four are the shell's own.
    let allowed = ["SWIFT_BACKTRACE", "LD_LIBRARY_PATH", "PWD", "OLDPWD", "SHLVL", "_"]
    #expect(names.contains("SWIFT_BACKTRACE"))
    #expect(Set(names).subtracting(allowed) == [])
  }

  @Test func confinesTheReader() throws {
    let checkpoint = try HDF5Checkpoint(try HDF5Cases.accepted("dots").path)
    let processID = try #require(checkpoint.readerProcessID)
    func lines(_ name: String) throws -> [[Substring]] {
      // These files have no size, so that they are read to their end instead.
      let path = "/proc/\(processID)/\(name)"
      let handle = try #require(fopen(path, "r"))
      defer { fclose(handle) }
      var bytes: [UInt8] = []
      while case let byte = fgetc(handle), byte >= 0 { bytes.append(UInt8(byte)) }
      return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map {
        $0.split(whereSeparator: \.isWhitespace)
      }
    }
    let status = try lines("status")
    #expect(status.contains(["NoNewPrivs:", "1"]))
    #expect(status.contains(["Seccomp:", "2"]))
    let limits = try lines("limits")
    #expect(limits.contains { $0.starts(with: ["Max", "file", "size", "0", "0"]) })
    #expect(limits.contains { $0.starts(with: ["Max", "core", "file", "size", "0", "0"]) })
    #expect(limits.contains { $0.starts(with: ["Max", "open", "files", "16", "16"]) })
    #expect(limits.contains { $0.starts(with: ["Max", "cpu", "time", "60", "65"]) })
    #expect(!limits.contains { $0.starts(with: ["Max", "address", "space", "unlimited"]) })
  }

  @Test func saysWhereTheReaderShouldBe() throws {
    let path = try HDF5Cases.accepted("dots").path
    for reader in ["/nonexistent/sextant-hdf5", path] {
      let refusal = expectRefusal(.hdf5ReaderMissing) {
        try HDF5Checkpoint(path, readerPath: reader)
      }
      #expect(refusal?.found == "no executable \(reader)")
      #expect(refusal?.exitStatus == 74)
    }
  }
}

/// A checkpoint whose reader is a shell script.
private struct FakeReader {
  let path: String
  private let folder = TemporaryFolder()

  /// A reader that sends `bytes`, then runs `script`.
  init(_ bytes: [UInt8], then script: String = "") {
    let answer = folder.write(bytes, to: "answer")
    path = folder.write(
      """
      echo $$ > \(folder.path("pid"))
      cat \(answer)
      \(script)
      """, to: "script.h5")
  }

  func open(timeout: Duration? = .seconds(30)) throws(Refusal) -> HDF5Checkpoint {
    try HDF5Checkpoint(
      path, readerPath: PackageFiles.fixture("hdf5/fake-reader.sh"), timeout: timeout)
  }

  /// The number that the script's process had.
  var processID: Int32? {
    guard let text = try? InputFile(folder.path("pid")).readAll(limit: 100) else { return nil }
    return Int32(String(decoding: text, as: UTF8.self).filter(\.isNumber))
  }

  /// Whether the process exists. A zombie counts, too.
  var isAlive: Bool {
    guard let processID else { return false }
    return kill(processID, 0) == 0
  }
}
