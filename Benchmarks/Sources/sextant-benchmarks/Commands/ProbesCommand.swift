import ArgumentParser
import SextantAnalysis
import SextantModels
import SextantTensor

/// Measures the time to train probes.
struct ProbesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probes",
    abstract: "Trains probes on random activations, at every block.",
    discussion: """
      The activations have a spectrum that falls, as those of models do, and a label that shows \
      weakly. Pairs double the elements: methods that need them are measured apart.
      """)

  @Option(help: "Examples.") var examples = 10_000
  @Option(help: "Blocks.") var layers = 24
  @Option(help: "The width of the residual stream.") var width = 768
  @Option(help: "Methods, joined by commas.") var methods = "lr,mean-diff,lda,pca,random"

  func run() throws {
    let chosen = methods.split(separator: ",").compactMap { ProbeMethod(rawValue: String($0)) }
    let pairs = chosen.contains(where: \.needsPairs)
    var numbers = SeededRandom(seed: 1)
    let labels = (0..<examples).map { _ in numbers.next() & 1 == 1 }
    print("\(examples) examples x \(layers) blocks of width \(width)")
    var total = 0.0
    // A few blocks at a time, because training on a model does not keep all activations in memory,
    // either.
    for start in stride(from: 0, to: layers, by: 4) {
      let sites = (start..<min(start + 4, layers)).map { block in
        (
          site: SiteDescription(site: .output(block: block), shape: [width], axes: ["channel"]),
          rows: rows(labels, width * (pairs ? 2 : 1), &numbers)
        )
      }
      let activations = pairs ? Activations([], pairs: sites) : Activations(sites)
      for method in chosen.isEmpty ? [] : [chosen] {
        let clock = ContinuousClock.now
        let result = try ProbeTrainer(method).train(activations, labels: labels)
        let (seconds, attoseconds) = clock.duration(to: .now).components
        total += Double(seconds) + Double(attoseconds) * 1e-18
        precondition(result.entries.count == sites.count * method.count)
      }
    }
    print("\(chosen.map(\.rawValue).joined(separator: ", ")): \(total) s")
  }

  /// Rows whose elements are correlated and fall in size, with a weak label.
  private func rows(_ labels: [Bool], _ width: Int, _ numbers: inout SeededRandom) -> Tensor {
    var values = [Float](repeating: 0, count: labels.count * width)
    for (row, label) in labels.enumerated() {
      var carried: Float = 0
      for column in 0..<width {
        let noise = Float(Int32(truncatingIfNeeded: numbers.next() >> 40) - (1 << 23)) / 8_388_608
        carried = 0.7 * carried + noise
        let size = 1 / (1 + Float(column) / 16)
        values[row * width + column] = carried * size + (label ? 0.02 : -0.02)
      }
    }
    return Tensor(values, shape: [labels.count, width])
  }
}
