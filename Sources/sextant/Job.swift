import ArgumentParser
import Glibc
import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantTensor
import SextantTerminal

/// A command whose work several processes can share.
protocol SharedCommand: ParsableCommand {
  /// Why these options cannot be shared; nil if they can.
  var unsharedReason: String? { get }
}

extension SharedCommand {
  var unsharedReason: String? { nil }
}

/// The processes that run this command together.
enum Job {
  /// The ranks; one process alone unless a launcher started several.
  nonisolated(unsafe) private(set) static var ranks: any Collective = Alone()
  private nonisolated(unsafe) static var processes: MPIProcesses?

  /// Joins the other processes, if a launcher started several.
  ///
  /// - Parameter command: the command, whose work must be one that can be shared.
  /// - Throws: `usage.launcher`, `usage.ranks`, `system.ranks`.
  static func join(for command: Any) throws(Refusal) {
    guard let launch = LaunchedProcess.launch else { return }
    guard let shared = command as? any SharedCommand else {
      throw LaunchedProcess.refusal(launch, because: "a command that one process runs")
    }
    if let reason = shared.unsharedReason {
      throw LaunchedProcess.refusal(launch, because: reason)
    }
    guard let path = try MPIProcesses.pluginPath() else {
      throw LaunchedProcess.refusal(
        launch, because: "no \(MPIProcesses.pluginName) beside the program",
        remedy: "Compile the plugin with `make mpi`.")
    }
    let joined = try MPIProcesses(plugin: path)
    guard joined.size > 1, joined.size == launch.size ?? joined.size else {
      try? joined.finish()
      throw LaunchedProcess.refusal(
        launch, because: "an MPI that sees \(counted(joined.size, "process", plural: "processes"))",
        remedy:
          "Start sextant with the launcher of the MPI for which the plugin was compiled "
          + "(\(joined.library.prefix { $0 != "," && $0 != "\n" })).")
    }
    (processes, ranks) = (joined, joined)
    StandardStreams.isSilent = !joined.isFirst
    try joined.requireSame([
      ("version", ToolVersion.current), ("kernels", Kernels.level), ("BLAS core", BLAS.core),
    ])
  }

  /// Compares what must be the same on all ranks before the work begins.
  ///
  /// - Throws: `usage.ranks`.
  static func compare(_ facts: [(name: String, value: String)]) throws(Refusal) {
    try ranks.requireSame(
      [("precision", Precision.current.rawValue)] + facts
        + [("arguments", CommandLine.arguments.dropFirst().joined(separator: " "))])
  }

  /// Waits until all ranks are done, and leaves them.
  static func leave() throws(Refusal) {
    guard let processes else { return }
    _ = try ranks.share(Message())
    try processes.finish()
  }

  /// Prints a refusal, and ends all ranks.
  static func end(with refusal: Refusal) -> Never {
    guard let processes else {
      StandardStreams.printError("Error: \(refusal)")
      exit(refusal.exitStatus)
    }
    StandardStreams.isSilent = false
    // If all ranks refuse, the first one speaks for them.
    if !processes.isFirst { usleep(500_000) }
    StandardStreams.printError("Error: rank \(processes.rank) on \(hostName()): \(refusal)")
    processes.giveUp(refusal.exitStatus)
  }
}
