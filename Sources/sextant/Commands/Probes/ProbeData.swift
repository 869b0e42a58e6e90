import ArgumentParser
import SextantAnalysis
import SextantBytes
import SextantInspection
import SextantReport

extension QuirkyArithmetic.Operation: ExpressibleByArgument {}

/// Quirky arithmetic statements.
struct ProbeData: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "data",
    abstract: "Make quirky arithmetic statements, in train, validation and test files.",
    discussion: """
      Alice judges sums correctly. Bob accepts only the sum whose first digit is one too high. No pair \
      of operands is in two of the files, and the same seed gives the same bytes.
      """)

  @Option(help: "The operation of the statements.")
  var set = QuirkyArithmetic.Operation.addition

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp(
      "The number of training statements; each is two records, Alice's and Bob's.",
      valueName: "count"))
  var count = 4000

  @Option(
    help: ArgumentHelp("The number of statements in each of the other files.", valueName: "count"))
  var heldOut = 1000

  @Option(help: ArgumentHelp("The largest number of digits of an operand.", valueName: "count"))
  var digits = 4

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The seed. Default: 0.", valueName: "s"),
    transform: Numbers.seed)
  var seed: UInt64 = 0

  @Option(name: .shortAndLong, help: ArgumentHelp("The folder to make.", valueName: "folder"))
  var output: String

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 1, [("-n", count), ("--held-out", heldOut), ("--digits", digits)])
  }

  var fileUse: CommandFiles {
    CommandFiles(
      folders: [output], outputs: QuirkyArithmetic.Split.allCases.map(path), replaces: force)
  }

  private func path(_ split: QuirkyArithmetic.Split) -> String {
    "\(output)/\(split.rawValue).jsonl"
  }

  func run() throws {
    let parts = try QuirkyArithmetic(set, digits: digits, seed: seed).records([
      (.train, count), (.validation, heldOut), (.test, heldOut),
    ])
    for (split, records) in parts {
      try FilePublisher.publish(
        LabelledRecords.jsonLines(of: records), to: path(split), replacing: force)
    }
    Report(
      quirky: set, digits: digits, seed: seed, files: parts.map { (path($0), $1.count) }
    ).print(asJSON: printing.json)
  }
}
