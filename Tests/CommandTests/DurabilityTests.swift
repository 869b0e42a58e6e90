import Glibc
import SextantBytes
import SextantTestSupport
import Testing

/// A process that dies or cannot write at any moment leaves the destination absent or complete.
@Suite struct DurabilityTests {
  private let folder = TemporaryFolder()
  private var destination: String { folder.path("model.sxt") }
  private static let source = PackageFiles.fixture("mamba-tiny/huggingface")

  /// `strace`, which can inject faults at any system call of a process, if it is allowed.
  private static let strace: String? = ["/usr/bin/strace", "/bin/strace"].first { path in
    access(path, X_OK) == 0
      && CommandRun.sextant(["--version"], through: [path, "-f", "-qq", "-e", "trace=none"]).end
        == .exited(0)
  }

  /// A moment: the n-th call of this name.
  struct Moment: Sendable, CustomTestStringConvertible {
    var call: String
    var number: Int
    var replacing: Bool
    var testDescription: String { "\(call) \(number)\(replacing ? ", replacing" : "")" }
  }

  /// Before and during the data, at both syncs (the first is after header and footer), and at the
  /// link.
  ///
  /// Calls are counted by thread, so that the numbers are small.
  private static let moments: [Moment] = [false, true].flatMap { replacing in
    [
      ("fallocate", 1), ("pwrite64", 1), ("pwrite64", 2), ("pwrite64", 5), ("fsync", 1),
      ("linkat", 1), ("fsync", 2),
    ].map { Moment(call: $0.0, number: $0.1, replacing: replacing) }
      + (replacing ? [Moment(call: "rename", number: 1, replacing: true)] : [])
  }

  /// Converts while `injection` happens at a moment.
  private func convert(at moment: Moment, _ injection: String) -> CommandRun {
    let arguments =
      ["convert", Self.source, "-o", destination] + (moment.replacing ? ["--force"] : [])
    return CommandRun.sextant(
      arguments,
      through: [
        Self.strace ?? "strace", "-f", "-qq", "-e", "trace=\(moment.call)", "-o", "/dev/null", "-e",
        "inject=\(moment.call):\(injection):when=\(moment.number)",
      ])
  }

  /// Checks that the destination is unchanged or the complete new model.
  private func checkDestination(_ moment: Moment, isOld: Bool? = nil) {
    let old = (try? bytes(of: destination)) == Array("old".utf8)
    if moment.replacing && old { return }
    #expect(isOld != true)
    guard folder.entries.contains("model.sxt") else {
      #expect(!moment.replacing, "the old file is gone")
      return
    }
    sextant("verify", destination)
  }

  @Test(.enabled(if: strace != nil, "needs strace"), arguments: moments)
  func killedAtAnyCall(moment: Moment) throws {
    if moment.replacing { folder.write("old", to: "model.sxt") }
    let run = convert(at: moment, "signal=KILL")
    // The tracer passes on how the traced process ended.
    #expect(run.end == .signalled(SIGKILL) || run.end == .exited(128 + SIGKILL), "\(run.errors)")
    checkDestination(moment)
    sextant("clean", folder.path)
    #expect(folder.entries.allSatisfy { $0 == "model.sxt" }, "\(folder.entries)")
    sextant("convert", Self.source, "-o", destination, "--force")
    sextant("verify", destination)
  }

  @Test(
    .enabled(if: strace != nil, "needs strace"), arguments: moments, ["ENOSPC", "EIO", "EDQUOT"])
  func refusedWriting(moment: Moment, error: String) throws {
    if moment.replacing { folder.write("old", to: "model.sxt") }
    let run = convert(at: moment, "error=\(error)")
    #expect([.exited(74), .exited(73)].contains(run.end), "\(run.errors)")
    if error != "EIO", ["fallocate", "pwrite64"].contains(moment.call) {
      #expect(run.errors.contains("[disk.full]"), "\(run.errors)")
    }
    // Only the last sync is after the link. The file is complete, but may not be on the disk yet.
    let isNamed = moment.call == "fsync" && moment.number == 2
    checkDestination(moment, isOld: isNamed ? false : nil)
    #expect(folder.entries == (moment.replacing || isNamed ? ["model.sxt"] : []))
  }

  @Test(.enabled(if: strace != nil, "needs strace"))
  func fileSystemsNeedNotReserve() {
    let moment = Moment(call: "fallocate", number: 1, replacing: false)
    let run = convert(at: moment, "error=EOPNOTSUPP")
    #expect(run.end == .exited(0), "\(run.errors)")
    sextant("verify", destination)
  }

  @Test func aLimitOnTheSizeOfFilesIsNamed() {
    let run = CommandRun.sextant(
      ["convert", Self.source, "-o", destination],
      through: ["/bin/sh", "-c", "ulimit -f 64; exec \"$0\" \"$@\""])
    #expect(run.end == .exited(74) && run.errors.contains("[file.write]"), "\(run.errors)")
    #expect(run.errors.contains("ulimit -f"), "\(run.errors)")
    #expect(folder.entries.isEmpty)
  }

  @Test func twoProcessesDoNotMix() async throws {
    for replacing in [false, true] {
      let path = folder.path("model-\(replacing).sxt")
      let arguments = ["convert", Self.source, "-o", path] + (replacing ? ["--force"] : [])
      let runs = await withTaskGroup(of: CommandRun.self) { group in
        for _ in 0..<4 { group.addTask { CommandRun.sextant(arguments) } }
        return await group.reduce(into: []) { $0.append($1) }
      }
      let done = runs.filter { $0.end == .exited(0) }
      let refused = runs.filter { $0.end == .exited(73) && $0.errors.contains("[file.exists]") }
      #expect(done.count + refused.count == 4)
      #expect(replacing ? done.count == 4 : done.count == 1)
      sextant("verify", path)
    }
    #expect(folder.entries == ["model-false.sxt", "model-true.sxt"])
  }

  // MARK: Interruption

  @Test(.enabled(if: strace != nil, "needs strace"), arguments: ["INT", "TERM", "HUP"])
  func anInterruptedConversionSaysThatItRestarts(signal: String) throws {
    let run = convert(at: Moment(call: "pwrite64", number: 5, replacing: false), "signal=\(signal)")
    #expect(run.end != .exited(0))
    #expect(run.errors.contains("Interrupted") && run.errors.contains("starts from the beginning"))
    #expect(folder.entries.isEmpty)
  }

  // MARK: Leftovers

  @Test func cleanRemovesWhatNobodyWrites() throws {
    let (left, busy) = (".model.sxt.123.partial", ".other.sxt.456.partial")
    for name in [left, busy] { folder.write("half of it", to: name) }
    for name in ["model.partial", ".model.sxt.partial", ".x.sxt.12a.partial", ".model.sxt.1.part"] {
      folder.write("somebody else's", to: name)
    }
    symlink("/etc/hostname", folder.path(".link.sxt.7.partial"))
    let handle = open(folder.path(busy), O_RDONLY | O_CLOEXEC)
    #expect(flock(handle, LOCK_EX) == 0)
    let report = try sextant("clean", folder.path, "--json").json()
    #expect(try report.member("removed").texts() == [folder.path(left)])
    #expect(try report.member("busy").texts() == [folder.path(busy)])
    #expect(!folder.entries.contains(left) && folder.entries.count == 6)
    close(handle)
    #expect(try sextant("clean", folder.path, "--json").json().member("bytes").integer() == 10)
    sextant("clean", folder.path("absent"), status: 66)
  }
}
