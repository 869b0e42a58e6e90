import ArgumentParser

/// Steering vectors: learned here, applied by `generate`.
struct Steer: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train steering vectors, and measure their effects.",
    subcommands: [
      SteerTrain.self, SteerSearch.self, SteerEval.self, SteerHalfLife.self, SteerShadow.self,
      SteerDoctor.self,
    ])
}
