import ArgumentParser
import SextantBytes
import SextantTensor

struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models",
    abstract: "Measures conversion, opening and runs of random models, and of peers.")

  @Option(
    help: """
      A shape: \(PublishedShape.allCases.map(\.rawValue).joined(separator: ", ")). May be repeated.
      """)
  var shape: [PublishedShape]

  @Option(
    help: """
      The types of the weights, separated by commas: \
      \(RandomModel.types.map(\.word).joined(separator: ", ")).
      """)
  var dtypes = "f32,bf16"

  @Option(help: "Sequences of the batched decoding, which is measured alone.")
  var batch = 8

  @Option(
    name: .customLong("peer"),
    help: """
      Who to compare with: \(PeerKind.allCases.map(\.rawValue).joined(separator: ", ")). May be \
      repeated.
      """)
  var kinds: [PeerKind] = []

  @Flag(help: "Only prefill and decode: no conversion, opening, memory and batch.")
  var speedOnly = false

  @OptionGroup var bench: Workbench

  @Option(help: "Write all values to this file, as JSON.")
  var json: String?

  func run() throws {
    bench.begin()
    var results: [(String, JSONValue)] = []
    for shape in shape {
      for type in try types() {
        let files = try bench.files(shape, type)
        let figures = try measure(files, type)
        var table = Table([files.name, "", "median (min–max)", "times better (min–max)"])
        for figure in figures { figure.addRows(to: &table) }
        print(table.text + "\n")
        let members = figures.map { ("\($0.name), \($0.unit)", $0.json) }
        results.append((files.name, .object(JSONObject(members))))
      }
    }
    try Machine.publish(results, under: "models", to: json, rounds: bench.rounds)
  }

  private func types() throws -> [DataType] {
    try dtypes.split(separator: ",").map { word in
      guard let type = RandomModel.types.first(where: { $0.word == word }) else {
        throw ValidationError("no type \(word)")
      }
      return type
    }
  }

  private func measure(_ files: ModelFiles, _ type: DataType) throws -> [Figure] {
    var figures: [Figure] = []
    for task in [Task.prefill(bench.prefill), .decode(bench.decode)] {
      let turns = try bench.turns(task, files, kinds)
      figures += [turns.rate, turns.perProcessor]
    }
    if speedOnly { return figures }
    let batched = try bench.turns(.decode(bench.decode, batch: batch), files, [])
    let measurement = FileMeasurement(files: files, bench: bench)
    // Blocks have no Hugging Face layout to be converted from.
    let conversion = type.isBlocks ? [] : try measurement.conversion()
    return try figures + [batched.rate, batched.perProcessor] + conversion
      + measurement.opening() + measurement.memory()
  }
}
