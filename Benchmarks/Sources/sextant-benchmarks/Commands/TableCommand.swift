import ArgumentParser
import Glibc
import SextantBytes
import SextantTensor

struct TableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "table",
    abstract: "The figures of the README about speed, with their targets.",
    discussion: """
      Takes about a quarter of an hour on a quiet machine once the models are made, which the first \
      run does. A ratio above 1 means that Sextant is better, except for the shares.
      """)

  @Option(help: "Only the rows whose text contains this. May be repeated.")
  var only: [String] = []

  @OptionGroup var bench: Workbench

  @Option(help: "Write all values to this file, as JSON.")
  var json: String?

  func run() throws {
    bench.begin()
    var table = Table([
      "", "goal", "measured: median (min–max)", "per processor second", "Sextant", "the other",
      "of the memory's speed",
    ])
    // A gigabyte that is read between the turns of decoding: it differs from minute to minute.
    let memory = MemoryReader(threads: bench.threads)
    var results: [(String, JSONValue)] = []
    func add(_ row: Row) {
      table.add(row.cells)
      results.append((row.text, row.json))
      report(row.cells.joined(separator: " | "))
    }
    for goal in Self.goals where isWanted(goal.text) {
      if let row = try measure(goal, memory) { add(row) }
    }
    for (text, measure) in measurements(memory) where isWanted(text) { try measure().forEach(add) }
    print(table.text)
    print("\nLoad at the end: \(Machine.load).")
    try Machine.publish(results, under: "table", to: json, rounds: bench.rounds)
  }

  private func isWanted(_ text: String) -> Bool {
    only.isEmpty || only.contains { text.contains($0) }
  }

  // MARK: Compared with peers

  /// A figure, and the ratio to a peer that it should reach.
  private struct Goal {
    let shape: PublishedShape
    let type: DataType
    let isPrefill: Bool
    let peer: PeerKind
    let ratio: Double
    var precision = Precision.exact
    /// The tokens of the prompt, if not those of the options.
    var prompt: Int? = nil

    var text: String {
      let (task, tokens) =
        isPrefill
        ? ("prefill", prompt.map { " \($0)" }) : ("decode", prompt.map { " after \($0)" })
      return "\(task)\(tokens ?? ""), \(shape.rawValue) \(type.word), "
        + (precision == .fast ? "--precision fast, " : "") + "over \(peer.rawValue)"
    }

    func task(_ bench: Workbench) -> Task {
      isPrefill
        ? .prefill(prompt ?? bench.prefill) : .decode(bench.decode, after: prompt ?? 16)
    }
  }

  private static let goals: [Goal] = {
    var goals: [Goal] = []
    func add(
      _ shape: PublishedShape, _ type: DataType, _ peer: PeerKind, prefill: Double? = nil,
      fastPrefill: Double? = nil, decode: Double? = nil, fastDecode: Double? = nil
    ) {
      for (isPrefill, ratio) in [(true, prefill), (false, decode)] {
        guard let ratio else { continue }
        // Peers also round activations to the type of the weights. For torch this matters for
        // prompts only: one token waits for memory in both cases.
        let rounds = type.isBlocks || type == .bf16 && (isPrefill || peer == .llamaCpp)
        for precision in rounds ? [Precision.exact, .fast] : [.exact] {
          let fast = isPrefill ? fastPrefill : fastDecode
          goals.append(
            Goal(
              shape: shape, type: type, isPrefill: isPrefill, peer: peer,
              ratio: precision == .fast ? fast ?? ratio : ratio, precision: precision))
        }
      }
    }
    add(.mamba130m, .f32, .llamaCpp, prefill: 2.2, decode: 1.5)
    add(.mamba130m, .bf16, .llamaCpp, prefill: 3.5, decode: 1.7)
    add(.mamba2Of130m, .bf16, .llamaCpp, prefill: 1.5)
    add(.rwkv7Of200m, .bf16, .llamaCpp, prefill: 1.3, decode: 1.4)
    for type in [DataType.f32, .bf16] {
      add(.mamba130m, type, .transformers, prefill: 5, decode: 5)
      add(.mamba2Of130m, type, .transformers, prefill: 2.5, decode: 2.5)
      add(.pythia160m, type, .transformers, prefill: 1.1, decode: 2.5)
      add(.smolLM135m, type, .transformers, prefill: 1.1, decode: 2.5)
    }
    add(.rwkv6Of200m, .f32, .rwkv, prefill: 1.5, decode: 2.5)
    add(.rwkv7Of200m, .f32, .rwkv, prefill: 1.5, decode: 2.5)
    for shape in [PublishedShape.granite4H350m, .falconH1Of500m, .qwen35Of800m, .lfm2Of350m] {
      add(shape, .bf16, .llamaCpp, prefill: 1, fastPrefill: 1.5, decode: 1.3)
      add(shape, .bf16, .transformers, prefill: 1.5, decode: 3)
    }
    for shape in [PublishedShape.mamba130m, .rwkv7Of200m, .smolLM135m] {
      for type in [DataType.q4v0, .q4k, .q8] {
        add(
          shape, type, .llamaCpp, prefill: 1, decode: 1,
          fastDecode: shape == .mamba130m && type == .q8 ? 1.7 : 1.3)
      }
    }
    // The longer the text, the larger the share of attention.
    for length in [512, 2048, 8000] {
      for isPrefill in [true, false] {
        goals.append(
          Goal(
            shape: .smolLM2Of135m, type: .f32, isPrefill: isPrefill, peer: .llamaCpp, ratio: 1.5,
            prompt: length))
      }
    }
    return goals
  }()

  private func measure(_ goal: Goal, _ memory: MemoryReader) throws -> Row? {
    let files = try bench.files(goal.shape, goal.type)
    // After a long prompt, keys and values are read as well.
    let countsBytes = !goal.isPrefill && goal.prompt == nil
    let figures = try bench.turns(
      goal.task(bench), files, [goal.peer], precision: goal.precision,
      memory: countsBytes ? memory : nil)
    guard let peer = figures.rate.peers.first, let other = figures.perProcessor.peers.first else {
      return nil
    }
    let gigabytes = countsBytes ? try files.decodingGigabytes() : 0
    return Row(
      text: goal.text, goal: "≥ \(shortText(goal.ratio))",
      measured: peer.ours.ratios(to: peer.theirs),
      perProcessor: other.ours.ratios(to: other.theirs), ours: peer.ours, theirs: peer.theirs,
      unit: "tokens/s", memory: figures.memory,
      memoryShare: peer.ours.map { $0 * gigabytes }.ratios(to: figures.memory))
  }

  // MARK: Compared with the machine

  private func measurements(
    _ memory: MemoryReader
  ) -> [(text: String, measure: () throws -> [Row])] {
    [
      ("decode, share of the memory's bandwidth", { try bandwidthShare(memory) }),
      ("prefill, share of OpenBLAS's arithmetic", arithmeticShare),
      ("decode, 8 sequences over 1", batching),
      ("converting, opening, memory", files),
    ]
  }

  private func bandwidthShare(_ memory: MemoryReader) throws -> [Row] {
    let files = try bench.files(.mamba790m, .bf16)
    let process = try bench.worker("--model", files.store)
    _ = try process.answer()
    let gigabytes = try files.decodingGigabytes()
    var (ours, most) = (Samples(), Samples())
    for round in 0...bench.rounds {
      report("\(files.name): bandwidth, \(round == 0 ? "to warm up" : "round \(round)")")
      let rate = try Task.decode(bench.decode).run(process).perSecond * gigabytes
      let limit = memory.gigabytesPerSecond()
      if round > 0 {
        ours.add(rate)
        most.add(limit)
      }
    }
    return [
      Row(
        text: "decode, \(files.name), share of the measured read bandwidth", goal: "≥ 0.85",
        measured: ours.ratios(to: most), ours: ours, theirs: most, unit: "GB/s")
    ]
  }

  /// Counts products only, so that the time of the scan and of all other work lowers the figure.
  private func arithmeticShare() throws -> [Row] {
    try [DataType.f32, .bf16].map { type in
      let files = try bench.files(.mamba130m, type)
      let process = try bench.worker("--model", files.store)
      _ = try process.answer()
      let (architecture, configuration) = try PublishedShape.mamba130m.model()
      // The embedding is looked up; the head is computed for the last token only.
      let parameters = try architecture.weights(configuration).filter {
        $0.kind == .matrix && $0.name != "embedding.weight"
      }.reduce(0) { $0 + $1.shape.reduce(1, *) }
      let gigaoperations = 2e-9 * Double(parameters)
      let product = KernelContest.largeProduct(bench.threads)
      var (ours, most) = (Samples(), Samples())
      for round in 0...bench.rounds {
        let rate = try Task.prefill(bench.prefill).run(process).perSecond * gigaoperations
        let limit = product()
        if round > 0 {
          ours.add(rate)
          most.add(limit)
        }
      }
      return Row(
        text: "prefill, \(files.name), arithmetic of its products over OpenBLAS's f32", goal: "",
        measured: ours.ratios(to: most), ours: ours, theirs: most, unit: "Gflop/s")
    }
  }

  private func batching() throws -> [Row] {
    let files = try bench.files(.mamba130m, .bf16)
    let process = try bench.worker("--model", files.store)
    _ = try process.answer()
    var (one, many) = ([Task.Rate](), [Task.Rate]())
    for round in 0...bench.rounds {
      let (single, batch) = (
        try Task.decode(bench.decode).run(process),
        try Task.decode(bench.decode, batch: 8).run(process)
      )
      if round > 0 {
        one.append(single)
        many.append(batch)
      }
    }
    let rates = { (rates: [Task.Rate]) in Samples(rates.map(\.perSecond)) }
    let perProcessor = { (rates: [Task.Rate]) in Samples(rates.map(\.perProcessorSecond)) }
    return [
      Row(
        text: "decode, \(files.name), 8 sequences over 1", goal: "≥ 5",
        measured: rates(many).ratios(to: rates(one)),
        perProcessor: perProcessor(many).ratios(to: perProcessor(one)), ours: rates(many),
        theirs: rates(one), unit: "tokens/s")
    ]
  }

  private func files() throws -> [Row] {
    let large = try bench.files(.mamba790m, .bf16)
    let measurement = FileMeasurement(files: large, bench: bench)
    let figures = try measurement.conversion()
    var rows = figures[0].peers.map { peer in
      Row(
        text: "converting \(large.name), time over \(peer.name)",
        goal: peer.name == "cp" ? "≤ 1.5" : "", measured: peer.ours.ratios(to: peer.theirs),
        ours: peer.ours, theirs: peer.theirs, unit: "s/GB")
    }
    let opening = try measurement.opening()
    rows.append(
      Row(
        text: "opening \(large.name)", goal: "≤ 10 ms", measured: opening[0].ours,
        ours: opening[1].ours, unit: "ms; ready to run"))
    let memory = try measurement.memory()
    rows.append(
      Row(
        text: "decoding \(large.name), memory beyond the mapped weights", goal: "≤ 100 MB",
        measured: memory[1].ours, ours: memory[2].ours, unit: "MiB; with a prompt of 512"))
    return rows
  }
}

/// One line of the table.
private struct Row {
  let text: String
  let goal: String
  /// The ratio, or the figure itself if there is nothing to compare with.
  let measured: Samples
  var perProcessor = Samples()
  let ours: Samples
  var theirs = Samples()
  let unit: String
  /// GB/s of a plain search through memory between the turns, and Sextant's share of it.
  var memory = Samples()
  var memoryShare = Samples()

  var cells: [String] {
    [
      text, goal, measured.text, perProcessor.isEmpty ? "" : perProcessor.text,
      "\(shortText(ours.median)) \(unit)", theirs.isEmpty ? "" : shortText(theirs.median),
      memory.isEmpty ? "" : "\(shortText(memoryShare.median)) of \(shortText(memory.median)) GB/s",
    ]
  }

  var json: JSONValue {
    [
      "goal": .string(goal), "measured": measured.json, "per_processor_second": perProcessor.json,
      "sextant": ours.json, "other": theirs.json, "unit": .string(unit), "memory": memory.json,
      "memory_share": memoryShare.json,
    ]
  }
}
