import ArgumentParser
import SextantBytes
import SextantTensor

struct KernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Measures each kernel: products (compared with OpenBLAS), scan, exponentials.",
    discussion: "SEXTANT_KERNELS=avx2 or portable measures the other levels.")

  @Option(help: "Rounds: how often the two sides take turns.")
  var rounds = 9

  @Option(help: "Threads of each side.")
  var threads = ProcessorCount.available

  @Option(help: "Write all values to this file, as JSON.")
  var json: String?

  func run() throws {
    WorkerPool.setSharedThreadCount(threads)
    print("\(Machine.date), \(Machine.processor), \(threads) threads, \(rounds) rounds\n")
    let groups: [(String, [KernelContest])] = [
      ("decode: matrix by vector", KernelContest.matrixVector(threads)),
      ("prefill: matrix products", KernelContest.matrixProducts(threads)),
      ("recurrences", KernelContest.recurrences()),
      ("delta rules", KernelContest.deltaRules()),
      ("functions", KernelContest.functions()),
    ]
    var results: [(String, JSONValue)] = []
    for (name, contests) in groups {
      var table = Table([name, "", "median (min–max)", "times better (min–max)"])
      for contest in contests {
        let figure = contest.run(rounds: rounds)
        figure.addRows(to: &table)
        results.append((figure.name, figure.json))
      }
      print(table.text + "\n")
    }
    guard let json else { return }
    let document: JSONValue = [
      "date": .string(Machine.date), "processor": .string(Machine.processor),
      "threads": .integer(Int64(threads)), "rounds": .integer(Int64(rounds)),
      "kernels": .object(JSONObject(results)),
    ]
    try FilePublisher.publish(Array((document.prettyText + "\n").utf8), to: json, replacing: true)
  }
}
