import ArgumentParser
import Glibc
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor

/// Measures the speed of lens training, and that of the tuned-lens package.
struct LensCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lens",
    abstract: "Trains lenses on random streams, and with the tuned-lens package on torch.",
    discussion: """
      One round is one step of training without the model's own run: the target's logits, then at \
      each site translator, loss and gradients. Both sides take turns; the ratio is that of \
      neighbours. The package runs as its loop does, under bf16 autocast, and in f32.
      """)

  @Option(help: "The width of the residual stream.") var width = 768
  @Option(help: "Tokens of the vocabulary.") var vocabulary = 50280
  @Option(help: "Tokens of a step.") var tokens = 1024
  @Option(help: "Sites.") var sites = 2
  @Option(help: "Rounds: how often the sides take turns.") var rounds = 3
  @Option(help: "Threads of each side.") var threads = ProcessorCount.available
  @Option(help: "A Python with torch and tuned-lens. Without it only Sextant is measured.")
  var python: String?
  @Option(help: "The folder with tuned_lens_peer.py.") var peers = "peers"

  func run() throws {
    WorkerPool.setSharedThreadCount(threads)
    print(
      "\(Machine.date), \(Machine.processor), \(threads) threads; width \(width), vocabulary "
        + "\(vocabulary), \(tokens) tokens x \(sites) sites")
    let modes = python == nil ? [] : ["bf16", "f32"]
    let children = try modes.map { mode in
      try ChildProcess([
        python ?? "", "\(peers)/tuned_lens_peer.py", "--width", "\(width)", "--vocabulary",
        "\(vocabulary)", "--tokens", "\(tokens)", "--sites", "\(sites)", "--threads", "\(threads)",
        "--mode", mode,
      ])
    }
    let step = LensStep(width: width, vocabulary: vocabulary, tokens: tokens, sites: sites)
    let work = Double(tokens * sites)
    // The first round of each side warms it up.
    for round in 0...rounds {
      let (own, fast) = (step.run(.exact), step.run(.fast))
      if round > 0 {
        for (name, figures) in [("f32", own), ("bf16 (--precision fast)", fast)] {
          print(
            "sextant \(name): \(Int(work / figures.seconds)) tokens x layers/s, "
              + "\(Int(work / figures.processor)) per processor second")
        }
      }
      for (mode, child) in zip(modes, children) {
        let answer = try child.ask([:])
        let (seconds, processor) = (
          try answer.member("seconds").number(), try answer.member("processor_seconds").number()
        )
        guard round > 0 else { continue }
        let memory = try answer.member("peak_bytes").number() / 1e6
        print(
          "  tuned-lens \(mode): \(Int(work / seconds)) tokens x layers/s, "
            + "\(Int(work / processor)) per processor second, \(Int(memory)) MB; Sextant "
            + "in f32 \(ratio(seconds, own.seconds)) times as fast "
            + "(\(ratio(processor, own.processor)) per processor second), in bf16 "
            + "\(ratio(seconds, fast.seconds)) (\(ratio(processor, fast.processor)))")
      }
    }
    print("peak memory of Sextant: \(step.peakMegabytes) MB")
  }

  private func ratio(_ theirs: Double, _ own: Double) -> String {
    "\((theirs / own * 100).rounded() / 100)"
  }
}

/// One step of training on random streams.
private struct LensStep {
  private let readouts: [Precision: TrainingReadout]
  private let streams: [Tensor]  // [T, D] each
  private let translators: [Translator]

  init(width: Int, vocabulary: Int, tokens: Int, sites: Int) {
    var numbers = SeededRandom(seed: 1)
    func random(_ rows: Int, _ scale: Float) -> Tensor {
      Tensor(
        (0..<rows * width).map { _ in
          Float(Int32(truncatingIfNeeded: numbers.next() >> 40) - (1 << 23)) / 8_388_608 * scale
        }, shape: [rows, width])
    }
    let ones = Tensor([Float](repeating: 1, count: width), shape: [width])
    let readout = Readout(norm: .rms(weight: ones, epsilon: 1e-5), head: random(vocabulary, 0.035))
    readouts = [
      .exact: TrainingReadout(readout, precision: .exact),
      .fast: TrainingReadout(readout, precision: .fast),
    ]
    streams = (0...sites).map { _ in random(tokens, 1.7) }
    translators = (0..<sites).map { _ in Translator(identity: width) }
  }

  func run(_ precision: Precision) -> (seconds: Double, processor: Double) {
    guard let training = readouts[precision] else { return (.nan, .nan) }
    Precision.current = precision
    let (clock, processor) = (ContinuousClock.now, Self.processorSeconds)
    let (rows, width) = (streams[0].rowCount, streams[0].columnCount)
    var weights = translators.map { _ in Tensor(zeros: [width, width]) }
    var biases = translators.map { _ in [Double](repeating: 0, count: width) }
    for start in stride(from: 0, to: rows, by: Readout.tileRows) {
      let range = start..<min(start + Readout.tileRows, rows)
      let last = streams[streams.count - 1].slice(rows: range)
      let target = ReadoutTarget(training.readout, residual: last)
      for (site, translator) in translators.enumerated() {
        let x = streams[site].slice(rows: range)
        let (_, gradient) = training.lossGradient(
          .kl, of: translator(x), target: target, next: Array(repeating: nil, count: range.count),
          weight: 1 / Float(rows))
        Linear.addWeightGradient(gradient, x, to: &weights[site])
        CrossProducts.addRows(gradient, to: &biases[site])
      }
    }
    let (seconds, attoseconds) = clock.duration(to: .now).components
    return (
      Double(seconds) + Double(attoseconds) * 1e-18, Self.processorSeconds - processor
    )
  }

  private static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// The largest resident size so far.
  var peakMegabytes: Int { Machine.peakMemory / 1_000_000 }
}
