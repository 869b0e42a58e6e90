import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// The help texts that a newcomer sees first.
@Suite struct HelpTests {
  @Test func theFirstLinesShowThreeCommandsThatFitATerminal() {
    let lines = sextant("--help").output.split(separator: "\n").map(String.init)
    #expect(lines[0] == "OVERVIEW: Convert a language model, train on it, steer it:")
    #expect(lines[1].hasPrefix("  sextant convert "))
    #expect(lines[2].hasPrefix("  sextant steer train "))
    #expect(lines[3].hasPrefix("  sextant generate ") && lines[3].contains(" --apply "))
    #expect(lines.allSatisfy { $0.count <= 80 })
  }

  @Test(arguments: [
    (["convert"], "OVERVIEW: Convert a checkpoint to a native model file."),
    (["export"], "OVERVIEW: Write a model or an artifact in another program's format."),
    (["inspect"], "OVERVIEW: Show the content of a file."),
    (["verify"], "OVERVIEW: Check every digest of a model or artifact; train an artifact again"),
    (["generate"], "OVERVIEW: Continue a prompt, with steering vectors applied."),
    (["capture"], "OVERVIEW: Record a model's activations while it reads prompts."),
    (["steer"], "OVERVIEW: Train steering vectors, and measure their effects."),
    (["steer", "train"], "OVERVIEW: Train a steering vector on pairs of texts."),
    (
      ["steer", "eval"],
      "OVERVIEW: Measure a steering vector and controls at every block and strength."
    ),
    (
      ["steer", "search"],
      "OVERVIEW: Find the blocks, sites, tokens and strength for a steering vector."
    ),
    (["steer", "half-life"], "OVERVIEW: Measure how many tokens an edit of the recurrent state"),
    (["steer", "shadow"], "OVERVIEW: Steer only the first tokens, then continue the text from an"),
    (["steer", "doctor"], "OVERVIEW: Check whether a foreign vector's blocks, sign, site and"),
    (["patch"], "OVERVIEW: Find where in a model an answer is decided: activation patching and"),
    (["moments", "merge"], "OVERVIEW: Add up the moments of several parts of the data."),
    (["demo"], "OVERVIEW: Run the whole pipeline on the small model that comes with Sextant."),
    (["state"], "OVERVIEW: Save, compare and combine the states of a model after a text."),
    (["drift"], "OVERVIEW: Measure how much models with fewer bits differ from a reference."),
    (["bench"], "OVERVIEW: Measure the speed of prefill and decoding, and the memory that a"),
  ])
  func everySubcommandSaysWhatItIsFor(command: [String], firstWords: String) {
    let run = CommandRun.sextant(command + ["--help"])
    #expect(run.end == .exited(0))
    #expect(run.output.hasPrefix(firstWords), "\(run.output.prefix(100))")
  }

  /// A text that two commands share must not name an option that only one of them has. Another command's option is
  /// written with its command, in backticks.
  @Test func helpNamesOnlyOptionsOfItsCommand() throws {
    var checked = 0
    func check(_ command: JSONNode, _ path: String) throws {
      let arguments = try command.optionalMember("arguments")?.elements() ?? []
      let names = try arguments.flatMap {
        try $0.optionalMember("names")?.elements().map { try $0.text("name") } ?? []
      }
      for node in [command] + arguments where path != "sextant" {
        for key in ["abstract", "discussion"] {
          guard let text = try node.optionalMember(key)?.string() else { continue }
          let own = text.split(separator: "`", omittingEmptySubsequences: false)
            .enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element).joined()
          for option in own.matches(of: #/--([a-z][a-z0-9-]*)/#) {
            #expect(names.contains(String(option.1)), "\(path): \(text)")
            checked += 1
          }
        }
      }
      for part in try command.optionalMember("subcommands")?.elements() ?? [] {
        try check(part, "\(path) \(part.text("commandName"))")
      }
    }
    let help = try CommandRun.sextant(["--experimental-dump-help"]).json()
    try check(help.member("command"), "sextant")
    #expect(checked > 30)
  }

  /// A line that continues without a backslash leaves its indentation in the text.
  @Test func noTextHasGaps() throws {
    var checked = 0
    func check(_ node: JSONNode) throws {
      for key in ["abstract", "discussion"] {
        guard let text = try node.optionalMember(key)?.string() else { continue }
        let lines = text.split(separator: "\n")
        #expect(!lines.contains { $0.contains(/\S   +\S/) }, "\(text)")
        checked += 1
      }
      for key in ["arguments", "subcommands"] {
        for part in try node.optionalMember(key)?.elements() ?? [] { try check(part) }
      }
    }
    try check(CommandRun.sextant(["--experimental-dump-help"]).json().member("command"))
    #expect(checked > 100)
  }

  @Test func everySeedStatesItsDefault() throws {
    var found = 0
    func check(_ command: JSONNode) throws {
      for argument in try command.optionalMember("arguments")?.elements() ?? [] {
        let names = try argument.optionalMember("names")?.elements().map { try $0.text("name") }
        guard names?.contains("seed") == true else { continue }
        #expect(try argument.text("abstract").contains(/Default: \d+\.$/))
        found += 1
      }
      for part in try command.optionalMember("subcommands")?.elements() ?? [] { try check(part) }
    }
    try check(CommandRun.sextant(["--experimental-dump-help"]).json().member("command"))
    #expect(found > 5)
  }

  @Test func theVersionIsTheOneThatArtifactsRecord() {
    let lines = sextant("--version").output.split(separator: "\n")
    #expect(lines.first == "\(ToolVersion.current)")
    #expect(lines.dropFirst().map { $0.prefix { $0 != ":" } } == ["commit", "kernels", "OpenBLAS"])
  }
}
