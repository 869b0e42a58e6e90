import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
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
    help: ArgumentHelp("The methods, joined by commas; all for every one.", valueName: "list"))
  var methods = MethodList([.logistic, .meanDifference, .discriminant])

  @Flag(help: "A probe for each head of states whose first axis counts heads.")
  var heads = false

  @Option(
    help: ArgumentHelp(
      "Take the activations from a file of `sextant capture` that read the records' texts.",
      valueName: "capture.safetensors"))
  var capture: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("The seed.", valueName: "s"))
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
    try Numbers.check(atLeast: 0, [("--seed", seed)])
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + selection.inputs + [capture].compactMap { $0 }, outputs: [output],
      replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open(beginning)
    let sites = try open.model.description.sites(
      named: reading.sites.words, layers: reading.layers)
    var selected = try selection.load()
    let activations = try activations(open, sites, selected.records)
    let read = clock.seconds
    var trainer = ProbeTrainer(methods.methods, seed: seed)
    trainer.splitsHeads = heads
    selected.description = try description(of: selected, open)
    let (probe, skipped) = try trainer.probe(
      of: selected, activations, model: open.reference, positions: reading.positions,
      pooling: reading.pooling)
    try probe.artifact.write(to: output, replacing: force)
    report(
      probe, skipped, selected, activations.count, reading: read, training: clock.seconds - read
    ).print(asJSON: printing.json)
  }

  /// What the probe records of the texts, with the tokens that were put before them.
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
    _ open: OpenModel, _ sites: [SiteDescription], _ records: [LabelledRecord]
  ) throws(FormatError) -> Activations {
    if let capture {
      let file = try Artifact(reading: capture)
      try file.manifest.model.check(against: open.reference, allowingOther: false, file: capture)
      return try Activations(
        capture: file, of: ChoicePrompts(records, open.textTokenizer()).prompts,
        model: open.model.description, positions: reading.positions, pooling: reading.pooling)
    }
    let prompts = try ChoicePrompts(records, open.textTokenizer())
    let progress = Progress("read", .items("records"))
    defer { progress.clear() }
    return try ActivationReader(
      open.model, positions: reading.positions, pooling: reading.pooling
    ).read(prompts, sites: sites, readsPairs: methods.methods.contains(where: \.needsPairs)) {
      progress.update($0, $1)
    }
  }

  private func report(
    _ probe: Probe, _ skipped: [String], _ selected: SelectedRecords, _ examples: Int,
    reading: Double, training: Double
  ) -> Report {
    var table = Table(["probe", "#elements", "#loss", "#scale", "#bias"])
    var rows: [JSONValue] = []
    for entry in probe.entries {
      let figures =
        if case .object(let own)? = probe.statistics[entry.name] { own } else { JSONObject() }
      let loss: Double = if case .number(let value)? = figures["loss"] { value } else { .nan }
      table.add([
        entry.name, Format.count(entry.direction.count),
        loss.isFinite ? Format.figure(loss) : "", Format.figure(entry.scale),
        Format.figure(entry.bias),
      ])
      rows.append([
        "name": .string(entry.name), "site": .string(entry.site.name),
        "layer": entry.layer.map { JSONValue($0) } ?? .null,
        "head": entry.head.map { JSONValue($0) } ?? .null, "method": .string(entry.method),
        "figures": .object(figures),
      ])
    }
    return Report(
      title: "\(printable(output)): \(Format.count(probe.entries.count, of: "probe")) of "
        + "\(selection.label), from \(Format.count(examples, of: "example"))",
      facts: [
        ("reading", "\(Format.fixed(reading, 2)) s"),
        ("training", "\(Format.fixed(training, 2)) s"),
      ],
      tables: [("probes", table.abbreviated(to: 40))],
      notes: [selected.classes] + skipped.map { "left out: \($0)" },
      json: JSONObject([
        ("output", .string(output)), ("model", probe.model.json),
        ("label", .string(selection.label)), ("examples", JSONValue(examples)),
        ("probes", .array(rows)), ("skipped", .array(skipped.map { .string($0) })),
        ("reading_seconds", JSONValue(finite: reading)),
        ("training_seconds", JSONValue(finite: training)),
      ]))
  }
}
