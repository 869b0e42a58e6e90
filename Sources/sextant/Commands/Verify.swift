import ArgumentParser
import Sextant
import SextantAnalysis
import SextantBytes
import SextantInspection
import SextantReport
import SextantTerminal

/// Every digest of a file, and whether training again gives it.
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check every digest of a model or artifact; train an artifact again and compare.",
    discussion: """
      Reads the whole file. The status is 65 if a digest differs. With --retrain, Sextant trains \
      again on the given model and data, with the method, options, positions, sites and seed that \
      the artifact records. The result must have the same bytes. The data are contrast pairs for a \
      steering vector, --data for a probe or an eraser, and --text for a lens. Artifacts of earlier versions that lack this record \
      are refused. Processors with different vector units round differently, so that bytes can \
      differ between them.
      """)

  @Argument(help: "A native model or an artifact.")
  var file: String

  @Flag(help: "Train the artifact again and compare; needs --model and its data.")
  var retrain = false

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The model to train on.", valueName: "model.sxt"))
  var model: String?

  @OptionGroup(title: "Data of a steering vector") var contrast: ContrastArguments

  @Option(help: ArgumentHelp("The records of a probe or eraser.", valueName: "file"))
  var data: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("The texts of a lens, in the order of its training.", valueName: "file"))
  var text: [String] = []

  @Option(
    help: ArgumentHelp(
      "The member of an object that contains a text of a lens. Default: text.", valueName: "name"))
  var field: String?

  @Option(
    help: ArgumentHelp(
      "The lens from which the training of a tuned lens started, if any.", valueName: "file"))
  var start: String?

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var printing: OutputOptions

  func validate() throws {
    let count = [contrast.source != nil, data != nil, !text.isEmpty].count { $0 }
    guard retrain == (model != nil), count == (retrain ? 1 : 0) else {
      throw ValidationError(
        "--retrain, --model and the data go together: --pairs for a steering vector, --data for a "
          + "probe or eraser, --text for a lens.")
    }
    guard !text.isEmpty || field == nil && start == nil else {
      throw ValidationError("--field and --start go with --text.")
    }
    if !retrain {
      try refuseGiven(
        [("--precision", compute.precision != nil)], "has no effect without --retrain")
    }
  }

  private var source: RetrainingSource? {
    if let source = contrast.source { return .pairs(source) }
    if let data { return .records(data) }
    return text.isEmpty ? nil : .texts(text, field: field, start: start)
  }

  func run() throws {
    compute.apply()
    let progress = retrain ? Progress("train", .items("texts")) : Progress("verify", .bytes)
    let report = try Report(verifying: file, trainingAgain: retraining()) {
      progress.update($0, $1)
    }
    progress.clear()
    report.print(asJSON: printing.json)
  }

  private func retraining() throws(Refusal) -> Retraining? {
    guard let model, let source else { return nil }
    var open = try LoadedModel.open(model)
    // Another kind of file is refused by the training.
    if let artifact = try? Artifact(reading: file) {
      open = try open.chatting(asRecordedIn: artifact)
    }
    return try Retraining(
      open.model, open.textTokenizer(), source: source, area: { ROC($0, $1)?.area })
  }
}
