import ArgumentParser

/// What a model knows, read by linear probes.
struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Read labels off activations: train probes, measure, intervene, erase.",
    discussion: """
      A probe is a direction at a site that tells a label, such as the truth of a statement. Quirky \
      models answer rightly in Alice's contexts and wrongly in Bob's: a probe that is trained on \
      Alice's alone and still tells the truth in Bob's reads what the model knows and does not say.
      """,
    subcommands: [
      ProbeData.self, ProbeTrain.self, ProbeEval.self, ProbeTransfer.self, ProbeShow.self,
      ProbeIntervene.self, ProbeErase.self,
    ])
}
