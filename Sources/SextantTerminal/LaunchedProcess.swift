import Glibc
import SextantBytes

/// A process that a launcher of MPI or a scheduler started together with others.
package enum LaunchedProcess {
  /// The variables in which launchers give the number of processes: Open MPI, MPICH and others, a step
  /// of Slurm.
  private static let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"]

  /// Refuses to be one of several processes. Each of them would do the whole work of the command, and
  /// all would write the same files.
  ///
  /// `SEXTANT_MPI=none` is for processes that do different work, and for a process that a program of
  /// MPI starts, which inherits the variables.
  ///
  /// - Throws: `usage.launcher`.
  package static func refuse() throws(Refusal) {
    guard value("SEXTANT_MPI") != "none" else { return }
    let known = sizes.compactMap { name in value(name).flatMap(Int.init).map { (name, $0) } }
    if let (name, size) = known.first(where: { $0.1 > 1 }) {
      throw refusal(found: "\(name)=\(size)")
    }
    // PMIx gives the number of the process, and not how many there are.
    if known.isEmpty, let rank = value("PMIX_RANK") { throw refusal(found: "PMIX_RANK=\(rank)") }
  }

  private static func refusal(found: String) -> Refusal {
    Refusal(
      .usageLauncher, found: "\(found) in the environment",
      expected: "one process for a command",
      remedy:
        "Start sextant without mpirun or srun. If each process has work and files of its own, set "
        + "SEXTANT_MPI=none.")
  }

  private static func value(_ variable: String) -> String? {
    getenv(variable).map { String(cString: $0) }
  }
}
