import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantStore
import SextantTokenizers

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

/// A probe's score and a bound, written `FILE[#NAME]>BOUND` or `FILE[#NAME]<BOUND`.
struct ProbeCondition: ExpressibleByArgument {
  /// The file of probes.
  let path: String
  /// The probe; nil for the first that reads one activation.
  let name: String?
  /// The condition.
  let condition: ProbeTap.Condition

  init?(argument: String) {
    guard let sign = argument.lastIndex(where: { $0 == ">" || $0 == "<" }),
      let bound = Double(argument[argument.index(after: sign)...]), bound.isFinite
    else { return nil }
    let file = ProbeFile(argument: String(argument[..<sign]))
    guard let file else { return nil }
    (path, name) = (file.path, file.name)
    condition = ProbeTap.Condition(isAbove: argument[sign] == ">", bound: bound)
  }

  /// The condition with its probes.
  func load(allowingOther: Bool) throws(FormatError) -> ScoreCondition {
    ScoreCondition(
      try Probe(reading: path), name: name, condition, allowsModelMismatch: allowingOther)
  }
}

/// A file of probes, and one of them, written `FILE` or `FILE#NAME`.
struct ProbeFile: ExpressibleByArgument {
  /// The file.
  let path: String
  /// The probe; nil for no choice.
  let name: String?

  init?(argument: String) {
    let mark = argument.lastIndex(of: "#")
    path = String(mark.map { argument[..<$0] } ?? argument[...])
    name = mark.map { String(argument[argument.index(after: $0)...]) }
    if path.isEmpty || name == "" { return nil }
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

  @Option(
    help: ArgumentHelp(
      "The field with the text. Default: statement, text or prompt.", valueName: "field"))
  var field: String?

  @Option(
    help: ArgumentHelp(
      "The field with the label: 1 and 0 (or -1), true and false, or yes and no.",
      valueName: "field"))
  var label: String

  @Option(
    help: ArgumentHelp(
      """
      Only this part of a quirky set: A (Alice), B (Bob), AE, AH, BE, BH (the easiest and the \
      hardest quarter), or all.
      """,
      valueName: "part"))
  var subset = QuirkySubset(character: nil, difficulty: nil)

  @Option(
    name: .customLong("where"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Only records whose field has this value. May be repeated.", valueName: "field=value"))
  var conditions: [FieldCondition] = []

  @Option(
    help: ArgumentHelp(
      "The template for template_args, with {name} for each.", valueName: "text"))
  var template: String?

  /// Reads the file and keeps the selected records, with the labels.
  ///
  /// - Throws: `data.*` for no records, or one without the label.
  func load() throws(FormatError) -> SelectedRecords {
    let file = try LabelledRecords(reading: data, template: template, field: field)
    return try SelectedRecords(
      file, label: label, subset: subset, template: template, field: field,
      where: conditions.map { ($0.field, $0.value) })
  }
}

/// The sites at which activations are read.
struct ReadingArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The sites of the probes: residual (every block's output), state (every component of the \
      recurrent state), all, or sites such as blocks.*.state.ssm, joined by commas. Default: \
      residual; with a capture, all its sites.
      """,
      valueName: "list"))
  var sites: WordList?

  @Option(
    help: ArgumentHelp(
      "Only these blocks, such as 3 or 1,3,10-12. Default: all.", valueName: "list"))
  var layers: LayerSelection?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens to read: last, last-3, all, or indices (negative: from the end).",
      valueName: "list"))
  var positions = PositionSelection.last

  @Option(
    help: "Whether each of several tokens of a text is an example, or their mean is one example.")
  var pooling = Probe.Pooling.each

  /// The sites of a model that are named.
  func sites(of model: ModelDescription) throws(FormatError) -> [SiteDescription] {
    try model.sites(named: sites?.words ?? ["residual"], layers: layers)
  }
}

extension Probe.Pooling: ExpressibleByArgument {}
extension ProbeMethod: ExpressibleByArgument {}

/// Methods joined by commas; `all` for every one.
struct MethodList: ExpressibleByArgument {
  /// The methods.
  let methods: [ProbeMethod]

  init(_ methods: [ProbeMethod]) {
    self.methods = methods
  }

  init?(argument: String) {
    if argument == "all" {
      self.init(ProbeMethod.allCases)
      return
    }
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    let methods = words.compactMap { ProbeMethod(rawValue: String($0)) }
    guard methods.count == words.count, Set(methods).count == methods.count else { return nil }
    self.init(methods)
  }

  var defaultValueDescription: String { methods.map(\.rawValue).joined(separator: ",") }
}
