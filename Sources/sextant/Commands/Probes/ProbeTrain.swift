import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantInspection
import SextantModels
import SextantReport
import SextantTokenizers

/// Records to probes.
struct ProbeTrain: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train linear probes on records with labels.",
    discussion: """
      Methods that read one activation: lr, mean-diff, lda, pca, random. Methods that read the \
      activations after both choices of a record: lr-on-pair, mean-diff-on-pair, lda-on-pair, and, \
      without labels, ccs, crc, vinc. The same records and model give the same bytes.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions
  @OptionGroup(title: "Records") var selection: RecordArguments
  @OptionGroup(title: "Activations") var reading: ReadingArguments

  @Option(
    help: ArgumentHelp("The methods, joined by commas, or all.", valueName: "list"))
  var methods = MethodList([.logistic, .meanDifference, .discriminant])

  @Flag(help: "Train a probe for each head of states whose first axis is the head.")
  var heads = false

  @Option(
    help: ArgumentHelp(
      "Take the activations from a file that `sextant capture` made from the texts of the records.",
      valueName: "capture.safetensors"))
  var capture: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The seed.", valueName: "s"),
    transform: Numbers.positiveSeed)
  var seed = 0

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The artifact to make.", valueName: "out.probe.safetensors"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if capture != nil { try beginning.checkUnused("--capture") }
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + selection.inputs + [capture].compactMap { $0 }, outputs: [output],
      replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open(beginning)
    var selected = try selection.load()
    let activations = try activations(open, selected.records)
    let read = clock.seconds
    var trainer = ProbeTrainer(methods.methods, seed: seed)
    trainer.splitsHeads = heads
    selected.description = try description(of: selected, open)
    let (probe, skipped) = try trainer.probe(
      of: selected, activations, model: open.reference, positions: reading.positions,
      pooling: reading.pooling)
    try probe.artifact.write(to: output, replacing: force)
    Report(
      trained: probe, output: output, skipped: skipped, records: selected,
      examples: activations.count, seconds: (read, clock.seconds - read)
    ).print(asJSON: printing.json)
  }

  /// The record of the texts in the probe, with the tokens that were put before them.
  private func description(
    of selected: SelectedRecords, _ open: OpenModel
  ) throws(FormatError) -> JSONObject {
    guard let capture else {
      return try open.textTokenizer().recordingBeginning(in: selected.description)
    }
    var data = selected.description
    data[BeginningRecord.key] = try Artifact(reading: capture).manifest.details[BeginningRecord.key]
    return data
  }

  private func activations(
    _ open: OpenModel, _ records: [LabelledRecord]
  ) throws(FormatError) -> Activations {
    if let capture {
      let file = try Artifact(reading: capture)
      try file.manifest.model.check(against: open.reference, allowingOther: false, file: capture)
      return try Activations(
        capture: file, of: ChoicePrompts(records, open.textTokenizer()).prompts,
        model: open.model.description, sites: reading.sites?.words, layers: reading.layers,
        positions: reading.positions, pooling: reading.pooling)
    }
    let sites = try reading.sites(of: open.model.description)
    let prompts = try ChoicePrompts(records, open.textTokenizer())
    return try Progress.show("read", .items("records")) { update throws(FormatError) in
      try ActivationReader(open.model, positions: reading.positions, pooling: reading.pooling).read(
        prompts, sites: sites, readsPairs: methods.methods.contains(where: \.needsPairs),
        progress: update)
    }
  }
}
