import ArgumentParser
import Glibc
import SextantBytes
import SextantTensor

struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models",
    abstract: "Converting, opening and running models, beside transformers on torch.")

  @Option(help: "A model in Hugging Face layout. May be repeated.")
  var model: [String] = []

  @OptionGroup var random: RandomModelOptions

  @Option(help: "Rounds: how often the two sides take turns.")
  var rounds = 5

  @Option(help: "Tokens of the prompt that is read.")
  var prefill = 512

  @Option(help: "Tokens that are generated.")
  var decode = 64

  @Option(help: "Sequences of the batched decoding.")
  var batch = 8

  @Option(help: "Also convert to these types and run: f16, bf16, q8; separated by commas.")
  var also = ""

  @Option(help: "Threads of each side.")
  var threads = ProcessorCount.available

  @Option(
    help: """
      A Python that has torch and transformers, for the comparison; without it \
      SEXTANT_PYTHON counts, and without that Sextant is measured alone.
      """)
  var python: String?

  @Option(help: "How transformers runs, separated by commas: eager, scan, compiled.")
  var peers = "eager,compiled"

  @Option(help: "Write all values to this file, as JSON.")
  var json: String?

  func run() throws {
    let folders = try model + random.make()
    guard !folders.isEmpty else { throw ValidationError("Name a --model or a --shape.") }
    setenv("SEXTANT_THREADS", "\(threads)", 1)
    print("\(Machine.date), \(Machine.processor), \(threads) threads, \(rounds) rounds\n")
    let python = peerPython()
    var results: [(String, JSONValue)] = []
    for folder in folders {
      let name = String(folder.split(separator: "/").last ?? "model")
      let measurement = ModelMeasurement(
        folder: folder, name: name, cache: random.cache, python: python,
        modes: peers.split(separator: ",").map(String.init), options: self)
      let figures = try measurement.run()
      var table = Table([name, "", "median (min–max)", "times better (min–max)"])
      for figure in figures { figure.addRows(to: &table) }
      print(table.text + "\n")
      let members = figures.map { ("\($0.name), \($0.unit)", $0.json) }
      results.append((name, .object(JSONObject(members))))
    }
    guard let json else { return }
    let document: JSONValue = [
      "date": .string(Machine.date), "processor": .string(Machine.processor),
      "threads": .integer(Int64(threads)), "rounds": .integer(Int64(rounds)),
      "models": .object(JSONObject(results)),
    ]
    try FilePublisher.publish(Array((document.prettyText + "\n").utf8), to: json, replacing: true)
  }

  /// The Python to compare with, or nil and a line that says so.
  private func peerPython() -> String? {
    let path = python ?? getenv("SEXTANT_PYTHON").map { String(cString: $0) }
    guard let path else {
      print("No Python given (--python or SEXTANT_PYTHON): transformers is not measured.\n")
      return nil
    }
    do {
      _ = try ChildProcess.time([path, "-c", "import torch, transformers"])
      return path
    } catch {
      print("\(path) has no torch and transformers: transformers is not measured.\n")
      return nil
    }
  }
}
