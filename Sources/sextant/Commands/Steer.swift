import ArgumentParser

/// Steering vectors: learned here, applied by `generate`.
struct Steer: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learn steering vectors.", subcommands: [SteerTrain.self])
}
