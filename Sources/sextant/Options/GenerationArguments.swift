import ArgumentParser
import SextantArtifacts
import SextantBytes
import SextantGeneration

/// How tokens are chosen.
struct SamplingArguments: ParsableArguments {
  @Option(help: ArgumentHelp("What logits are divided by; 0 takes the likeliest.", valueName: "t"))
  var temp: Float = 0.8

  @Option(help: ArgumentHelp("Choose among the k likeliest tokens; 0 for all.", valueName: "k"))
  var topK = 0

  @Option(
    help: ArgumentHelp(
      "Choose among the likeliest tokens whose probabilities add up to p.", valueName: "p"))
  var topP: Float = 1

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The seed of the choices; the same seed, the same text.", valueName: "s"))
  var seed: UInt64 = 0

  /// The options, checked.
  func options() throws(FormatError) -> SamplingOptions {
    try SamplingOptions(temperature: temp, topK: topK, topP: topP, seed: seed)
  }
}

/// Which artifacts are applied, and where.
struct SteeringArguments: ParsableArguments {
  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      """
      Apply an artifact, times a strength (default: 1): steering vectors edit, the others report. \
      May be repeated.
      """,
      valueName: "file[:strength]"))
  var apply: [AppliedFile] = []

  @Option(
    help: ArgumentHelp(
      "Steer only these blocks, such as 3 or 2-4. Default: all that the vector has.",
      valueName: "a-b"))
  var layers: LayerRange?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      Steer only these tokens: last, last-3, all, prompt, generated, or indices (negative: from \
      the prompt's end), joined by commas. Default: what the artifact says.
      """,
      valueName: "list"))
  var positions: PositionSelection?

  @Flag(help: "Accept artifacts of another model of the same width and depth.")
  var allowModelMismatch = false
}
