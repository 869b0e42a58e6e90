import SextantBytes
import SextantTestSupport
import Testing

/// `verify --retrain` proves where a steering vector comes from.
@Suite struct RetrainTests {
  private let work = Workspace()

  private func retrain(
    _ vector: String, model: String = Workspace.model, pairs: String = Workspace.pairs
  ) -> CommandRun {
    CommandRun.sextant(["verify", vector, "--retrain", "-m", model, "--pairs", pairs])
  }

  @Test func theSameInputsGiveTheSameBytes() {
    let run = retrain(Workspace.vector)
    #expect(run.end == .exited(0), "\(run.errors)")
    #expect(run.output.contains("training again gives the same bytes"))
  }

  @Test func sitesPositionsAndTemplateComeFromTheFile() throws {
    let questions = try bytes(of: PackageFiles.fixture("demo-model/sentiment_pairs.jsonl"))
    #expect(!questions.isEmpty)
    let pairs = work.folder.write(
      """
      [{"question": "Is it good?\\n(A) yes\\n(B) no", "answer_matching_behavior": "(A)",
        "answer_not_matching_behavior": "(B)"},
       {"question": "Is it bad?\\n(A) yes\\n(B) no", "answer_matching_behavior": " (B) ",
        "answer_not_matching_behavior": "(A)"}]
      """, to: "questions.json")
    let template = work.folder.write("Question: {}\nAnswer: (", to: "template.txt")
    let vector = work.folder.path("v.steer.safetensors")
    sextant(
      "steer", "train", "-m", Workspace.model, "--pairs", pairs, "--template", template, "--sites",
      "blocks.*.state.ssm", "--layers", "1-2", "--positions", "last-2", "-o", vector)
    #expect(retrain(vector, pairs: pairs).end == .exited(0))
  }

  @Test func changedPairsAreNamedWithBothDigests() throws {
    let original = try bytes(of: Workspace.pairs)
    let changed = work.folder.write(original + [UInt8(ascii: "\n")], to: "changed.jsonl")
    let run = retrain(Workspace.vector, pairs: changed)
    #expect(run.end == .exited(65))
    #expect(run.errors.contains("[artifact.retrain]") && run.errors.contains("changed.jsonl"))
    #expect(run.errors.contains(SHA256.digest(original).description))
    #expect(run.errors.contains(try SHA256.digest(bytes(of: changed)).description))
  }

  @Test func otherWeightsAreRefused() {
    let model = work.folder.path("bf16.sxt")
    sextant(
      "convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o", model, "--dtype",
      "bf16")
    let run = retrain(Workspace.vector, model: model)
    #expect(run.end == .exited(65))
    #expect(run.errors.contains("[artifact.retrain]"))
    #expect(run.errors.contains("weights bf16") && run.errors.contains("weights source"))
  }

  @Test func aChangedVectorIsNamed() throws {
    // The signs of one vector are flipped and the digests updated. Only training detects this.
    let changed = work.folder.path("changed.steer.safetensors")
    try Forgery.flip(Workspace.vector, tensor: "blocks.2.output", to: changed)
    sextant("verify", changed)
    let run = retrain(changed)
    #expect(run.end == .exited(65))
    #expect(run.errors.contains("[artifact.retrain]") && run.errors.contains("blocks.2.output"))
  }

  @Test func whatWasNotTrainedIsRefused() {
    let capture = work.folder.path("c.safetensors")
    sextant("capture", "-m", Workspace.model, "-p", "a", "-o", capture)
    for file in [capture, Workspace.model] {
      let run = retrain(file)
      #expect(run.end == .exited(65))
      #expect(run.errors.contains("[artifact.kind]"), "\(run.errors)")
    }
  }
}
