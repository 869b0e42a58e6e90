import SextantArtifacts
import SextantTestSupport
import Testing

/// What a newcomer sees first.
@Suite struct HelpTests {
  @Test func theFirstLinesShowThreeCommandsThatFitATerminal() {
    let lines = sextant("--help").output.split(separator: "\n").map(String.init)
    #expect(lines[0] == "OVERVIEW: Convert a language model, learn from it, steer it:")
    #expect(lines[1].hasPrefix("  sextant convert "))
    #expect(lines[2].hasPrefix("  sextant steer train "))
    #expect(lines[3].hasPrefix("  sextant generate ") && lines[3].contains(" --apply "))
    #expect(lines.allSatisfy { $0.count <= 80 })
  }

  @Test(arguments: [
    (["convert"], "OVERVIEW: Convert a checkpoint to a native model file."),
    (["export"], "OVERVIEW: Write a model or an artifact in another program's format."),
    (["inspect"], "OVERVIEW: Show what a file holds."),
    (["verify"], "OVERVIEW: Check every digest of a model or artifact; train an artifact again"),
    (["generate"], "OVERVIEW: Continue a prompt, with steering vectors applied."),
    (["capture"], "OVERVIEW: Write down what a model computes while it reads prompts."),
    (["steer"], "OVERVIEW: Learn steering vectors, and measure what they do."),
    (["steer", "train"], "OVERVIEW: Learn a steering vector from pairs of texts."),
    (["steer", "eval"], "OVERVIEW: Measure a steering vector at every layer and strength, beside"),
    (["steer", "half-life"], "OVERVIEW: Measure how many tokens an edit of the recurrent state"),
    (["steer", "shadow"], "OVERVIEW: Steer the first tokens only, beside a clean twin that the"),
    (["steer", "doctor"], "OVERVIEW: Tell whether a foreign vector's layers, sign, site and"),
    (["moments", "merge"], "OVERVIEW: Add up the moments of several parts of the data."),
    (["demo"], "OVERVIEW: Run the whole pipeline on the small model that comes with Sextant."),
    (["state"], "OVERVIEW: Save what a model remembers of a text, compare and mix it."),
    (["drift"], "OVERVIEW: Measure how far models with fewer bits are from a reference."),
    (["bench"], "OVERVIEW: Measure how fast a model reads and writes, and the memory that it"),
  ])
  func everySubcommandSaysWhatItIsFor(command: [String], firstWords: String) {
    let run = CommandRun.sextant(command + ["--help"])
    #expect(run.end == .exited(0))
    #expect(run.output.hasPrefix(firstWords), "\(run.output.prefix(100))")
  }

  @Test func theVersionIsTheOneThatArtifactsRecord() {
    #expect(sextant("--version").output == "\(ToolVersion.current)\n")
  }
}
