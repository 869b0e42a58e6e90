import ArgumentParser

/// `sextant probe`: a model's knowledge, read by linear probes.
struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Read labels from activations: train and measure probes, intervene, erase.",
    discussion: """
      A probe is a direction at a site that predicts a label, such as the truth of a statement. \
      Quirky models answer correctly in Alice's contexts and wrongly in Bob's. If a probe that is \
      trained only in Alice's contexts also finds the truth in Bob's contexts, it reads something \
      that the model knows and does not write.
      """,
    subcommands: [
      ProbeData.self, ProbeTrain.self, ProbeEval.self, ProbeTransfer.self, ProbeShow.self,
      ProbeIntervene.self, ProbeErase.self,
    ])
}
