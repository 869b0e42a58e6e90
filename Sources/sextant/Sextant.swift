import ArgumentParser
import Glibc
import Sextant
import SextantArtifacts
import SextantBytes
import SextantReport
import SextantTerminal

/// The root command: examples first, then the subcommands.
struct Sextant: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sextant",
    abstract: """
      Convert a language model, train on it, steer it:

        sextant convert checkpoint/ -o model.sxt
        sextant steer train -m model.sxt --pairs pairs.jsonl -o joy.safetensors
        sextant generate -m model.sxt -p "I thought" --apply joy.safetensors:2
      """,
    discussion: """
      Sextant reads checkpoints of language models, recurrent ones and transformers \
      (safetensors, PyTorch, HDF5, GGUF), runs them on the CPU, and trains steering vectors, lenses \
      and probes on them, which are small files: vectors that push the residual stream or the recurrent state while the model \
      writes, lenses that show what each block predicts, and probes for what the model knows. \
      Blocks are counted from 0; --layers selects blocks.

      Exit status: 0 done, 64 wrong usage, 65 bad data, 66 missing input, 73 cannot create the \
      output, 74 input or output error, or missing system resources, such as memory.
      """,
    version: ToolVersion.current,
    subcommands: [
      Convert.self, Export.self, Inspect.self, Verify.self, Generate.self, Chat.self,
      Serve.self,
      Capture.self, Steer.self,
      LensCommand.self, ProbeCommand.self, Patch.self, Bench.self,
      StateCommand.self, MomentsCommand.self, Drift.self,
      Clean.self, Demo.self,
    ])
}

/// The start of the process, and its end.
@main
enum Main {
  static func main() {
    StandardStreams.prepare()
    do {
      try checkArguments()
      var command = try Sextant.parseAsRoot(
        Numbers.joined(Array(CommandLine.arguments.dropFirst())))
      try Job.join(for: command)
      // The first rank writes the files.
      if let writing = command as? any WritingCommand, Job.ranks.isFirst {
        try prepare(writing.fileUse)
      }
      try command.run()
      try Job.leave()
    } catch let refusal as Refusal {
      Job.end(with: refusal.withOptions)
    } catch {
      // The parser prints help and the version without looking whether they are written.
      guard Sextant.exitCode(for: error) == .success else { Sextant.exit(withError: error) }
      var text = Sextant.fullMessage(for: error, columns: nil)
      // The whole record takes time to make, because it loads OpenBLAS.
      if text == ToolVersion.current { text = BuildRecord.text }
      if !text.isEmpty { StandardStreams.print(text) }
    }
  }

  /// Refuses arguments that are not UTF-8. The standard library puts replacement characters into them,
  /// and the model would read another text than the one that was given.
  private static func checkArguments() throws(Refusal) {
    for index in CommandLine.arguments.indices {
      guard let bytes = CommandLine.unsafeArgv[index], String(validatingCString: bytes) == nil
      else { continue }
      throw Refusal(
        .usageOption, found: "the argument \"\(CommandLine.arguments[index])\"",
        expected: "text in UTF-8", remedy: "Put the text into a file, and give @FILE.")
    }
  }

  private static func prepare(_ files: CommandFiles) throws(Refusal) {
    try files.prepare()
    StandardStreams.isNeeded = files.outputs.isEmpty && files.updated.isEmpty
  }
}
