import SextantArtifacts
import SextantTestSupport
import Testing

/// The help texts that a newcomer sees first.
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
    (["inspect"], "OVERVIEW: Show the content of a file."),
    (["verify"], "OVERVIEW: Check every digest of a model or artifact; train an artifact again"),
    (["generate"], "OVERVIEW: Continue a prompt, with steering vectors applied."),
    (["capture"], "OVERVIEW: Record a model's activations while it reads prompts."),
    (["steer"], "OVERVIEW: Learn steering vectors, and measure their effects."),
    (["steer", "train"], "OVERVIEW: Learn a steering vector from pairs of texts."),
    (
      ["steer", "eval"],
      "OVERVIEW: Measure a steering vector and controls at every layer and strength."
    ),
    (["steer", "half-life"], "OVERVIEW: Measure how many tokens an edit of the recurrent state"),
    (["steer", "shadow"], "OVERVIEW: Steer only the first tokens, then continue the text from an"),
    (["steer", "doctor"], "OVERVIEW: Check whether a foreign vector's layers, sign, site and"),
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

  @Test func theVersionIsTheOneThatArtifactsRecord() {
    #expect(sextant("--version").output == "\(ToolVersion.current)\n")
  }
}
