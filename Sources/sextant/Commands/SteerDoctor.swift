import ArgumentParser
import Sextant
import SextantAnalysis
import SextantBytes
import SextantReport
import SextantTerminal

/// Whether a foreign vector fits.
struct SteerDoctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check whether a foreign vector's blocks, sign, site and operation fit a model.",
    discussion: """
      Files of other tools count layers from 0 or from 1, before or after a block, and do not fix \
      the sign. The vector's directions are compared with a small set of contrast pairs at shifted \
      layers and other sites. The verdict follows from the cosine of the vector with the difference \
      of the class means, which is largest at the vector's own site; a negative cosine means that \
      the sign is reversed. Separation is reported, and does not decide: it is the distance of the \
      class means along the vector, in standard deviations within the classes.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(help: ArgumentHelp("The steering vector.", valueName: "file"))
  var apply: String

  @OptionGroup(title: "Data") var contrast: ContrastArguments

  @OptionGroup var questions: TemplateArguments

  @Option(help: ArgumentHelp("The largest shift to try, in blocks.", valueName: "blocks"))
  var shift = 2

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if contrast.source == nil { throw ValidationError("Name contrast pairs (--pairs …).") }
    if !(0...64).contains(shift) {
      throw ValidationError("--shift is \(shift); it must be 0 to 64.")
    }
  }

  func run() throws {
    guard let source = contrast.source else { return }
    let open = try model.open()
    let vector = try SteeringVector(reading: apply)
    let pairs = try ContrastPairs(reading: source, template: questions.load())
    let tokenizer = try open.textTokenizer()
    let found = try Progress.show("read", .items("texts")) { update throws(Refusal) in
      try VectorDoctor(
        vector, model: open.model, tokenizer: tokenizer, pairs: pairs, shifts: -shift...shift,
        progress: update)
    }
    found.report(of: vector).print(asJSON: printing.json)
  }
}
