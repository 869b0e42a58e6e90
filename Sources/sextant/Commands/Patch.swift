import ArgumentParser
import Sextant
import SextantBytes
import SextantReport
import SextantTerminal

/// `sextant patch`: activation patching and causal tracing.
struct Patch: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Find where in a model an answer is decided: activation patching and causal tracing.",
    discussion: """
      Two prompts differ in one fact. One value of the clean run replaces that of the corrupted run, \
      at one place of the model and one token at a time. The share of the difference between the two \
      answers that returns shows how much of the fact passes through this place. The first token at \
      which the answers differ is compared; tokens that both answers begin with are read as the end of the \
      prompts. The prompts must have equally many tokens, or --span names what differs. With --noise there \
      is one prompt, and Gaussian noise at the tokens of --subject corrupts it. -o writes results.json, \
      results.csv, index.html and the picture maps.svg.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt after which --answer is right; @FILE reads it from a file.", valueName: "text"))
  var clean: PromptArgument?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt after which --against is right; @FILE reads it from a file.", valueName: "text"))
  var corrupted: PromptArgument?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The answer to the clean prompt as it continues the prompt, such as \" Paris\".",
      valueName: "words"))
  var answer: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The answer to compare with. Default: the log-probability of --answer is measured.",
      valueName: "words"))
  var against: String?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      """
      Texts of the two prompts that stand for each other, such as "Eiffel Tower=Colosseum"; may be \
      given several times, in the order of the prompts. If their tokens differ in number, the last ones \
      stand for each other.
      """,
      valueName: "clean=corrupted"))
  var span: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      Pairs to average over: records with clean, corrupted and answer, and if wanted against, subject and \
      spans.
      """,
      valueName: "file"))
  var pairs: String?

  @Option(
    help: ArgumentHelp(
      """
      stream (the embedding and the output of every block), parts (what each part of a block adds), state \
      (every component of the state, before each token), all, or names of sites; joined by commas.
      """,
      valueName: "list"))
  var sites = CommaList(["stream"])

  @OptionGroup var blocks: LayerArguments

  @Flag(help: "Patch each head of a state component by itself, too.")
  var heads = false

  @Flag(help: "Put values of the corrupted run into the clean one: the share that is lost.")
  var reverse = false

  @Option(
    help: ArgumentHelp(
      """
      Corrupt the clean prompt by Gaussian noise at the embeddings of the subject, with this multiple of the \
      standard deviation of these embeddings; 3 is usual.
      """,
      valueName: "multiple"))
  var noise: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The part of the clean prompt that gets the noise.", valueName: "words"))
  var subject: String?

  @Option(
    help: ArgumentHelp(
      "The number of noises of each prompt; results are their means. Default: 10.",
      valueName: "count"))
  var seeds: Int?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The seed of noise and of intervals. Default: 0.", valueName: "number"),
    transform: Numbers.seed)
  var seed: UInt64?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "A folder for results.json, results.csv, index.html and maps.svg.", valueName: "folder"))
  var output: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @Option(help: "Whether standard output has colours; auto: only on a terminal.")
  var color = LensShow.Colouring.auto

  @Option(help: ArgumentHelp("The number of columns of the terminal.", valueName: "n"))
  var width: Int?

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 1, [("--seeds", seeds), ("--width", width)])
    if let noise, !(noise > 0 && noise.isFinite) {
      throw ValidationError("--noise is \(noise); it must be a number above 0.")
    }
    if printing.json {
      try refuseGiven(
        [("--width", width != nil), ("--color", color != .auto)], "has no effect with --json")
    }
    if noise == nil { try refuseGiven([("--seeds", seeds != nil)], "needs --noise") }
    try pairs == nil ? checkPair() : checkPairs()
  }

  private func checkPairs() throws {
    try refuseGiven(
      [
        ("--clean", clean != nil), ("--corrupted", corrupted != nil), ("--answer", answer != nil),
        ("--against", against != nil), ("--span", !span.isEmpty), ("--subject", subject != nil),
      ], "has no effect with --pairs, whose records have their own")
  }

  private func checkPair() throws {
    guard clean != nil, answer != nil else {
      throw ValidationError("Give --clean and --answer, or --pairs.")
    }
    for span in span where span.split(separator: "=", maxSplits: 1).count != 2 {
      throw ValidationError("--span is \(span); it must be two texts joined by =.")
    }
    if noise == nil {
      try refuseGiven([("--subject", subject != nil)], "needs --noise")
      try refuseGiven([("--seed", seed != nil)], "needs --pairs or --noise")
      if corrupted == nil { throw ValidationError("Give --corrupted, or --noise and --subject.") }
    } else {
      try refuseGiven(
        [("--corrupted", corrupted != nil), ("--span", !span.isEmpty)],
        "has no effect with --noise, which corrupts the clean prompt")
      if subject == nil { throw ValidationError("--noise needs --subject.") }
    }
  }

  var fileUse: CommandFiles {
    let inputs = (clean?.inputs ?? []) + (corrupted?.inputs ?? []) + [pairs].compactMap { $0 }
    return CommandFiles(
      inputs: model.inputs + inputs, folders: [output].compactMap { $0 },
      outputs: output.map { ResultFolder.measurement(in: $0) + ["\($0)/maps.svg"] } ?? [],
      replaces: force)
  }

  func run() throws {
    let open = try model.open()
    var patching = ActivationPatching(open.model, try open.textTokenizer())
    (patching.sites, patching.layers) = (sites.values, blocks.layers)
    (patching.heads, patching.reverse, patching.noise) = (heads, reverse, noise)
    (patching.seeds, patching.seed) = (seeds ?? patching.seeds, seed ?? patching.seed)
    let records = try pairs.map { path throws(Refusal) in try PatchingPair.read(path) }
    let chosen = try records ?? [pair()]
    let found = try Progress.show("patch", .items("tokens")) { update throws(Refusal) in
      try patching.run(on: chosen, file: pairs, progress: update)
    }
    if let output {
      let folder = ResultFolder(output, replacing: force)
      try folder.write(json: found.json, csv: found.cellTable.csv, page: found.page)
      try folder.write(found.picture + "\n", to: "maps.svg")
    }
    if printing.json {
      StandardStreams.print(JSONValue.object(found.json).prettyText)
    } else {
      StandardStreams.print(
        found.text(
          width: width ?? StandardStreams.outputWidth, isColoured: color.isColoured))
    }
  }

  /// The pair that the options name.
  private func pair() throws(Refusal) -> PatchingPair {
    PatchingPair(
      clean: try clean?.text() ?? "", corrupted: try corrupted?.text(), answer: answer ?? "",
      against: against, subject: subject,
      spans: span.map { span in
        let parts = span.split(separator: "=", maxSplits: 1).map(String.init)
        return PatchingPair.Span(parts[0], clean: parts[0], corrupted: parts[1])
      })
  }
}
