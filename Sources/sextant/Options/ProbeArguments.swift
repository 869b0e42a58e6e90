import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration
import SextantTerminal

/// A field and the value that it must have, written `FIELD=VALUE`.
struct FieldCondition: ExpressibleByArgument {
  /// The field.
  let field: String
  /// The value, as text.
  let value: String

  init?(argument: String) {
    guard let sign = argument.firstIndex(of: "="), sign > argument.startIndex else { return nil }
    field = String(argument[..<sign])
    value = String(argument[argument.index(after: sign)...])
  }
}

extension QuirkySubset: ExpressibleByArgument {
  /// Reads `A`, `AE`, `BH`, `all` and the other names.
  public init?(argument: String) { self.init(argument) }
}

extension ProbeFile: ExpressibleByArgument {}

/// Where the texts of records are.
struct RecordTextArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The field with the text. Default: statement, text or prompt.", valueName: "field"))
  var field: String?

  @Option(
    help: ArgumentHelp(
      "The template for template_args, with {name} for each.", valueName: "text"))
  var template: String?

  /// Reads a file of records.
  func records(reading path: String) throws(Refusal) -> LabelledRecords {
    try LabelledRecords(reading: path, template: template, field: field)
  }
}

/// The records that probes are trained or measured on.
struct RecordArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Records with labels: JSON lines, a JSON array, or a table with a header line. Each has a \
      statement (or template_args and --template), and the fields that --label and --where name. - is \
      standard input.
      """,
      valueName: "file"))
  var data: String

  @OptionGroup var texts: RecordTextArguments

  @Option(
    help: ArgumentHelp(
      "The field with the label: 1 and 0 (or -1), true and false, or yes and no.",
      valueName: "field"))
  var label: String

  @Option(
    help: ArgumentHelp(
      """
      Only this part of a quirky set: A (Alice's contexts), B (Bob's); AE and BE (the easiest \
      quarter of each), AH and BH (the hardest quarter of each); or all.
      """,
      valueName: "part"))
  var subset = QuirkySubset(character: nil, difficulty: nil)

  @Option(
    name: .customLong("where"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Only records whose field has this value. May be repeated.", valueName: "field=value"))
  var conditions: [FieldCondition] = []

  /// Reads the file and keeps the selected records, with the labels.
  ///
  /// - Throws: `data.*` for no records, or one without the label.
  func load() throws(Refusal) -> SelectedRecords {
    let file = try texts.records(reading: data)
    return try SelectedRecords(
      file, label: label, subset: subset, template: texts.template, field: texts.field,
      where: conditions.map { ($0.field, $0.value) })
  }

  /// The files that are read.
  var inputs: [String] { [data] }
}

/// The sites at which activations are read.
struct SiteArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Where activations are read: residual (every block's output), state (every component of the \
      recurrent state), all, or sites such as blocks.*.state.ssm, joined by commas. Default: \
      residual.
      """,
      valueName: "list"))
  var sites: CommaList<String>?

  @Option(
    help: ArgumentHelp(
      "Only these blocks, such as 3 or 1,3,10-12. Default: all.", valueName: "list"),
    transform: Written.layers)
  var layers: LayerSelection?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      The tokens to read: last, last-3, all, or indices (negative: from the end), joined by \
      commas. Default: last.
      """,
      valueName: "list"),
    transform: Written.positions)
  var positions: PositionSelection?

  /// The tokens to read.
  var readPositions: PositionSelection { positions ?? .last }

  /// The sites of a model that are named, with a note on standard error about those that cannot be
  /// trained at.
  func sites(of model: ModelDescription) throws(Refusal) -> [SiteDescription] {
    let (sites, leftOut) = try model.trainableSites(
      named: sites?.values ?? ["residual"], layers: layers)
    Self.note(leftOut: leftOut)
    return sites
  }

  /// Notes sites on standard error that cannot be trained at.
  static func note(leftOut: [SiteDescription]) {
    guard !leftOut.isEmpty else { return }
    let places = Set(leftOut.map(\.site.pattern)).sorted().joined(separator: ", ")
    StandardStreams.printError("note: left out, because it grows with each position: \(places)")
  }
}

/// Where activations of texts with labels are read, and what one example is.
struct ReadingArguments: ParsableArguments {
  @OptionGroup var places: SiteArguments

  @Option(
    help: "Whether each of several tokens of a text is an example, or their mean is one example.")
  var pooling = Probe.Pooling.each

  func validate() throws {
    guard places.readPositions.selectsAtMostOne else { return }
    try refuseGiven(
      [("--pooling mean", pooling == .mean)],
      "has no effect: --positions \(places.readPositions) selects one token of each text")
  }
}

extension Probe.Pooling: ExpressibleByArgument {}
extension ProbeMethod: ExpressibleByArgument {}

/// How probes are trained.
struct ProbeMethodArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The methods, joined by commas, or all. Default: lr,mean-diff,lda.", valueName: "list"),
    transform: Written.methods)
  var methods: [ProbeMethod] = ProbeMethod.usual

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "The seed of the methods random and ccs, which use random numbers. Default: 0.",
      valueName: "s"),
    transform: Numbers.positiveSeed)
  var seed: Int?

  func validate() throws {
    guard !methods.contains(where: \.usesRandomNumbers) else { return }
    try refuseGiven(
      [("--seed", seed != nil)],
      "is for the methods random and ccs; the others use no random numbers"
    )
  }
}
