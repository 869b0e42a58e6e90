import ArgumentParser
import Glibc
import SextantBytes
import SextantTensor

/// The options of all measurements of models: the folder of files, the peers and the number of
/// rounds.
struct Workbench: ParsableArguments {
  @Option(help: "The folder where models are made and kept.")
  var cache = "/tmp/sextant-benchmarks"

  @Option(help: "The seed of the random weights.")
  var seed: UInt64 = 1

  @Option(help: "Rounds: how often the two sides take turns.")
  var rounds = 5

  @Option(help: "Tokens of the prompt that is read.")
  var prefill = 512

  @Option(help: "Tokens that are generated.")
  var decode = 32

  @Option(help: "Threads of each side.")
  var threads = ProcessorCount.available

  @OptionGroup var peers: Peers

  /// Prints the line about the machine, and sets the same number of threads for all children.
  func begin() {
    setenv("SEXTANT_THREADS", "\(threads)", 1)
    print(
      "\(Machine.date), \(Machine.processor), \(threads) threads, \(rounds) rounds, "
        + "load \(Machine.load) at the start\n")
  }

  /// A random model. It is made if it does not exist.
  func files(_ shape: PublishedShape, _ type: DataType) throws -> ModelFiles {
    let model = RandomModel(shape: shape, dataType: type, seed: seed)
    if access("\(cache)/\(model.name)-\(seed).sxt", R_OK) != 0 { report("making \(model.name)") }
    return ModelFiles(store: try model.make(in: cache), name: model.name, cache: cache)
  }

  /// A process of Sextant, with its own memory and start-up.
  func worker(_ arguments: String...) throws -> ChildProcess {
    try ChildProcess(["/proc/self/exe", "worker"] + arguments)
  }

  /// Both sides in turns; the first turns warm up and do not count.
  ///
  /// Peers that cannot be started are left out.
  ///
  /// - Parameters:
  ///   - precision: the precision of Sextant's products; nil means SEXTANT_PRECISION.
  ///   - memory: measured after each of Sextant's turns.
  func turns(
    _ task: Task, _ files: ModelFiles, _ kinds: [PeerKind], precision: Precision? = nil,
    memory: MemoryReader? = nil
  ) throws -> TurnFigures {
    // The child reads it when it starts.
    if let precision { setenv("SEXTANT_PRECISION", precision.rawValue, 1) }
    let process = try worker("--model", files.store)
    if precision != nil { unsetenv("SEXTANT_PRECISION") }
    _ = try process.answer()
    // Each task has its own processes, because code compiled for one shape slows down the next one.
    let others = kinds.compactMap { kind in
      peers.start(kind, files, threads: threads).map { (kind.rawValue, $0) }
    }
    var figures = TurnFigures(task.name)
    for round in 0...rounds {
      report("\(files.name): \(task.name), \(round == 0 ? "to warm up" : "round \(round)")")
      if others.isEmpty {
        let ours = try task.run(process)
        if round > 0 { figures.add(ours) }
      }
      for (name, peer) in others {
        let ours = try task.run(process)
        let limit = memory?.gigabytesPerSecond()
        let theirs = try task.run(peer)
        if round == 0, ours.last != theirs.last {
          // Random weights give nearly equal logits, so that rounding can decide.
          report("\(files.name): \(name) ends at tokens \(theirs.last), Sextant at \(ours.last)")
        }
        guard round > 0 else { continue }
        figures.add(name, theirs: theirs, ours: ours)
        if let limit { figures.memory.add(limit) }
      }
    }
    return figures
  }
}

/// The two rates of one task.
struct TurnFigures {
  private(set) var rate: Figure
  /// Other programs on the machine affect the clock more than this.
  private(set) var perProcessor: Figure
  /// The memory's speed after each of Sextant's turns, in GB/s, if it was requested.
  var memory = Samples()

  init(_ name: String) {
    rate = Figure(name, "tokens/s")
    perProcessor = Figure(name, "tokens per processor second")
  }

  mutating func add(_ ours: Task.Rate) {
    rate.add(ours: ours.perSecond)
    perProcessor.add(ours: ours.perProcessorSecond)
  }

  mutating func add(_ peer: String, theirs: Task.Rate, ours: Task.Rate) {
    rate.add(peer, theirs: theirs.perSecond, ours: ours.perSecond)
    perProcessor.add(
      peer, theirs: theirs.perProcessorSecond, ours: ours.perProcessorSecond)
  }
}
