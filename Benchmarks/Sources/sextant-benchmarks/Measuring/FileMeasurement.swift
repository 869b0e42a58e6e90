import Glibc
import SextantBytes

/// Measures conversion, opening, and the memory of a run.
struct FileMeasurement {
  let files: ModelFiles
  let bench: Workbench

  private static let mebibyte = Double(1 << 20)

  /// Converting a model in Hugging Face layout to a store, compared with `cp` of its weights, and
  /// with `cp` that waits for the disk as conversion does. In seconds per gigabyte of weights.
  func conversion(dataType: String? = nil) throws -> [Figure] {
    var time = Figure("convert", "s/GB", moreIsBetter: false)
    var peak = Figure("peak memory of converting", "MiB", moreIsBetter: false)
    let (folder, store) = (try files.folder(), "\(bench.cache)/converted.sxt")
    let (weights, copy) = (folder + "/model.safetensors", "\(bench.cache)/copied")
    defer { for path in [copy, store] { unlink(path) } }
    var status = stat()
    guard stat(weights, &status) == 0 else { throw MeasurementFailure("no \(weights)") }
    let gigabytes = Double(status.st_size) / 1e9
    let commands = [
      ("cp", "cp \"$1\" \"$2\""), ("cp and sync", "cp \"$1\" \"$2\" && sync \"$2\""),
    ]
    // The time of writing varies most from turn to turn, and is short.
    for round in 0...max(bench.rounds, 9) {
      report("\(files.name): converting, \(round == 0 ? "to warm up" : "round \(round)")")
      for (name, command) in commands {
        unlink(store)
        sync()
        let process =
          try dataType.map {
            try bench.worker("--convert", folder, "--output", store, "--dtype", $0)
          } ?? bench.worker("--convert", folder, "--output", store)
        let answer = try process.answer()
        // First without waiting for the disk, like `cp`, then with it.
        let key = name == "cp" ? "written_seconds" : "seconds"
        let ours = try answer.member(key).number()
        unlink(copy)
        sync()
        let theirs = try ChildProcess.time(["/bin/sh", "-c", command, "sh", weights, copy])
        if round == 0 { continue }
        time.add(name, theirs: theirs / gigabytes, ours: ours / gigabytes)
        peak.add(ours: try answer.member("peak").number() / Self.mebibyte)
      }
    }
    return [time, peak]
  }

  /// A fresh process opens the store; then it can run.
  func opening() throws -> [Figure] {
    var store = Figure("open the file", "ms", moreIsBetter: false)
    var model = Figure("open the model", "ms", moreIsBetter: false)
    for _ in 0..<max(bench.rounds, 5) {
      let answer = try bench.worker("--model", files.store).answer()
      store.add(ours: try answer.member("store_seconds").number() * 1e3)
      model.add(ours: try answer.member("load_seconds").number() * 1e3)
    }
    return [store, model]
  }

  /// Resident memory of a process that generates, and then reads a prompt too: mapped weights count.
  func memory() throws -> [Figure] {
    let process = try bench.worker("--model", files.store)
    _ = try process.answer()
    _ = try Task.decode(bench.decode).run(process)
    let decoding = try process.ask(["task": "memory"])
    _ = try Task.prefill(bench.prefill).run(process)
    let answer = try process.ask(["task": "memory"])
    var peak = Figure("peak memory of running", "MiB", moreIsBetter: false)
    var decode = Figure("memory of decoding, beyond the mapped file", "MiB", moreIsBetter: false)
    var prefill = Figure("the same with a prompt read", "MiB", moreIsBetter: false)
    peak.add(ours: try answer.member("peak").number() / Self.mebibyte)
    decode.add(ours: try decoding.member("anonymous").number() / Self.mebibyte)
    prefill.add(ours: try answer.member("anonymous").number() / Self.mebibyte)
    return [peak, decode, prefill]
  }
}
