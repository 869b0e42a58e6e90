import ArgumentParser
import Sextant
import SextantAnalysis
import SextantBytes
import SextantInspection
import SextantReport
import SextantTerminal

/// Records to probes.
struct ProbeTrain: WritingCommand, SharedCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train linear probes on records with labels.",
    discussion: """
      Methods that read one activation: lr, mean-diff, lda, pca, random. Methods that read the \
      activations after both choices of a record: lr-on-pair, mean-diff-on-pair, lda-on-pair, and, \
      without labels, ccs, crc, vinc. The same records and model give the same bytes.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup(title: "Records") var selection: RecordArguments
  @OptionGroup(title: "Activations") var reading: ReadingArguments
  @OptionGroup var training: ProbeMethodArguments

  @Flag(help: "Train a probe for each head of states whose first axis is the head.")
  var heads = false

  @Option(
    help: ArgumentHelp(
      """
      Take the activations from a file that `sextant capture` made from the texts of the records. \
      --sites then selects among the sites of the file. Default: all of them.
      """,
      valueName: "capture.safetensors"))
  var capture: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The artifact to make.", valueName: "out.probe.safetensors"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    guard capture != nil else { return }
    try model.beginning.checkUnused("--capture")
    try refuseGiven([("--preload", model.options.preload)], "has no effect with --capture")
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + selection.inputs + [capture].compactMap { $0 }, outputs: [output],
      replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open()
    var trainer = ProbeTrainer(training.methods, seed: training.seed ?? 0, ranks: Job.ranks)
    trainer.splitsHeads = heads
    let examples = try examples(of: selection.load(), open, for: trainer)
    let read = clock.seconds
    let (probe, skipped) = try Progress.show("train", .items(heads ? "parts" : "sites")) {
      update throws(Refusal) in
      try trainer.probe(
        of: examples.records, examples.activations, sites: examples.sites,
        model: open.reference,
        positions: reading.places.readPositions, pooling: reading.pooling, progress: update)
    }
    guard Job.ranks.isFirst else { return }
    try probe.artifact.write(to: output, replacing: force)
    Report(
      trained: probe, output: output, skipped: skipped, records: examples.records,
      examples: examples.activations.count, seconds: (read, clock.seconds - read)
    ).print(asJSON: printing.json)
  }

  private func examples(
    of records: SelectedRecords, _ open: LoadedModel, for trainer: ProbeTrainer
  ) throws(Refusal) -> ProbeExamples {
    let tokenizer = try open.textTokenizer()
    if let capture {
      let examples = try ProbeExamples(
        of: records, capture: capture, open.description, tokenizer,
        sites: reading.places.sites?.values,
        layers: reading.places.layers, positions: reading.places.readPositions,
        pooling: reading.pooling, ranks: Job.ranks
      )
      SiteArguments.note(leftOut: examples.activations.leftOut)
      try trainer.checkHeads(of: examples.sites)
      return examples
    }
    let sites = try reading.places.sites(of: open.description)
    try trainer.checkHeads(of: sites)
    return try Progress.show("read", .items("records")) { update throws(Refusal) in
      try ProbeExamples(
        of: records, open.model, tokenizer, sites: sites, positions: reading.places.readPositions,
        pooling: reading.pooling,
        readsPairs: trainer.methods.contains(where: \.needsPairs), ranks: Job.ranks,
        progress: update)
    }
  }
}
