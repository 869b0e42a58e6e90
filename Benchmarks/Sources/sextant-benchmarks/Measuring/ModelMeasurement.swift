import Glibc
import SextantBytes

/// Everything that is measured of one model.
struct ModelMeasurement {
  let folder: String
  let name: String
  let cache: String
  let python: String?
  let modes: [String]
  let options: ModelsCommand

  private var weights: String { folder + "/model.safetensors" }
  private var store: String { "\(cache)/\(name).sxt" }

  private static let mebibyte = Double(1 << 20)

  func run() throws -> [Figure] {
    try conversion() + opening() + memory() + speed() + otherTypes()
  }

  // MARK: Processes

  private func worker(_ arguments: String...) throws -> ChildProcess {
    try ChildProcess(["/proc/self/exe", "worker"] + arguments)
  }

  private func report(_ text: String) {
    let line = Array("\(name): \(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }

  /// The peers that start; each holds the model already.
  ///
  /// Each task has processes of its own: what was compiled for one shape slows down the next.
  private func startPeers() -> [Peer] {
    guard let python else { return [] }
    return modes.compactMap { mode in
      report("starting transformers (\(mode))")
      let command = [
        python, script, folder, "--mode", mode, "--threads", "\(options.threads)",
      ]
      do {
        let process = try ChildProcess(command)
        _ = try process.answer()
        return Peer(name: "transformers (\(mode))", process: process)
      } catch {
        report("no transformers (\(mode)): \(error)")
        return nil
      }
    }
  }

  /// `peers/transformers_peer.py` of this package.
  private var script: String {
    // …/Benchmarks/Sources/sextant-benchmarks/Measuring/ModelMeasurement.swift
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4)
    return parts.joined(separator: "/") + "/peers/transformers_peer.py"
  }

  // MARK: Files

  /// Converting, beside `cp` of the same file, and beside `cp` that waits for the disk as we do.
  private func conversion() throws -> [Figure] {
    var rate = Figure("convert", "GB/s")
    var peak = Figure("peak memory of converting", "MiB", moreIsBetter: false)
    let copy = "\(cache)/\(name).copy"
    defer { unlink(copy) }
    var status = stat()
    stat(weights, &status)
    let gigabytes = Double(status.st_size) / 1e9
    let commands = [
      ("cp", "cp \"$1\" \"$2\""), ("cp and sync", "cp \"$1\" \"$2\" && sync \"$2\""),
    ]
    for round in 0...options.rounds {
      report(round == 0 ? "converting, to warm up" : "converting, round \(round)")
      for (name, command) in commands {
        let process = try worker("--convert", folder, "--output", store)
        let answer = try process.answer()
        let ours = try answer.member("seconds").number()
        unlink(copy)
        let theirs = try ChildProcess.time(["/bin/sh", "-c", command, "sh", weights, copy])
        if round == 0 { continue }
        rate.add(name, theirs: gigabytes / theirs, ours: gigabytes / ours)
        peak.add(ours: try answer.member("peak").number() / Self.mebibyte)
      }
    }
    return [rate, peak]
  }

  /// A fresh process opens the store; then it can run.
  private func opening() throws -> [Figure] {
    var store = Figure("open the file", "ms", moreIsBetter: false)
    var model = Figure("open the model", "ms", moreIsBetter: false)
    for _ in 0..<max(options.rounds, 5) {
      let answer = try worker("--model", self.store).answer()
      store.add(ours: try answer.member("store_seconds").number() * 1e3)
      model.add(ours: try answer.member("load_seconds").number() * 1e3)
    }
    return [store, model]
  }

  /// Resident memory of a process that reads a prompt and generates: mapped weights count.
  private func memory() throws -> [Figure] {
    let process = try worker("--model", store)
    _ = try process.answer()
    _ = try process.ask(["task": "prefill", "tokens": .integer(Int64(options.prefill))])
    _ = try process.ask(["task": "decode", "tokens": .integer(Int64(options.decode))])
    let answer = try process.ask(["task": "memory"])
    var peak = Figure("peak memory of running", "MiB", moreIsBetter: false)
    var own = Figure("of which not the mapped file", "MiB", moreIsBetter: false)
    peak.add(ours: try answer.member("peak").number() / Self.mebibyte)
    own.add(ours: try answer.member("anonymous").number() / Self.mebibyte)
    return [peak, own]
  }

  // MARK: Speed

  private func speed() throws -> [Figure] {
    let process = try worker("--model", store)
    _ = try process.answer()
    return try tasks.flatMap { try turns($0, process, startPeers()) }
  }

  /// The same with weights stored in other types.
  private func otherTypes() throws -> [Figure] {
    try options.also.split(separator: ",").flatMap { type in
      let store = "\(cache)/\(name)-\(type).sxt"
      _ = try worker("--convert", folder, "--output", store, "--dtype", String(type)).answer()
      let process = try worker("--model", store)
      _ = try process.answer()
      return try tasks.flatMap { task in
        var task = task
        task.name += ", \(type)"
        return try turns(task, process, [])
      }
    }
  }

  private var tasks: [Task] {
    [
      Task(name: "prefill \(options.prefill)", tokens: options.prefill, batch: 1, task: "prefill"),
      Task(name: "decode \(options.decode)", tokens: options.decode, batch: 1, task: "decode"),
      Task(
        name: "decode \(options.decode), batch \(options.batch)", tokens: options.decode,
        batch: options.batch, task: "decode"),
    ]
  }

  /// Both sides in turns; the first turns warm up and do not count.
  private func turns(
    _ task: Task, _ process: ChildProcess, _ peers: [Peer]
  ) throws -> [Figure] {
    var rate = Figure(task.name, "tokens/s")
    // What neighbours on the machine take away shows in the clock more than here.
    var perProcessor = Figure(task.name, "tokens per processor second")
    for round in 0...options.rounds {
      report(round == 0 ? "\(task.name), to warm up" : "\(task.name), round \(round)")
      if peers.isEmpty {
        let ours = try task.run(process)
        if round > 0 {
          rate.add(ours: ours.perSecond)
          perProcessor.add(ours: ours.perProcessorSecond)
        }
      }
      for peer in peers {
        let (ours, theirs) = (try task.run(process), try task.run(peer.process))
        if round == 0 { continue }
        rate.add(peer.name, theirs: theirs.perSecond, ours: ours.perSecond)
        perProcessor.add(
          peer.name, theirs: theirs.perProcessorSecond, ours: ours.perProcessorSecond)
      }
    }
    return [rate, perProcessor]
  }

  /// A process that runs the same model in another program.
  private struct Peer {
    let name: String
    let process: ChildProcess
  }

  private struct Task {
    var name: String
    let tokens: Int
    let batch: Int
    let task: String

    /// Runs it once: tokens of all sequences by the clock, and by the processors' time.
    func run(_ process: ChildProcess) throws -> (perSecond: Double, perProcessorSecond: Double) {
      let answer = try process.ask([
        "task": .string(task), "tokens": .integer(Int64(tokens)), "batch": .integer(Int64(batch)),
      ])
      let count = Double(tokens * batch)
      return (
        count / (try answer.member("seconds").number()),
        count / (try answer.member("processor_seconds").number())
      )
    }
  }
}
