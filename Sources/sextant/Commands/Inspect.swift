import ArgumentParser
import SextantInspection
import SextantReport

/// The type and content of a file.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the content of a file.",
    discussion: """
      Sextant recognises models, artifacts and checkpoints by their content, never by their name. \
      A model's weights are not read. An artifact needs no model, and its digests are checked. A \
      digest is the SHA-256 of bytes: other bytes have another digest. The identity of a model is \
      one digest of its architecture, its configuration and the digests of its weights in the \
      source. It does not depend on the file format of the source or on `convert --dtype`. An artifact \
      records the identity of its model and the digest of its tokenizer.
      """)

  @Argument(help: "A native model, an artifact, or a checkpoint (a folder too).")
  var file: String

  @Flag(help: "List every tensor, for any number of tensors.")
  var tensors = false

  @OptionGroup var hdf5: HDF5Options
  @OptionGroup var printing: OutputOptions

  func run() throws {
    hdf5.apply()
    let report = try Report(inspecting: file, rowLimit: tensors ? .max : 12)
    try hdf5.checkUsed()
    report.print(asJSON: printing.json)
  }
}
