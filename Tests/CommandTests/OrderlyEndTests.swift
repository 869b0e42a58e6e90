import Glibc
import SextantBytes
import SextantTestSupport
import Testing

/// A command that loses memory, files or readers while it runs ends in an orderly way.
@Suite struct OrderlyEndTests {
  private let work = Workspace()

  /// Runs under a limit of the shell, and is killed if it hangs.
  private func limited(_ limit: String, _ arguments: [String]) -> CommandRun {
    CommandRun.sextant(
      arguments,
      through: ["/bin/sh", "-c", "ulimit \(limit); exec timeout -s KILL 120 \"$@\"", "sh"])
  }

  @Test(arguments: [80, 100, 120, 150, 200, 300, 500, 1000])
  func littleAddressSpaceEndsInAResultOrARefusal(_ mebibytes: Int) throws {
    let output = work.folder.path("out")
    for arguments in [
      ["--version"], ["generate", "-m", Workspace.model, "-p", "Hi", "-n", "2"],
      [
        "lens", "train", "-m", Workspace.model, "--text", Workspace.pairs, "--field", "positive",
        "--chunk", "32",
        "--max-tokens", "128", "--method", "ridge", "-o", output, "--force",
      ],
    ] {
      let run = limited("-v \(mebibytes << 10)", arguments)
      // Also if the memory is missing while a library is loaded.
      let isRefusal = run.end == .exited(74) && run.errors.contains("[system.memory]")
      // With less memory the loader has no room for the libraries, and the program does not start.
      let isLoader = run.end == .exited(127) && run.errors.contains("shared librar")
      #expect(run.end == .exited(0) || isRefusal || isLoader, "\(arguments) \(run)")
    }
  }

  @Test(arguments: 4...12)
  func fewDescriptorsAreToldAsSuch(_ count: Int) {
    let run = limited("-n \(count)", ["inspect", PackageFiles.fixture("demo-model/model.h5")])
    let isRefusal = run.end == .exited(74) && run.errors.contains("[system.descriptors]")
    let isLoader = run.end == .exited(127)
    #expect(run.end == .exited(0) || isRefusal || isLoader, "\(run)")
  }

  @Test func modelThatIsCutWhileItRunsIsARefusal() throws {
    let model = work.folder.write(try bytes(of: Workspace.model), to: "run.sxt")
    let text = work.folder.path("text")
    // The file is truncated after the model has started to write, long before it ends.
    let script = """
      "$@" > \(text) & process=$!
      until [ -s \(text) ] || ! kill -0 $process; do sleep 0.02; done
      truncate -s 4096 \(model); wait $process
      """
    let run = CommandRun.sextant(
      ["generate", "-m", model, "-p", "Hi", "-n", "100000", "--ignore-eos"],
      through: ["/bin/sh", "-c", script, "sh"])
    #expect(run.end == .exited(74))
    #expect(run.errors.contains("run.sxt: ") && run.errors.contains("[file.changed]"))
  }

  @Test func filesAreWrittenWhenNobodyReadsTheText() throws {
    let (state, trace) = (work.folder.path("s.st"), work.folder.path("t.jsonl"))
    let run = CommandRun.sextant(
      [
        "generate", "-m", Workspace.model, "-p", "The soup", "-n", "8", "--ignore-eos",
        "--save-state", state, "--trace", trace,
      ], output: .brokenPipe)
    #expect(run.end == .exited(0))
    #expect(try bytes(of: state).count > 0 && bytes(of: trace).count > 0)
    // A command that only prints has nothing more to do.
    let short = CommandRun.sextant(
      ["generate", "-m", Workspace.model, "-p", "The soup", "-n", "8"], output: .brokenPipe)
    #expect(short.end == .exited(0))
  }
}
