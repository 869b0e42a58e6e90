import ArgumentParser
import Glibc
import SextantAnalysis
import SextantBytes
import SextantReport

extension QuirkyArithmetic.Operation: ExpressibleByArgument {}

/// Quirky arithmetic statements.
struct ProbeData: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data",
    abstract: "Make quirky arithmetic statements, in train, validation and test files.",
    discussion: """
      Alice judges rightly; Bob holds for true what has 1 added to its first digit. No pair of \
      operands is in two of the files, and the same seed gives the same bytes.
      """)

  @Option(help: "What is computed.")
  var set = QuirkyArithmetic.Operation.addition

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp(
      "Statements to train on; each is two records, Alice's and Bob's.", valueName: "count"))
  var count = 4000

  @Option(help: ArgumentHelp("Statements of each of the other files.", valueName: "count"))
  var heldOut = 1000

  @Option(help: ArgumentHelp("Digits that an operand has at most.", valueName: "count"))
  var digits = 4

  @Option(name: .shortAndLong, help: ArgumentHelp("The seed.", valueName: "s"))
  var seed: UInt64 = 0

  @Option(name: .shortAndLong, help: ArgumentHelp("The folder to make.", valueName: "folder"))
  var output: String

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if count < 1 || heldOut < 1 { throw ValidationError("Counts must be 1 or more.") }
  }

  func run() throws {
    guard mkdir(output, 0o777) == 0 || errno == EEXIST else {
      throw FormatError(
        .fileCreate, file: output, found: String(cString: strerror(errno)), expected: "a folder")
    }
    let parts = try QuirkyArithmetic(set, digits: digits, seed: seed).records([
      (.train, count), (.validation, heldOut), (.test, heldOut),
    ])
    let paths = parts.map { "\(output)/\($0.split.rawValue).jsonl" }
    try checkDestinations(paths, replacing: force)
    var rows: [JSONValue] = []
    var table = Table(["file", "#records"])
    for ((_, records), path) in zip(parts, paths) {
      let lines = records.map { JSONValue.object($0.fields).canonicalText + "\n" }
      try FilePublisher.publish(Array(lines.joined().utf8), to: path, replacing: force)
      table.add([printable(path), Format.count(records.count)])
      rows.append(["file": .string(path), "records": JSONValue(records.count)])
    }
    Report(
      title: "quirky \(set.rawValue), seed \(seed)", tables: [("files", table)],
      json: JSONObject([
        ("set", .string(set.rawValue)), ("digits", JSONValue(digits)),
        ("seed", JSONValue(Int(clamping: seed))), ("files", .array(rows)),
      ])
    ).print(asJSON: printing.json)
  }
}
