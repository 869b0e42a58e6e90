import ArgumentParser
import SextantAnalysis
import SextantInspection
import SextantReport

/// `sextant moments`: the moments of texts that were read once.
struct MomentsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "moments", abstract: "Merge the moments of several parts of the data.",
    subcommands: [MomentsMerge.self])
}

/// Several files of moments to one.
struct MomentsMerge: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Add up the moments of several parts of the data.",
    discussion: """
      Shards of one run are added in the order of their numbers, to the bytes of one run that reads all; \
      every shard must be there once. Other files are added in the given order. \
      `sextant steer train --from-moments` learns from the result.
      """)

  @Argument(help: "The moments of each part.")
  var files: [String]

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The moments of the whole.", valueName: "out.moments.safetensors"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    CommandFiles(inputs: files, outputs: [output], replaces: force)
  }

  func run() throws {
    let merged = try MomentShards(files)
    try merged.artifact.write(to: output, replacing: force)
    Report(merged: merged, from: files, to: output).print(asJSON: printing.json)
  }
}
