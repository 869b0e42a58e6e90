import ArgumentParser

@main
struct SextantBenchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sextant-benchmarks",
    abstract: "Measures Sextant, in the same run as the software that it is compared with.",
    discussion: """
      Machines differ and change from minute to minute, so what counts here are ratios: the two sides
      take turns, and each turn of one is divided by the neighbouring turn of the other.
      """,
    subcommands: [
      TableCommand.self, ModelsCommand.self, KernelsCommand.self, ProbesCommand.self,
      LensCommand.self, SweepCommand.self, TokenizersCommand.self, MakeCommand.self,
      WorkerCommand.self,
    ])
}
