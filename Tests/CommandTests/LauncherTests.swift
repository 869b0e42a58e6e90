import SextantTestSupport
import Testing

/// Processes that a launcher of MPI or a scheduler started together do not all do the same work.
@Suite struct LauncherTests {
  private func run(_ variables: [String], _ arguments: String...) -> CommandRun {
    CommandRun.sextant(arguments, through: ["/usr/bin/env"] + variables)
  }

  @Test(arguments: [
    ["OMPI_COMM_WORLD_SIZE=4"], ["PMI_SIZE=2"], ["SLURM_STEP_NUM_TASKS=3"], ["PMIX_RANK=0"],
    ["OMPI_COMM_WORLD_SIZE=1", "SLURM_STEP_NUM_TASKS=2", "PMIX_RANK=1"],
  ])
  func oneOfSeveralProcessesIsRefused(variables: [String]) {
    let run = run(variables, "bench", "-m", "m")
    #expect(run.end == .exited(64))
    #expect(run.errors.contains("[usage.launcher]") && run.errors.contains("SEXTANT_MPI=none"))
  }

  /// `steer train` can be shared, and needs the plugin for it.
  @Test func aCommandThatCanBeSharedNamesThePlugin() {
    for (variables, place) in [
      (["SEXTANT_MPI=/nowhere/sextant-mpi.so"], "/nowhere/sextant-mpi.so"),
      (["SEXTANT_MPI=sextant-mpi.so"], "an absolute path"),
      (["SEXTANT_MPI=\(PackageFiles.fixture("demo-model/model.safetensors"))"], "make mpi"),
    ] {
      let run = run(
        ["OMPI_COMM_WORLD_SIZE=2"] + variables, "steer", "train", "-m", "m", "--pairs", "p", "-o",
        "o")
      #expect(run.end == .exited(74) && run.errors.contains("[system.ranks]"), "\(run.errors)")
      #expect(run.errors.contains(place))
    }
    let alone = run(
      ["OMPI_COMM_WORLD_SIZE=2"], "steer", "train", "--from-moments", "m", "-o", "o")
    #expect(alone.end == .exited(64) && alone.errors.contains("--from-moments"))
  }

  @Test(arguments: [
    ["OMPI_COMM_WORLD_SIZE=1", "PMIX_RANK=0"], ["PMI_SIZE=1"],
    ["OMPI_COMM_WORLD_SIZE=4", "SEXTANT_MPI=none"],
  ])
  func oneProcessRuns(variables: [String]) {
    let run = run(variables, "inspect", "none")
    #expect(run.end == .exited(66) && run.errors.contains("[file.missing]"))
  }

  @Test func theVersionIsPrintedByEachProcess() {
    let run = run(["PMI_SIZE=2"], "--version")
    #expect(run.end == .exited(0) && !run.output.isEmpty)
  }
}
