import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantReport
import SextantTerminal

extension LensMeasure: ExpressibleByArgument {}

/// A text through lenses.
struct LensShow: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show the prediction of each block after each token of a text.",
    discussion: """
      A grid of blocks by tokens: each cell shows the most probable next token, coloured by its \
      probability, by entropy, by cross-entropy of the next token, or by divergence from the \
      model's own prediction. The last row is the model itself. With --apply, steering vectors act \
      while the text is read, and the page shows the steered text, the unsteered text, and the \
      difference.
      """)

  enum Colouring: String, CaseIterable, ExpressibleByArgument {
    case auto, always, never

    /// Whether standard output has colours.
    var isColoured: Bool {
      switch self {
      case .auto: StandardStreams.outputIsTerminal
      case .always: true
      case .never: false
      }
    }
  }

  @OptionGroup var model: TextModelOptions
  @OptionGroup var text: TextArguments

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A lens to use; may be given several times. Default: the logit lens.",
      valueName: "file"))
  var lens: [String] = []

  @OptionGroup(title: "Steering") var steering: SteeringArguments

  @Option(help: "What the colours of cells show.")
  var measure = LensMeasure.probability

  @Option(help: "Whether standard output has colours; auto: only on a terminal.")
  var color = Colouring.auto

  @Option(help: ArgumentHelp("Show every n-th block, and the last.", valueName: "n"))
  var layerStride = 1

  @Option(
    help: ArgumentHelp("Show only these tokens, such as 0-15.", valueName: "a-b"),
    transform: Written.tokens)
  var tokens: ClosedRange<Int>?

  @Option(
    help: ArgumentHelp("The number of most probable tokens to keep for each cell.", valueName: "k"))
  var topK = 10

  @Option(help: ArgumentHelp("The number of columns of the terminal.", valueName: "n"))
  var width: Int?

  @Option(help: ArgumentHelp("Write an interactive page.", valueName: "out.html"))
  var html: String?

  @Option(help: ArgumentHelp("Write the grid as an image.", valueName: "out.svg"))
  var svg: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 1, [("--layer-stride", layerStride), ("--width", width)])
    if !(1...1000).contains(topK) { throw ValidationError("--top-k must be from 1 to 1000.") }
    guard printing.json else { return }
    try refuseGiven(
      [("--width", width != nil), ("--color", color != .auto)], "has no effect with --json")
    guard svg == nil else { return }
    try refuseGiven(
      [
        ("--measure", measure != .probability), ("--layer-stride", layerStride != 1),
        ("--tokens", tokens != nil),
      ], "has no effect with --json, except for the image of --svg")
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + text.inputs + lens + steering.inputs,
      outputs: [html, svg].compactMap { $0 }, replaces: force)
  }

  func run() throws {
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    let ids = try tokenizer.encodeText(text.prompt.text())
    let range = try LensText.range(tokens, of: ids)
    let applied = try steering.load(for: open, others: !lens.isEmpty)
    try applied.interventions.check(.edits, of: "lens show")
    let lenses = lens.isEmpty ? [.logit] : [.logit] + (try LensNames.lenses(lens))
    let views = try LensPage.views(
      lenses, open.model, tokenizer, on: ids, applied, guesses: topK,
      allowsModelMismatch: steering.allowModelMismatch)
    let page = LensPage(views, tokenizer)
    if let html {
      try FilePublisher.publish(
        Array(page.html(subtitle: LensPage.subtitle(open.model.description, ids)).utf8), to: html,
        replacing: force)
    }
    let shown = views.filter { $0.lens == lenses[lenses.count - 1].name }
    if let svg, let view = shown.last {
      let picture = LensFigures.grid(
        view.grid, tokenizer, measure, title: "\(view.lens) lens, \(view.run)", range,
        layerStride: layerStride)
      try FilePublisher.publish(Array((picture.svg() + "\n").utf8), to: svg, replacing: force)
    }
    if printing.json {
      StandardStreams.print(JSONValue.object(page.json).prettyText)
    } else {
      show(shown, tokenizer, range)
    }
  }

  private func show(
    _ views: [LensPage.View], _ tokenizer: any Tokenizer, _ range: Range<Int>
  ) {
    for view in views {
      StandardStreams.print("\(view.lens) lens, \(view.run); colour: \(measure.title)")
      let terminal = LensTerminal(
        view.grid, tokenizer, colouredBy: measure, isColoured: color.isColoured,
        width: width ?? StandardStreams.outputWidth)
      StandardStreams.print(terminal.text(layerStride: layerStride, tokens: range))
    }
  }
}
