import Glibc
import SextantBytes

/// A process that a launcher of MPI or a scheduler started together with others.
package enum LaunchedProcess {
  /// The variables in which launchers give the number of processes: Open MPI, MPICH and others, a step
  /// of Slurm.
  private static let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"]

  /// What a launcher has put into the environment of one of several processes.
  package struct Launch: Sendable {
    /// The variable and its value, for refusals.
    package let found: String
    /// The number of processes; nil if the launcher does not tell it.
    package let size: Int?
  }

  /// The launch of this process; nil for a process alone.
  ///
  /// `SEXTANT_MPI=none` is for processes that do different work, and for a process that a program of
  /// MPI starts, which inherits the variables.
  package static var launch: Launch? {
    guard value("SEXTANT_MPI") != "none" else { return nil }
    let known = sizes.compactMap { name in value(name).flatMap(Int.init).map { (name, $0) } }
    // The first one wins: daemons of mpirun are tasks of a Slurm step, and each may start several processes.
    if let (name, size) = known.first(where: { $0.1 > 1 }) {
      return Launch(found: "\(name)=\(size)", size: size)
    }
    guard known.isEmpty else { return nil }
    // PMIx gives the number of the process, and not how many there are.
    return value("PMIX_RANK").map { Launch(found: "PMIX_RANK=\($0)", size: nil) }
  }

  /// The refusal to be one of several processes that do not share their work. Each of them would do the
  /// whole work of the command, and all would write the same files.
  ///
  /// - Parameters:
  ///   - reason: why the work is not shared.
  ///   - remedy: how to share it; nil if it cannot be shared.
  package static func refusal(
    _ launch: Launch, because reason: String, remedy: String? = nil
  ) -> Refusal {
    Refusal(
      .usageLauncher, found: "\(launch.found) in the environment, and \(reason)",
      expected: "one process, or processes that share the work",
      remedy: (remedy ?? "Start sextant without mpirun or srun.")
        + " If each process has work and files of its own, set SEXTANT_MPI=none.")
  }

  private static func value(_ variable: String) -> String? {
    getenv(variable).map { String(cString: $0) }
  }
}
